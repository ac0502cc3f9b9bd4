"""Answers: what a database holds is read to the letter."""

import json
import math

import pytest

from durex_core.store.answers import read_document


@pytest.mark.parametrize(
    "text", ["null", "[]", '{"a": [1, 2.5, "ä", null, true]}', "1e308", "-0.0", str(2**80), '"\\u00e9"']
)
def test_a_document_is_read_as_json_reads_it(text):
    for given in (text, text.encode()):
        read = read_document(given)
        assert (read, type(read)) == (json.loads(text), type(json.loads(text)))
    assert text != "-0.0" or math.copysign(1, read) == -1


def test_a_payload_nested_as_deep_as_allowed_is_read_inside_of_a_document_of_ours():
    deep = "[" * 200 + "]" * 200
    assert read_document(f'[{{"command": {{"payload": {deep}}}}}]') == [{"command": {"payload": json.loads(deep)}}]
