"""Records: dataclasses with slots that are frozen to the type checker alone, and that take little time to import.

The guard of a frozen dataclass costs each construction ten times the time of the fields themselves (a command: 3.6
against 0.3 microseconds), and to compile what compares and shows each class takes most of the time that importing durex
takes. So all records share that.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def record(cls: type[T], /) -> type[T]: ...
@overload
def record(*, init: bool = True, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T] | None = None, /, *, init: bool = True, kw_only: bool = False) -> Any:
    """Make a record of a class: a dataclass with slots, compared by its fields, that nobody is to change."""

    def make(cls: type[T]) -> type[T]:
        for method in (_eq, _hash, _repr):
            name = f"__{method.__name__.strip('_')}__"
            if name not in vars(cls):
                setattr(cls, name, method)
        return dataclass(init=init, kw_only=kw_only, slots=True, eq=False, repr=False)(cls)

    return make if cls is None else make(cls)


def _eq(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    kind: Any = self.__class__
    values = _compared(kind)
    return values(self) == values(other)


def _hash(self: Any) -> int:
    kind: Any = self.__class__
    return hash(_compared(kind)(self))


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


@cache
def _compared(cls: Any) -> Callable[[Any], Any]:
    """Return what reads the fields by which a record is compared."""
    names = [each.name for each in fields(cls) if each.compare]
    return attrgetter(*names) if names else lambda _: ()
