"""The manifest: what synth knows of the application."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from infra import manifest as manifests
from infra.manifest import Manifest
from infra.refusal import SynthRefused
from infra.settings import Settings

ONE = {
    "app": "shop.commands:app",
    "commands": [{"name": "charge", "queue": "money", "retries": 3, "timeout_seconds": 30.0}],
    "queues": [{"name": "money", "commands": ["charge"], "timeout_seconds": 30.0}],
}


def parse(document: object) -> Manifest:
    return manifests.parse(json.dumps(document), source="durex manifest")


def test_a_manifest_is_read():
    manifest = parse(ONE)

    assert manifest.package == "shop"
    assert [(c.name, c.queue, c.timeout_seconds) for c in manifest.commands] == [("charge", "money", 30.0)]
    assert [(q.name, q.commands) for q in manifest.queues] == [("money", ("charge",))]


def test_what_a_newer_durex_adds_is_passed_over():
    assert parse(ONE | {"schedules": []}) == parse(ONE)


@pytest.mark.parametrize(
    ("fault", "place"),
    [
        ({"app": "shop.commands"}, "app"),
        ({"queues": None}, "queues"),
        ({"queues": [{"name": "no spaces", "commands": []}]}, r"queues\.0\.name"),
        ({"queues": [{"name": "q" * 101, "commands": []}]}, r"queues\.0\.name"),
        ({"commands": [{"name": "charge", "queue": "money", "retries": -1}]}, r"commands\.0\.retries"),
        ({"queues": [{"name": "money", "commands": ["charge"], "timeout_seconds": 0}]}, r"queues\.0\.timeout_seconds"),
    ],
)
def test_a_malformed_manifest_is_refused_by_place(fault: dict[str, object], place: str):
    with pytest.raises(SynthRefused, match=f"durex manifest is no manifest: {place}: "):
        parse(ONE | fault)


def test_text_that_is_no_json_is_refused():
    with pytest.raises(SynthRefused, match="is no manifest: document: Invalid JSON"):
        manifests.parse("Traceback", source="durex manifest")


def test_a_name_that_comes_twice_is_refused():
    with pytest.raises(SynthRefused, match="names the queue 'money' twice"):
        parse(ONE | {"queues": [*ONE["queues"], *ONE["queues"]]})


def test_a_file_is_read_in_place_of_the_application(tmp_path: Path):
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(ONE))

    assert manifests.load(Settings(manifest=file)) == parse(ONE)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(SynthRefused, match=r"the manifest .*absent\.json cannot be read: No such file"):
        manifests.load(Settings(manifest=tmp_path / "absent.json"))


def test_the_application_tells_its_own_manifest(example: Manifest):
    assert example.app == "functions.commands:app"
    assert {"process_order", "stock", "charge", "ship", "always_fails"} == {queue.name for queue in example.queues}


def test_an_application_that_does_not_load_is_refused_with_its_own_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DUREX_APP", "functions.nowhere:app")

    with pytest.raises(SynthRefused, match=r"(?s)failed with exit code \d: .*functions\.nowhere.*-c manifest=FILE"):
        manifests.load(Settings())


def test_an_interpreter_that_is_not_there_is_refused():
    with pytest.raises(SynthRefused, match=r"registry could not be read: .*/no/python"):
        manifests.load(replace(Settings(), app_python="/no/python"))
