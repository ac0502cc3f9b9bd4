"""The pages' Python: every block runs, and prints what the block after it says.

The blocks of a page are one program, from its top to its end, except where each is a program of its own. A program
runs in a process and a folder of its own, with every line of code where it stands on the page, so that a traceback
points to it. Programs run on the database that they name, and on Postgres.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENDS_EACH_BLOCK = "\x1e"
PATIENCE_SECONDS = 60
PAGES = ["README.md", "docs/commands.md", "docs/delivery.md", "docs/operations.md", "docs/workflows.md"]
COMPLETE_PROGRAMS = ["docs/examples.md"]

# What a reader of the README does with `durex worker`.
WORK = """
import threading
from durex_core.model import State

worker = app.worker()
working = threading.Thread(target=worker.run)
working.start()
while app.find(states=[state for state in State if not state.is_terminal]).commands:
    threading.Event().wait(0.01)
worker.stop()
working.join()
app.close()
"""

_FENCE = re.compile(r"^```(\w*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line's number, from 0, and its text."""

    language: str
    line: int
    text: str


@dataclass(frozen=True)
class Step:
    """A block of Python, and what it prints; None where the page does not say."""

    code: Block
    prints: str | None


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = page.splitlines()
    fences = [number for number, line in enumerate(lines) if line.startswith("```")]
    assert len(fences) % 2 == 0, "a fence is not closed"
    for start, end in zip(fences[::2], fences[1::2], strict=True):
        found = _FENCE.match(lines[start])
        assert found, f"line {start + 1}: name the language of the block, and nothing else"
        yield Block(found[1], start + 1, "\n".join(lines[start + 1 : end]))


def steps(page: str) -> list[Step]:
    """Return the blocks of Python with their output: a block of text that follows, with prose or not in between."""
    found = list(blocks(page))
    following: list[Block | None] = [*found[1:], None]
    return [
        Step(block, after.text if after is not None and after.language == "text" else None)
        for block, after in zip(found, following, strict=True)
        if block.language == "python"
    ]


def program(blocks_of_code: list[Block]) -> str:
    """Return a program of blocks, each where it stands on its page, with a mark printed after each."""
    lines: list[str] = []
    for block in blocks_of_code:
        lines += [""] * (block.line - len(lines))
        lines += [*block.text.splitlines(), f"print({ENDS_EACH_BLOCK!r}, flush=True)"]
    return "\n".join(lines) + "\n"


@pytest.fixture(params=["sqlite", "postgres"])
def on(request):
    """A change to a program that lets it use a database of this kind."""
    if request.param == "sqlite":
        return lambda code: code
    url = request.getfixturevalue("postgres_url")
    return lambda code: code.replace("sqlite:///:memory:", url).replace("Durex()", f"Durex({url!r})")


def run(folder: Path, name: str, code: str) -> str:
    """Run a program in an empty folder and return what it prints."""
    (folder / name).write_text(code)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DUREX_", "COLUMNS"))}
    with subprocess.Popen(
        [sys.executable, "-W", "error", name],
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        timer = threading.Timer(PATIENCE_SECONDS, process.kill)
        timer.start()
        printed, told = process.communicate()
        timer.cancel()
    assert process.returncode == 0, f"{name} ended with {process.returncode}\nout: {printed}\nerr: {told}"
    return printed


@pytest.mark.parametrize("path", PAGES)
def test_the_blocks_of_a_page_run_one_after_another_and_print_what_it_says(path, on, tmp_path):
    page = steps((ROOT / path).read_text())
    assert page

    *printed, rest = run(tmp_path, "page.py", on(program([step.code for step in page]))).split(f"{ENDS_EACH_BLOCK}\n")

    assert rest == ""
    assert {step.code.line: step.prints for step in page} == {
        step.code.line: text.rstrip("\n") if step.prints is not None or text else None
        for step, text in zip(page, printed, strict=True)
    }


@pytest.mark.parametrize("path", COMPLETE_PROGRAMS)
def test_each_block_is_a_program_and_prints_what_the_page_says(path, on, tmp_path):
    page = steps((ROOT / path).read_text())
    assert len(page) == 2
    for step in page:
        assert run(tmp_path, "program.py", on(step.code.text)).rstrip() == step.prints


def test_the_orders_of_the_readme_are_shipped_and_undone(on, tmp_path):
    page = steps((ROOT / "README.md").read_text())

    printed = run(tmp_path, "shop.py", on("\n".join(step.code.text for step in page)) + WORK)

    assert sorted(printed.splitlines()) == ["999 goes back", "charging 999, attempt 1"]


@pytest.mark.slow
def test_a_type_checker_finds_nothing_to_say(tmp_path):
    for path in [*PAGES, *COMPLETE_PROGRAMS]:
        page = steps((ROOT / path).read_text())
        programs = [[step.code] for step in page] if path in COMPLETE_PROGRAMS else [[step.code for step in page]]
        for number, code in enumerate(programs):
            name = re.sub(r"\W", "_", f"{path}_{number}")
            (tmp_path / f"{name}.py").write_text(program(code))

    options = ["--strict", "--allow-untyped-defs", "--follow-imports=silent", "--cache-dir", tmp_path / "cache"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, tmp_path],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_page_that_says_something_else_is_found_out(tmp_path):
    (step,) = steps("# Page\n\n```python\nprint('one')\n```\n\nIt prints:\n\n```text\ntwo\n```\n")

    assert step == Step(Block("python", 3, "print('one')"), "two")
    assert run(tmp_path, "page.py", program([step.code])) == f"one\n{ENDS_EACH_BLOCK}\n"
    with pytest.raises(AssertionError, match=r'page\.py", line 4'):
        run(tmp_path, "page.py", program([Block("python", 3, "raise ValueError")]))
