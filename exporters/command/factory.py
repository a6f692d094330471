"""MODULE:FACTORY, which a command line names, as the loaders it makes."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pathlib
import sys
from collections.abc import Mapping

import tfds_builder
from exporters.aliases import Loader
from exporters.errors import ArgumentError

_OWN = pathlib.Path(tfds_builder.__file__).parents[1]
"""Where the packages of this product are."""


def load_factory(text: str, app_dir: pathlib.Path) -> Loader:
    """Imports MODULE:FACTORY, calls it, and returns what it returned.

    Raises:
      ArgumentError: it is not of that form, does not import, is not callable or returns neither a DataLoader nor a mapping.
        An exception of the factory itself passes through.
    """
    from exporters.loaders.items import is_loader

    module_name, colon, path = text.partition(":")
    if not module_name or module_name.startswith(".") or not colon or not path:
        raise ArgumentError(f'expected MODULE:FACTORY, such as "my_project.data:make_loaders" (got {text!r})')
    _refuse_own_name(text, module_name, app_dir.absolute())
    sys.path.insert(0, os.fspath(app_dir.absolute()))
    try:
        found: object = importlib.import_module(module_name)
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


def _refuse_own_name(text: str, module_name: str, app_dir: pathlib.Path) -> None:
    """Raises ArgumentError if what is meant is a module of the user's that a package of this product hides."""
    name = module_name.partition(".")[0]
    if name not in ("exporters", "tfds_builder"):
        return
    own = _OWN / name
    theirs = [path for path in (app_dir / name, app_dir / f"{name}.py") if path.exists() and path.resolve() != own.resolve()]
    if not theirs and _is_module(module_name):
        return
    what = f"hides {theirs[0]}" if theirs else f"has no {module_name}"
    raise ArgumentError(
        f"{text}: the name {name!r} is the product's own: its package {own} {what}; rename yours, for example my_{text}"
    )


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a module it would be in
        return False
