"""Records are dataclasses, but for the guard, and share what compares and shows them."""

import copy
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import pytest

from durex_core.records import record


@record
class Parcel:
    name: str
    size: int = 1
    tags: list[str] = field(default_factory=list)
    note: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Plain:
    name: str
    size: int = 1


@record
class Sized:
    name: str
    size: int = 1


@record
class Empty:
    pass


@record
class Shown:
    name: str

    def __repr__(self) -> str:
        return "shown"


@record(kw_only=True)
class Named:
    name: str


@record(init=False)
class Own:
    name: str

    def __init__(self, first: str, last: str) -> None:
        self.name = f"{first} {last}"  # type: ignore[misc]


def test_it_is_made_compared_and_shown_as_a_dataclass_is() -> None:
    one = Parcel("one", note="!")
    assert (one.name, one.size, one.tags, one.note) == ("one", 1, [], "!")
    assert one == Parcel("one", 1, []) != Parcel("one", 2)
    assert replace(one, size=2) == Parcel("one", size=2)
    assert asdict(one) == {"name": "one", "size": 1, "tags": [], "note": "!"}
    assert repr(one) == "Parcel(name='one', size=1, tags=[])"
    assert not hasattr(one, "__dict__")
    assert [each.name for each in fields(Parcel)] == ["name", "size", "tags", "note"]
    assert Parcel.__match_args__ == ("name", "size", "tags", "note")  # type: ignore[attr-defined]


@pytest.mark.parametrize("other", [Plain("one"), ("one", 1), None, Empty()])
def test_it_equals_nothing_of_another_class(other: Any) -> None:
    assert Sized("one") != other
    assert Sized("one").__eq__(other) is NotImplemented


def test_equal_ones_count_as_one() -> None:
    assert {Sized("one"), Sized("one", 1), Sized("two")} == {Sized("two"), Sized("one")}
    assert hash(Sized("one")) == hash(Plain("one"))
    assert {Empty(), Empty()} == {Empty()}
    assert repr(Empty()) == "Empty()"
    with pytest.raises(TypeError, match="unhashable"):
        hash(Parcel("one"))


def test_what_a_class_says_itself_counts() -> None:
    assert repr(Shown("one")) == "shown"
    assert Shown("one") == Shown("one")
    assert Own("a", "b") == Own("a", "b")
    assert Own("a", "b").name == "a b"
    assert Named(name="one").name == "one"
    with pytest.raises(TypeError, match="positional"):
        Named("one")  # type: ignore[misc]


def test_one_that_holds_itself_can_be_shown() -> None:
    one = Parcel("one")
    one.tags.append(one)  # type: ignore[arg-type]
    assert repr(one) == "Parcel(name='one', size=1, tags=[...])"


def test_it_can_be_copied() -> None:
    one = Parcel("one", 2, ["a"])
    assert copy.copy(one) == copy.deepcopy(one) == one


def test_a_default_that_is_made_is_made_anew_each_time() -> None:
    assert Parcel("one").tags is not Parcel("two").tags


def test_what_is_left_out_is_refused() -> None:
    with pytest.raises(TypeError, match="name"):
        Parcel()  # type: ignore[call-arg]


def test_only_the_type_checker_guards_it() -> None:
    Parcel("one").size = 2  # type: ignore[misc]
