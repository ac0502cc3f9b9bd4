"""Records whose guard is off are what they were, but for the guard."""

from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from durex_core.records import unguarded


@dataclass(frozen=True, slots=True)
class Guarded:
    name: str
    size: int = 1
    tags: list[str] = field(default_factory=list)


@unguarded
@dataclass(frozen=True, slots=True)
class Unguarded:
    name: str
    size: int = 1
    tags: list[str] = field(default_factory=list)


def test_it_is_made_compared_and_shown_as_before() -> None:
    one = Unguarded("one")
    assert (one.name, one.size, one.tags) == ("one", 1, [])
    assert one == Unguarded("one", 1, [])
    assert replace(one, size=2) == Unguarded("one", size=2)
    assert repr(one) == "Unguarded(name='one', size=1, tags=[])"
    assert not hasattr(one, "__dict__")


def test_a_default_that_is_made_is_made_anew_each_time() -> None:
    assert Unguarded("one").tags is not Unguarded("two").tags


def test_what_is_left_out_is_refused() -> None:
    with pytest.raises(TypeError, match="name"):
        Unguarded()  # type: ignore[call-arg]


def test_only_the_type_checker_guards_it() -> None:
    with pytest.raises(FrozenInstanceError):
        Guarded("one").size = 2  # type: ignore[misc]
    Unguarded("one").size = 2  # type: ignore[misc]
