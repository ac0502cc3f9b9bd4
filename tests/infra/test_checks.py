"""What synth refuses, with the sum and the fix."""

from dataclasses import replace

import pytest

from durex_core.store import roles
from infra import checks
from infra.connections import allowed, max_connections
from infra.manifest import Manifest
from infra.plan import plan_queues
from infra.refusal import SynthRefused
from infra.settings import QueueSettings, Settings
from infra.sleep import IDLE_SESSION_SECONDS


def reasons(manifest: Manifest, **settings: object) -> list[str]:
    return list(checks.reasons(Settings(**settings), manifest))


def test_the_example_is_not_refused(example: Manifest):
    assert reasons(example) == []


def test_all_reasons_are_told_at_once(manifest_of):
    manifest = manifest_of(("charge", "charge", 1000.0))

    with pytest.raises(SynthRefused) as refused:
        checks.refuse(Settings(max_concurrency=1000, max_capacity=1), manifest)

    assert [reason.split(":")[0] for reason in refused.value.reasons] == ["timeout of queue 'charge'", "connections"]
    assert str(refused.value).startswith("durex: timeout of queue 'charge'")


class TestConnections:
    """The connections of all functions fit into the database."""

    def test_the_sum_is_shown_with_the_capacity_that_would_take_it(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0), ("ship", "ship", 30.0))

        (refused,) = reasons(manifest, max_concurrency=600)

        assert refused == (
            "connections: charge 600 + ship 600 + enqueue 40 + api 20 + tick 2 + drain 2 + migrate 1 = 1,265 > 1,168"
            " (70 % of 1,669 at 8 ACU); lower max_concurrency of charge, or raise max_capacity to 16"
        )

    def test_the_last_connection_that_fits_is_taken_and_the_next_refused(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0), ("ship", "ship", 30.0))
        others = 40 + 20 + 2 + 2 + 1
        left = allowed(max_connections(0, 8)) - others - 600

        assert reasons(manifest, max_concurrency=600, queues={"ship": QueueSettings(max_concurrency=left)}) == []
        (refused,) = reasons(manifest, max_concurrency=600, queues={"ship": QueueSettings(max_concurrency=left + 1)})
        assert "= 1,169 > 1,168" in refused

    def test_a_database_that_sleeps_takes_no_more_than_2000(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0), ("ship", "ship", 30.0))

        (refused,) = reasons(manifest, max_concurrency=700, max_capacity=16)

        assert "= 1,465 > 1,400 (70 % of 2,000 at 16 ACU)" in refused
        assert "raise max_capacity to 32 and min_capacity to 1 with sleeping=false (it then never pauses)" in refused
        assert reasons(manifest, max_concurrency=700, max_capacity=32, min_capacity=1, sleeping=False) == []

    def test_a_database_that_does_not_sleep_is_only_told_to_be_larger(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0), ("ship", "ship", 30.0))

        (refused,) = reasons(manifest, max_concurrency=700, max_capacity=16, sleeping=False)

        assert "raise max_capacity to 32 and min_capacity to 1 (it then never pauses)" in refused

    def test_where_no_capacity_would_do_only_the_concurrency_is_named(self, manifest_of):
        commands = [(f"c{n}", f"c{n}", 30.0) for n in "abcd"]

        (refused,) = reasons(manifest_of(*commands), max_concurrency=1000)

        assert refused.endswith("; lower max_concurrency of ca")

    def test_a_function_without_a_reservation_counts_by_its_throttle(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0))

        (refused,) = reasons(manifest, enqueue_concurrency=None)

        assert "enqueue 1,550 (100 burst + 50/s x 29 s)" in refused
        assert "reserve a number with enqueue_concurrency, or lower the throttle" in refused

    def test_ticks_count_even_where_nothing_is_reserved_for_them(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0))

        (refused,) = reasons(manifest, max_capacity=1, max_concurrency=1000, tick_concurrency=None)

        assert " + tick 3 + " in refused

    def test_too_many_ticks_are_told_of_by_their_setting(self, manifest_of):
        (refused,) = reasons(manifest_of(("charge", "charge", 30.0)), max_capacity=1, tick_concurrency=500)

        assert "lower tick_concurrency" in refused

    def test_a_second_connection_of_each_worker_counts(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0))

        (refused,) = reasons(manifest, max_concurrency=600, connections_per_worker=2)

        assert "charge 1,200 (600 x 2)" in refused

    @pytest.mark.parametrize(
        ("minimum", "maximum", "expected"),
        [
            (0, 1, 189),
            (0, 4, 823),
            (0, 8, 1669),
            (0, 16, 2000),
            (0.5, 64, 2000),
            (1, 16, 3360),
            (1, 32, 5000),
            (1, 256, 5000),
            (0, 2, 400),
            (1, 24, 4180),
        ],
    )
    def test_max_connections_is_auroras_table(self, minimum: float, maximum: float, expected: int):
        assert max_connections(minimum, maximum) == expected


class TestTimes:
    """A command's timeout < its function's < the lease < the visibility."""

    def test_a_command_that_does_not_fit_into_an_invocation(self, manifest_of):
        (refused,) = reasons(manifest_of(("train", "train", 900.0)))

        assert refused == (
            "timeout of queue 'train': 900 s + 10 s margin = 910 s > 900 s, the longest that Lambda runs;"
            " set the timeout of train to at most 890 s, or split it into commands"
        )
        assert reasons(manifest_of(("train", "train", 890.0))) == []

    def test_a_visibility_below_six_timeouts(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0))

        (refused,) = reasons(manifest, queues={"charge": QueueSettings(visibility_seconds=239)})

        assert refused == (
            "visibility of queue 'charge': 239 s < 6 x 40 s function timeout = 240 s;"
            " raise queues.charge.visibility_seconds to 240, or leave it out"
        )
        assert reasons(manifest, queues={"charge": QueueSettings(visibility_seconds=240)}) == []

    def test_the_window_counts_towards_the_visibility(self, manifest_of):
        own = QueueSettings(visibility_seconds=240, batching_window_seconds=5)

        (refused,) = reasons(manifest_of(("charge", "charge", 30.0)), queues={"charge": own})

        assert "240 s < 6 x 40 s function timeout + 5 s window = 245 s" in refused

    def test_a_lease_that_outlasts_the_visibility(self, manifest_of):
        manifest = manifest_of(("blink", "blink", 1.0))

        (refused,) = reasons(manifest, timeout_margin_seconds=1, lease_margin_seconds=10)

        assert refused == (
            "lease of queue 'blink': 2 s function timeout + 10 s margin = 12 s >= 12 s visibility;"
            " raise queues.blink.visibility_seconds above 12, or lower lease_margin_seconds"
        )
        assert reasons(manifest, timeout_margin_seconds=1, lease_margin_seconds=9) == []

    def test_the_lease_of_every_plan_that_passes_is_below_its_visibility(self, example: Manifest):
        for plan in plan_queues(Settings(), example):
            assert plan.command_seconds < plan.timeout_seconds < plan.lease_seconds < plan.visibility_seconds


class TestHandlers:
    """Every queue has a command that runs from it."""

    def test_a_queue_without_a_handler(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0))
        orphan = replace(manifest.queues[0], name="refunds", commands=())

        (refused,) = reasons(replace(manifest, queues=(*manifest.queues, orphan)))

        assert refused == (
            "queue 'refunds' has no handler: no command runs from it;"
            " give a command queue='refunds', or remove the queue"
        )

    def test_a_queue_whose_commands_run_from_another(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0))
        other = replace(manifest.queues[0], name="refunds")

        (refused,) = reasons(replace(manifest, queues=(*manifest.queues, other)))

        assert refused.startswith("queue 'refunds' has no handler")

    def test_a_command_without_a_queue(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0), ("ship", "ship", 30.0))

        assert reasons(replace(manifest, queues=manifest.queues[:1])) == [
            "command 'ship' runs from the queue 'ship', which the manifest does not list"
        ]

    def test_a_setting_for_a_queue_without_a_handler(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0))

        (refused,) = reasons(manifest, queues={"chrage": QueueSettings()})

        assert refused == (
            "setting queues.chrage is for a queue without a handler: no command runs from 'chrage';"
            " the queues are charge"
        )

    def test_an_application_without_commands(self, manifest_of):
        assert reasons(manifest_of()) == ["functions.commands:app registers no command; add one with @app.command(…)"]

    def test_an_application_that_would_not_be_in_the_zip(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0), app="shop.commands:app")

        (refused,) = reasons(manifest)

        assert refused == (
            "the functions' zip would lack the application shop.commands:app:"
            " add its package to the setting source=functions,shop"
        )
        assert reasons(manifest, source=("functions", "src/shop")) == []


def test_a_reservation_below_the_mappings_maximum(manifest_of):
    manifest = manifest_of(("charge", "charge", 30.0))

    (refused,) = reasons(manifest, queues={"charge": QueueSettings(reserved_concurrency=9)})

    assert refused == (
        "concurrency of queue 'charge': 9 reserved < 10 that its mapping may start;"
        " raise queues.charge.reserved_concurrency to 10, or lower max_concurrency"
    )
    assert reasons(manifest, queues={"charge": QueueSettings(reserved_concurrency=10)}) == []


class TestSleep:
    """A database that is said to sleep can."""

    def test_a_minimum_capacity_keeps_it_awake(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0))

        (refused,) = reasons(manifest, min_capacity=0.5)

        assert refused == (
            "sleeping: min_capacity 0.5 keeps the database awake; set min_capacity=0,"
            " or sleeping=false, which then costs nothing more"
        )
        assert reasons(manifest, min_capacity=0.5, sleeping=False) == []

    def test_sweeps_that_come_before_the_pause_keep_it_awake(self, manifest_of):
        manifest = manifest_of(("charge", "charge", 30.0))

        (refused,) = reasons(manifest, auto_pause_seconds=3490, sweep_hours=1)

        assert refused == (
            "sleeping: each sweep keeps the database awake for 50 s tick + 60 s idle connection"
            " + 3,490 s auto_pause_seconds = 3,600 s >= 3,600 s, when the next one comes;"
            " lower auto_pause_seconds, or raise sweep_hours"
        )
        assert reasons(manifest, auto_pause_seconds=3489, sweep_hours=1) == []
        assert reasons(manifest, auto_pause_seconds=3490, sweep_hours=2) == []
        assert reasons(manifest, auto_pause_seconds=86_400, sleeping=False) == []

    def test_a_permanent_command_that_runs_before_the_pause_keeps_it_awake(self, manifest_of):
        manifest = manifest_of(("sweep", "sweep", 30.0))

        def runs_every(seconds: float, **options: bool) -> Manifest:
            (command,) = manifest.commands
            return replace(manifest, commands=(replace(command, period_seconds=seconds, **options),))

        (refused,) = reasons(runs_every(360, permanent=True))

        assert refused == (
            "sleeping: the permanent command 'sweep' runs every 360 s, and the database pauses 60 s idle connection"
            " + 300 s auto_pause_seconds = 360 s after each run; raise its period above 360 s, or set sleeping=false"
        )
        assert reasons(runs_every(361, permanent=True)) == []
        assert reasons(runs_every(360, permanent=False)) == []
        assert reasons(runs_every(360, permanent=True), sleeping=False) == []

    def test_a_database_that_could_sleep_may_be_kept_awake(self, manifest_of):
        assert reasons(manifest_of(("charge", "charge", 30.0)), sleeping=False, min_capacity=0) == []

    def test_an_idle_connection_ends_when_the_roles_say_so(self):
        assert roles._TIMEOUTS["idle_session_timeout"] == f"{IDLE_SESSION_SECONDS}s"


def test_more_queues_than_an_environment_has_room_for(manifest_of):
    commands = [(f"command_{chr(97 + n)}", f"command_{chr(97 + n)}", 30.0) for n in range(24)]

    (refused,) = reasons(manifest_of(*commands), max_concurrency=2)

    assert "the URLs of 24 queues take" in refused
    assert "let commands share a queue" in refused
    shared = [(name, "shared", seconds) for name, _, seconds in commands]
    assert reasons(manifest_of(*shared), max_concurrency=2) == []
