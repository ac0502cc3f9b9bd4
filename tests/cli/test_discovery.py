import pytest

PROJECT = '[tool.durex]\napp = "shop:app"\n'


@pytest.fixture
def project(shop):
    """The shop as a project that names its application; returns a folder below it."""
    (shop / "pyproject.toml").write_text(PROJECT)
    below = shop / "docs" / "guide"
    below.mkdir(parents=True)
    return below


def test_the_nearest_project_names_the_application_from_any_folder_below(durex, project):
    assert durex.json("enqueue", "fail", folder=project, DUREX_APP=None)["created"]


def test_the_environment_is_stronger_than_the_project_and_the_option_than_both(durex_here, project, shop):
    (shop / "second.py").write_text("from durex_core import Durex\napp = Durex()\n")
    by_environment = durex_here.run("enqueue", "fail", folder=project, DUREX_APP="second:app")
    by_option = durex_here.run("enqueue", "fail", "--app", "shop:app", folder=project, DUREX_APP="second:app")
    assert "no command named 'fail' is registered (known: none)" in by_environment.stderr
    assert by_option.returncode == 0


def test_an_application_may_lie_in_the_working_directory_without_any_project(durex_here, tmp_path):
    (tmp_path / "alone.py").write_text("from durex_core import Durex\nclass held:\n    app = Durex()\n")
    done = durex_here.run("migrate", folder=tmp_path, DUREX_APP="alone:held.app")
    assert (done.returncode, done.stdout) == (0, "up to date\n")


@pytest.mark.parametrize(
    ("module", "name", "reason"),
    [
        ("", "shop", "'shop' names no application; write module:attribute"),
        ("", "nowhere:app", "cannot import 'nowhere': ModuleNotFoundError: No module named 'nowhere'"),
        ("", "shop:nothing", "has no attribute 'nothing'"),
        ("", "shop:other", "shop:other is a str, not a Durex application"),
        ("import missing_part", "broken:app", "No module named 'missing_part'"),
        ("x = 1\nx / 0", "broken:app", "ZeroDivisionError: division by zero"),
        ("from durex_core import Durex\n@Durex().command('bad name')\ndef f(): ...", "broken:app", "RegistrationError"),
        ("def", "broken:app", "SyntaxError"),
    ],
)
def test_an_application_that_cannot_be_loaded_is_wrong_use_and_says_why(durex_here, shop, module, name, reason):
    (shop / "broken.py").write_text(module)
    done = durex_here.run("migrate", "--app", name, "--json")
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert '"type": "AppNotFound"' in done.stdout


def test_the_line_that_broke_the_import_is_named(durex_here, shop):
    (shop / "broken.py").write_text("\n\nx = 1 / 0\n")
    assert "broken.py, line 3)" in durex_here.run("migrate", "--app", "broken:app").stderr


@pytest.mark.parametrize(
    ("project", "reason"),
    [
        (None, "lies in no project; name it with --app module:attribute, with DUREX_APP"),
        ("[tool.other]\n", "has no `[tool.durex] app`"),
        ("[tool.durex]\napp = 5\n", 'is 5; write app = "module:attribute"'),
        ("[tool.durex\n", "cannot read"),
        ("tool = 5", "has no `[tool.durex] app`"),
    ],
)
def test_no_named_application_is_wrong_use_and_says_how_to_name_one(durex_here, shop, project, reason):
    if project is not None:
        (shop / "pyproject.toml").write_text(project)
    done = durex_here.run("migrate", DUREX_APP=None)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert reason in done.stderr
