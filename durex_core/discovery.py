"""Loading an application by its name, `module:attribute`."""

import importlib
from operator import attrgetter
from traceback import extract_tb
from typing import Any

from durex_core.app import Durex
from durex_core.errors import AppNotFound


def load_app(name: str) -> Durex:
    """Import `module:attribute` and return the application it holds.

    Raises:
        AppNotFound: there is no such module or attribute, or it is no application.
    """
    module_name, colon, attribute = name.partition(":")
    if not (module_name and colon and attribute):
        raise AppNotFound(f"{name!r} names no application; write module:attribute, for example shop.commands:app")
    app = _attribute(_import(module_name), attribute)
    if not isinstance(app, Durex):
        raise AppNotFound(f"{name} is a {type(app).__name__}, not a Durex application; write app = Durex()")
    return app


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # a user's module may raise anything when it is imported
        raise AppNotFound(f"cannot import {name!r}: {_why(error)}") from error


def _why(error: Exception) -> str:
    """Name an error of an import and the line of the user's code that raised it."""
    frames = [frame for frame in extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if len(frames) > 1 else ""
    return f"{type(error).__name__}: {error}{place}"


def _attribute(module: Any, attribute: str) -> Any:
    try:
        return attrgetter(attribute)(module)
    except AttributeError:
        raise AppNotFound(f"module {module.__name__!r} ({module.__file__}) has no attribute {attribute!r}") from None
