import subprocess
import sys
from pathlib import Path

import pytest

import durex_core


def test_the_help_of_every_command_names_the_options_that_all_have(durex_here):
    commands = ["dev", "worker", "migrate", "enqueue", "list", "show", "cancel", "retry", "replay", "stats"]
    overview = durex_here.run("--help")
    assert all(command in overview.stdout for command in commands)
    for command in commands:
        done = durex_here.run(command, "--help")
        assert done.returncode == 0
        assert all(option in done.stdout for option in ("--app", "--database", "--json", "--verbose"))


def test_no_command_or_an_unknown_one_is_wrong_use(durex_here):
    assert durex_here.run().returncode == 2
    assert durex_here.run("dance").returncode == 2


def test_the_installed_script_is_the_same_program():
    script = Path(sys.executable).with_name("durex")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"durex, version {durex_core.__version__}\n"


def test_without_the_extra_it_says_what_to_install(tmp_path):
    (tmp_path / "click.py").write_text("raise ModuleNotFoundError(\"No module named 'click'\", name='click')")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from durex_core.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == ("error: click is not installed; the command line needs: pip install 'durex-core[local]'\n")


@pytest.mark.parametrize("option", [[], ["--verbose"]])
def test_log_lines_go_to_stderr_alone(durex, option):
    done = durex.run("migrate", "--json", *option)
    assert done.stdout.count("\n") == 1
