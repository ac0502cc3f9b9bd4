"""Discovery: which application a command line means, and how it is loaded."""

import os
import sys
import tomllib
from pathlib import Path

from durex_core.app import Durex
from durex_core.discovery import load_app
from durex_core.errors import AppNotFound

_HOW = "name it with --app module:attribute, with DUREX_APP, or as `[tool.durex] app` in pyproject.toml"


def find_app(named: str | None = None) -> Durex:
    """Load the application named here, else by DUREX_APP, else by the nearest pyproject.toml upward.

    Raises:
        AppNotFound: none is named, or what is named cannot be loaded; the message says why.
    """
    return load_app(find_name(named))


def find_name(named: str | None = None) -> str:
    """Return the application's name, `module:attribute`, and put the folder that holds it on the path.

    Raises:
        AppNotFound: none is named.
    """
    project = _nearest_project(Path.cwd())
    chosen = named or os.environ.get("DUREX_APP")
    if chosen:
        _put_on_path(Path.cwd(), *([project.parent] if project else []))
        return chosen
    if project is None:
        raise AppNotFound(f"no application is named, and {Path.cwd()} lies in no project; {_HOW}")
    _put_on_path(project.parent)
    return _app_of_project(project)


def project_folder() -> Path:
    """Return the folder of the nearest pyproject.toml upward, else the current one."""
    project = _nearest_project(Path.cwd())
    return project.parent if project else Path.cwd()


def _nearest_project(folder: Path) -> Path | None:
    found = (parent / "pyproject.toml" for parent in (folder, *folder.parents))
    return next((file for file in found if file.is_file()), None)


def _app_of_project(project: Path) -> str:
    try:
        settings = tomllib.loads(project.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise AppNotFound(f"cannot read {project}: {error}") from None
    try:
        app = settings["tool"]["durex"]["app"]
    except (KeyError, TypeError):
        raise AppNotFound(f"no application is named: {project} has no `[tool.durex] app`; {_HOW}") from None
    if not isinstance(app, str):
        raise AppNotFound(f'`[tool.durex] app` in {project} is {app!r}; write app = "module:attribute"')
    return app


def _put_on_path(*folders: Path) -> None:
    for folder in reversed(folders):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
