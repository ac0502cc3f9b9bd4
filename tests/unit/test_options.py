"""Options: said by the app, by the handler and by the spec, and what becomes of them in a new command."""

from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import pytest
from factories import claimed_command
from hypothesis import given as for_all
from hypothesis import strategies as st

from durex_core import Durex, Spec
from durex_core.backoff import Constant, Exponential
from durex_core.errors import InvalidSpec, RegistrationError, UnknownCommand
from durex_core.handlers.options import Options, for_store, given, merge
from durex_core.model import NO_EXTRAS, Extras, NewCommand
from durex_core.registry import Registry
from durex_core.spec import CommandOptions

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ZERO = timedelta(0)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER_TRACE = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def prepared(app: dict[str, Any], handler: dict[str, Any], spec: dict[str, Any]) -> NewCommand:
    """A command whose options were given at three places."""
    registry = Registry(max_payload_bytes=1000, defaults=CommandOptions(**app))  # type: ignore[typeddict-item]
    registry.register("pack", lambda payload: payload, handler)
    return registry.prepare(Spec("pack", **spec), uuid4())


def prepare(**options: Any) -> NewCommand:
    return prepared({}, {}, options)


# Who wins

# Of each option three values that differ, and how a new command tells of it.
VALUES: dict[str, list[Any]] = {
    "priority": [1, 2, 0],
    "retries": [1, 2, 0],
    "backoff": [Constant(), Exponential(), Constant(MINUTE)],
    "timeout": [MINUTE, 2 * MINUTE, 3 * MINUTE],
    "deadline": [MINUTE, 2 * MINUTE, 3 * MINUTE],
    "start_within": [MINUTE, 2 * MINUTE, 3 * MINUTE],
    "period": [MINUTE, 2 * MINUTE, 3 * MINUTE],
    "dead_letter": [True, False, True],
    "tags": [("a",), ("b",), ()],
}


def told(command: NewCommand, option: str) -> Any:
    value = getattr(command if hasattr(command, option) else command.extras, option)
    return Constant(timedelta(seconds=value["delay"])) if option == "backoff" and value["kind"] == "constant" else value


def test_every_option_that_a_handler_may_set_is_looked_at():
    assert {*VALUES, "metadata"} == CommandOptions.__optional_keys__


@pytest.mark.parametrize("option", VALUES)
def test_a_spec_beats_its_handler_and_a_handler_beats_its_app(option: str):
    of_app, of_handler, of_spec = ({option: value} for value in VALUES[option])
    unset = {option: None}

    assert told(prepared(of_app, of_handler, of_spec), option) == of_spec[option]
    assert told(prepared(of_handler, of_spec, unset), option) == of_spec[option]
    assert told(prepared(of_spec, unset, {}), option) == of_spec[option]
    assert told(prepared(of_app, {}, of_spec), option) == of_spec[option]


@pytest.mark.parametrize("option", ["timeout", "deadline", "start_within"])
def test_a_limit_of_zero_is_none_whoever_sets_it(option: str):
    some, none = {option: MINUTE}, {option: ZERO}

    assert told(prepared({}, {}, none), option) is None
    assert told(prepared(some, some, none), option) is None
    assert told(prepared(some, none, {}), option) is None
    assert told(prepared(none, {}, {}), option) is None
    assert told(prepared(none, none, some), option) == MINUTE


def test_metadata_is_merged_key_by_key():
    command = prepared(
        {"metadata": {"from": "app", "app": 1}},
        {"metadata": {"from": "handler", "handler": {"deep": 1}}},
        {"metadata": {"from": "spec", "handler": {"other": 2}}},
    )

    assert command.extras.metadata == {"from": "spec", "app": 1, "handler": {"other": 2}}
    assert prepared({"metadata": {"a": 1}}, {}, {"metadata": {}}).extras.metadata == {"a": 1}
    assert prepared({}, {}, {"metadata": {}}).extras is NO_EXTRAS


def test_no_command_changes_the_defaults_of_the_next():
    registry = Registry(max_payload_bytes=1000, defaults={"metadata": {"a": 1}, "tags": ["x"]})
    registry.register("pack", lambda payload: payload, {"metadata": {"b": 2}})

    registry.prepare(Spec("pack", metadata={"a": 2, "c": 3}), uuid4())

    assert registry.prepare(Spec("pack"), uuid4()).extras.metadata == {"a": 1, "b": 2}


def option_sets() -> st.SearchStrategy[Options]:
    """Checked options of one place, which never name both forms of a deadline."""
    metadata = st.dictionaries(st.sampled_from("abc"), st.integers(0, 3))
    plain: dict[str, st.SearchStrategy[Any]] = {name: st.sampled_from(values) for name, values in VALUES.items()}
    plain |= {"metadata": metadata, "deadline_at": st.just(NOON)}
    return st.fixed_dictionaries({}, optional=plain).filter(
        lambda options: not {"deadline", "deadline_at"} <= {*options}
    )


@for_all(option_sets(), option_sets(), option_sets())
def test_it_does_not_matter_in_which_order_three_places_are_merged(a: Options, b: Options, c: Options):
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@for_all(option_sets(), option_sets())
def test_what_the_upper_place_sets_stands_and_the_lower_one_fills_the_gaps(lower: Options, upper: Options):
    before = (dict(lower), dict(upper))
    merged = merge(lower, upper)

    assert merge(lower, {}) == lower
    assert merge({}, upper) == upper
    for option, value in upper.items():
        assert merged[option] == (lower.get("metadata", {}) | value if option == "metadata" else value)
    for option, value in lower.items():
        rival = {"deadline": "deadline_at", "deadline_at": "deadline"}.get(option)
        assert option in upper or rival in upper or merged[option] == value
    assert (lower, upper) == before


@for_all(option_sets())
def test_a_spec_sets_what_it_was_given(options: Options):
    assert given(Spec("pack", **options)) == options


# What few commands have


def test_options_are_not_changed_on_their_way_to_the_store():
    options = {"timeout": ZERO, "deadline": MINUTE, "backoff": Constant(), "run_at": NOON}
    before = dict(options)

    for_store(options)

    assert options == before


def test_a_command_without_anything_rare_carries_the_shared_extras():
    assert prepare(retries=3, tags=["a"], timeout=MINUTE).extras is NO_EXTRAS
    assert prepared({"deadline": MINUTE}, {}, {"deadline": ZERO}).extras is NO_EXTRAS


def test_what_few_commands_have_is_gathered():
    command = prepare(
        deadline=MINUTE,
        start_within=2 * MINUTE,
        period=3 * MINUTE,
        metadata={"a": NOON},
        sequence=["pack", "pack"],
        traceparent=TRACE,
    )

    assert command.extras == Extras(
        deadline=MINUTE,
        start_within=2 * MINUTE,
        period=3 * MINUTE,
        metadata={"a": "2026-03-01T12:00:00Z"},
        sequence=("pack", "pack"),
        traceparent=TRACE,
    )


def test_a_join_is_told_to_those_that_report_to_it_and_to_the_one_that_waits():
    registry = Registry(max_payload_bytes=1000)
    registry.register("pack", lambda payload: payload, {})
    join_id = uuid4()

    child = registry.prepare(Spec("pack"), uuid4(), join_id=join_id, join_position=0)
    waiting = registry.prepare(Spec("pack"), join_id, awaits=3, allow_failures=True)

    assert (child.join_id, child.extras.join_position, child.awaits) == (join_id, 0, 0)
    assert (waiting.join_id, waiting.awaits, waiting.extras.allow_failures) == (None, 3, True)
    assert waiting.extras.join_position is None
    assert registry.prepare(Spec("pack"), join_id, awaits=3).extras is NO_EXTRAS


@pytest.mark.parametrize(
    ("of_parent", "of_child", "expected"),
    [(TRACE, None, TRACE), (TRACE, OTHER_TRACE, OTHER_TRACE), (None, TRACE, TRACE), (None, None, None)],
)
def test_a_child_belongs_to_its_parents_trace(of_parent: str | None, of_child: str | None, expected: str | None):
    registry = Registry(max_payload_bytes=1000)
    registry.register("pack", lambda payload: payload, {})
    parent = claimed_command(extras=Extras(traceparent=of_parent))

    child = registry.prepare(Spec("pack", traceparent=of_child), uuid4(), parent=parent)

    assert child.extras.traceparent == expected


# Moments


def test_moments_are_kept_in_utc():
    local = timezone(timedelta(hours=2))

    command = prepare(run_at=NOON.astimezone(local), deadline_at=(NOON + MINUTE).astimezone(local))

    assert (command.run_at, command.deadline_at) == (NOON, NOON + MINUTE)
    assert (command.run_at.tzinfo, command.deadline_at.tzinfo) == (UTC, UTC)  # type: ignore[union-attr]
    assert command.delay == ZERO


def test_a_deadline_in_one_form_replaces_a_default_in_the_other():
    at_a_moment = prepared({"deadline": MINUTE}, {"deadline": 2 * MINUTE}, {"deadline_at": NOON})
    from_its_start = prepared({}, {"deadline": 2 * MINUTE}, {"deadline": MINUTE})

    assert (at_a_moment.deadline_at, at_a_moment.extras) == (NOON, NO_EXTRAS)
    assert (from_its_start.deadline_at, from_its_start.extras.deadline) == (None, MINUTE)
    assert merge({"deadline_at": NOON}, {"deadline": MINUTE}) == {"deadline": MINUTE}


def test_no_deadline_after_a_while_may_be_said_beside_one_at_a_moment():
    assert prepare(deadline=ZERO, deadline_at=NOON).deadline_at == NOON


@pytest.mark.parametrize(
    ("options", "field", "reason"),
    [
        ({"delay": MINUTE, "run_at": NOON}, "run_at", r"cannot go with a delay \(0:01:00\); give one of the two"),
        ({"delay": ZERO, "run_at": NOON}, "run_at", "cannot go with a delay"),
        ({"deadline": MINUTE, "deadline_at": NOON}, "deadline_at", r"cannot go with a deadline \(0:01:00\); give one"),
        ({"run_at": NOON, "deadline_at": NOON}, "run_at", "is not before deadline_at, .*: it would never run"),
        ({"run_at": NOON + MINUTE, "deadline_at": NOON}, "run_at", "is not before deadline_at"),
        ({"run_at": datetime(1969, 12, 31, tzinfo=UTC)}, "run_at", "is too far away; give a moment of the years 1970"),
        (
            {"deadline_at": datetime(9000, 1, 1, tzinfo=UTC)},
            "deadline_at",
            "too far away; .* of the years 1970 to 8999",
        ),
        ({"run_at": datetime.min.replace(tzinfo=timezone(14 * 60 * MINUTE))}, "run_at", "is too far away"),
        ({"run_at": NOON.replace(tzinfo=None)}, "run_at", r"should have timezone info, such as datetime\(.*tzinfo=UTC"),
        ({"run_at": "2026-03-01T12:00:00Z"}, "run_at", "should be a valid datetime"),
        ({"deadline_at": 3}, "deadline_at", "should be a valid datetime"),
        ({"deadline": -MINUTE}, "deadline", "greater than or equal to 0"),
        ({"start_within": -MINUTE}, "start_within", "greater than or equal to 0"),
        ({"period": ZERO}, "period", "greater than 0"),
    ],
)
def test_moments_that_contradict_each_other_are_refused(options: dict[str, Any], field: str, reason: str):
    with pytest.raises(InvalidSpec, match=reason) as caught:
        prepare(**options)

    assert caught.value.field == field


# Metadata, sequences and traces


@pytest.mark.parametrize(
    ("metadata", "field", "reason"),
    [
        ({"x": float("nan")}, "metadata.x", "is nan"),
        ({"x": {"y": ["\0"]}}, "metadata.x.y[0]", "holds the NUL character"),
        ({"x": object()}, "metadata.x", "has no JSON form"),
        ({"x": "é" * 8 * 1024}, "metadata", "is 16,392 bytes of JSON, the limit is 16,384; put the bulk into the"),
        ({str(number): 1 for number in range(51)}, "metadata", "at most 50 items"),
        ({"": 1}, "metadata", "at least 1 character"),
        ({"a\nb": 1}, "metadata", "should match pattern"),
        ([("a", 1)], "metadata", "should be a valid dictionary"),
    ],
)
def test_metadata_that_cannot_be_kept_is_refused(metadata: Any, field: str, reason: str):
    with pytest.raises(InvalidSpec, match=reason) as caught:
        prepare(metadata=metadata)

    assert caught.value.field.startswith(field)


def test_metadata_may_fill_its_limit_and_be_any_mapping():
    full = {"x": "x" * (16 * 1024 - len('{"x":""}'))}

    assert prepare(metadata=MappingProxyType(full)).extras.metadata == full


def test_metadata_is_measured_with_that_of_the_handler():
    half = "x" * 9_000
    with pytest.raises(InvalidSpec, match="metadata: is 18,015 bytes of JSON"):
        prepared({}, {"metadata": {"a": half}}, {"metadata": {"b": half}})
    with pytest.raises(InvalidSpec, match="metadata: has 60 keys with the handler's, the limit is 50"):
        prepared({}, {"metadata": dict.fromkeys("abcde" * 6)} | KEYS, {"metadata": dict.fromkeys(map(str, range(30)))})


KEYS = {"metadata": {f"key_{number}": None for number in range(30)}}


def test_the_defaults_metadata_is_measured_when_it_is_registered():
    half = "x" * 9_000
    registry = Registry(max_payload_bytes=1000, defaults={"metadata": {"a": half}})

    with pytest.raises(RegistrationError, match=r"command 'pack': metadata: is 18,015 bytes of JSON"):
        registry.register("pack", lambda: None, {"metadata": {"b": half}})
    with pytest.raises(RegistrationError, match=r"command 'pack': metadata\.b: is nan"):
        registry.register("pack", lambda: None, {"metadata": {"b": float("nan")}})


def test_a_sequence_names_commands_that_there_are():
    with pytest.raises(
        UnknownCommand, match=r"sequence\[1\]: no command named 'ship' is registered \(known: pack\)"
    ) as c:
        prepare(sequence=["pack", "ship", "label"])

    assert (c.value.field, c.value.name) == ("sequence[1]", "ship")
    with pytest.raises(InvalidSpec, match=r"sequence\[0\]: "):
        prepare(sequence=["no name"])


@pytest.mark.parametrize(
    ("traceparent", "reason"),
    [
        (f"00-{'0' * 32}-b7ad6b7169203331-01", "its trace id is all zeros, which means none; leave traceparent out"),
        (f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", "its span id is all zeros"),
        (TRACE.upper(), "should match pattern"),
        (TRACE.replace("00-", "01-", 1), "should match pattern"),
        (TRACE + "\n", "should match pattern"),
        ("", "should match pattern"),
    ],
)
def test_a_trace_context_that_names_no_trace_is_refused(traceparent: str, reason: str):
    with pytest.raises(InvalidSpec, match=f"traceparent: .*{reason}"):
        prepare(traceparent=traceparent)


# What is said of a whole application


@pytest.mark.parametrize(
    ("defaults", "reason"),
    [
        ({"retries": "3"}, r"^Durex: defaults: retries: Input should be a valid integer"),
        ({"retires": 3}, r"^Durex: defaults: retires: is no option of a command"),
        ({"queue": "left"}, r"^Durex: defaults: queue: is an option of one command alone"),
        ({"payload": {}}, r"^Durex: defaults: payload: is an option of one command alone"),
        ({"unique_key": "a"}, r"^Durex: defaults: unique_key: is no option of a command"),
        ({"metadata": {"x": float("nan")}}, r"^Durex: defaults: metadata\.x: is nan"),
        ({"metadata": {"x": "x" * 20_000}}, r"^Durex: defaults: metadata: is 20,008 bytes"),
    ],
)
def test_a_default_of_an_application_is_checked_when_it_is_made(defaults: Any, reason: str):
    with pytest.raises(RegistrationError, match=reason):
        Durex("sqlite:///:memory:", defaults=defaults)


def test_defaults_of_an_application_reach_its_commands():
    app = Durex("sqlite:///:memory:", defaults={"retries": 3, "timeout": MINUTE})
    app.command("pack", retries=1)(lambda: None)

    handler = app.registry.get("pack")

    assert handler is not None
    assert (handler.defaults.retries, handler.defaults.timeout) == (1, MINUTE)
