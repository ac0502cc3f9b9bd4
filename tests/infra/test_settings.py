"""Settings: read from CDK's context, checked, frozen."""

import dataclasses
import sys

import pytest

from infra.refusal import SynthRefused
from infra.settings import QueueSettings, Settings, read


def test_the_defaults_are_the_products():
    settings = read({})

    assert settings == Settings()
    assert (settings.stage, settings.architecture, settings.python) == ("production", "arm64", "3.14")
    assert (settings.min_capacity, settings.max_capacity, settings.auto_pause_seconds) == (0, 8, 300)
    assert (settings.sleeping, settings.sweep_hours) == (True, 6)
    assert settings.api_auth == "iam"
    assert settings.protected


def test_the_command_line_gives_strings_and_they_become_values():
    settings = read({"max_concurrency": "20", "max_capacity": "16", "source": "functions, shop", "sleeping": "false"})

    assert (settings.max_concurrency, settings.max_capacity) == (20, 16.0)
    assert settings.source == ("functions", "shop")
    assert not settings.sleeping


@pytest.mark.parametrize("given", ['{"charge": {"max_concurrency": 5}}', {"charge": {"max_concurrency": 5}}])
def test_a_queue_has_settings_of_its_own(given: object):
    assert read({"queues": given}).queues == {"charge": QueueSettings(max_concurrency=5)}


@pytest.mark.parametrize("nothing", ["none", None])
@pytest.mark.parametrize("name", ["enqueue_concurrency", "api_concurrency", "tick_concurrency"])
def test_a_reservation_can_be_left_out(name: str, nothing: object):
    assert getattr(read({name: nothing}), name) is None


def test_the_context_of_cdk_itself_is_left_alone():
    context = {"aws:cdk:bundling-stacks": ["**"], "@aws-cdk/core:stackRelativeExports": True, "cli-telemetry": False}

    assert read(context) == Settings()


def test_a_misspelt_setting_is_refused():
    with pytest.raises(SynthRefused, match=r"no setting is called max_concurency; there are: .*max_concurrency"):
        read({"max_concurency": 5})


def test_a_misspelt_setting_of_a_queue_is_refused():
    with pytest.raises(SynthRefused, match=r"setting queues\.charge\.batch"):
        read({"queues": {"charge": {"batch": 5}}})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_concurrency", 1),  # AWS's own least for a mapping
        ("max_capacity", 0.5),
        ("auto_pause_seconds", 60),
        ("python", "3"),
        ("architecture", "sparc"),
        ("stage", "My Stage"),
        ("log_days", 2),
        ("sweep_hours", 0),
        ("sweep_hours", 25),
        ("batch_size", 101),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(name: str, value: object):
    with pytest.raises(SynthRefused, match=f"setting {name}: .*it is {value!r}"):
        read({name: value})


def test_every_fault_is_told_at_once():
    with pytest.raises(SynthRefused) as refused:
        read({"max_concurrency": 1, "max_capacity": 0})

    assert len(refused.value.reasons) == 2


def test_an_open_api_is_refused_on_a_real_account():
    with pytest.raises(SynthRefused, match="api_auth=none would open the API of stage 'production' to everyone"):
        read({"api_auth": "none"})

    assert read({"api_auth": "none", "stage": "local"}).api_auth == "none"


def test_a_minimum_above_the_maximum_is_refused():
    with pytest.raises(SynthRefused, match="min_capacity 16 is above max_capacity 8"):
        read({"min_capacity": 16})


def test_the_local_stage_is_built_for_this_machine_and_may_vanish():
    settings = read({"stage": "local", "endpoint": "http://127.0.0.1:4566"})

    assert settings.local
    assert settings.architecture == "host"
    assert settings.python == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert not settings.protected


def test_the_local_stages_defaults_give_way():
    assert read({"stage": "local", "python": "3.12"}).python == "3.12"


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().stage = "other"  # type: ignore[misc]
