"""MODULE:FACTORY, which a command line names, as the loaders it makes."""

from __future__ import annotations

import importlib
import inspect
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from exporters.errors import ArgumentError


def load_factory(text: str, app_dir: pathlib.Path) -> Any:
    """Imports MODULE:FACTORY, calls it, and returns what it returned.

    Raises:
      ArgumentError: it is not of that form, does not import, is not callable or returns neither a DataLoader nor a mapping.
        An exception of the factory itself passes through.
    """
    from exporters.items import is_loader

    module_name, colon, path = text.partition(":")
    if not module_name or module_name.startswith(".") or not colon or not path:
        raise ArgumentError(f'expected MODULE:FACTORY, such as "my_project.data:make_loaders" (got {text!r})')
    sys.path.insert(0, os.fspath(app_dir.absolute()))
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there; something it imports is not
        raise ArgumentError(
            f"cannot import module {module_name!r} (looked in {app_dir.absolute()} first; see --app-dir)"
        ) from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise ArgumentError(f"module {module_name!r} has no attribute {path!r}")
        found = getattr(found, part)
    if not callable(found):
        raise ArgumentError(f"{text} must be a callable without arguments (got {type(found).__name__}); wrap it in a function")
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        raise ArgumentError(f"{text} must be a callable without arguments ({error}); wrap it in a function") from error
    loaders = found()
    if not is_loader(loaders) and not isinstance(loaders, Mapping):
        raise ArgumentError(
            f"{text} must return a DataLoader or a mapping of split name to DataLoader (got {type(loaders).__name__})"
        )
    return loaders
