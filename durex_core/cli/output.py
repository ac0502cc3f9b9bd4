"""Where a command's answer goes: a table for people, or one line of JSON for programs. Logs go to stderr."""

import json
import logging
import os
import sys
import time
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.text import Text

_WIDTH_OF_A_PIPE = 100
_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s"


class Output:
    """The answer of one command; it keeps the true stdout, whatever `sys.stdout` is turned into."""

    def __init__(self, *, as_json: bool) -> None:
        """Answer in JSON, or for people."""
        self.as_json = as_json
        self._stream = sys.stdout
        self._console = console(self._stream)

    def answer(self, document: dict[str, Any], *readable: RenderableType) -> None:
        """Print the document, or what says the same to a person."""
        if self.as_json:
            print_document(self._stream, document)
        else:
            for part in readable:
                # A line of text is left to the terminal to wrap, so that it can be copied in one piece.
                self._console.print(part, soft_wrap=isinstance(part, str | Text))
            self._stream.flush()


def console(stream: TextIO) -> Console:
    """Return a console for a stream: colours and the true width on a terminal, plain lines elsewhere."""
    is_measured = stream.isatty() or "COLUMNS" in os.environ
    return Console(file=stream, highlight=False, markup=False, width=None if is_measured else _WIDTH_OF_A_PIPE)


def print_document(stream: TextIO, document: dict[str, Any]) -> None:
    """Print one document on one line, in ASCII, which every stream can hold."""
    print(json.dumps(document), file=stream, flush=True)


def log_to_stderr(*, verbose: bool) -> None:
    """Send log lines to stderr, with times in UTC; `verbose` shows what happens inside."""
    formatter = logging.Formatter(_FORMAT, datefmt="%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
