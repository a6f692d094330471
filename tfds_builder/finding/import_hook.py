"""For users who name directories in `TORCH2TFDS_PATH` or `catalogs.toml`: `tfds.load` finds them once this package is imported.

TFDS has to be told of a provider, and importing it takes longer than all of this package. So nothing is told to it before it is
imported, by whomever, and nothing at all where no directory is named.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
import warnings
from collections.abc import Sequence

from tfds_builder.errors import DatasetError, DatasetWarning
from tfds_builder.finding.search_path import is_configured

_TFDS = "tensorflow_datasets"


def offer_what_is_configured() -> None:
    """Has TFDS ask for names in the directories of the search path: now if it is imported, or else when it is."""
    if not is_configured():
        return
    if _TFDS in sys.modules:
        _offer()
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _offer() -> None:
    """Makes the provider and its namespaces known. What is wrong with the search path is a warning here, and an error later."""
    importlib.import_module("tfds_builder.builder")
    provider = importlib.import_module("tfds_builder.finding.provider")
    try:
        provider.offer_search_path()
    except DatasetError as error:
        warnings.warn(f"datasets are not found by their names alone: {error}", DatasetWarning, stacklevel=2)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds TFDS where it is, once, to be told when it has been imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _TFDS:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader does, which the module then has as if this had not been."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _offer()
