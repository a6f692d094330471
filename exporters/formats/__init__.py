"""How a format is written: a module a format, of the name that the format has in `tfds_builder.formats`, where it is listed."""

import importlib

from exporters import wording
from exporters.errors import ArgumentError
from exporters.formats.base import Format, ShardContext, ShardWriter, Sink
from tfds_builder import formats

__all__ = ["Format", "ShardContext", "ShardWriter", "Sink", "find"]


def find(name: str) -> Format:
    """The format of that name; its module, and h5py, are loaded only now.

    Raises:
      ArgumentError: there is no such format.
      MissingDependencyError: a package it needs is missing.
    """
    if name not in formats.NAMES:
        raise ArgumentError(f"{wording.called('format')} must be {' or '.join(map(repr, formats.NAMES))} (got {name!r})")
    found: Format = importlib.import_module(f"{__name__}.{name}").FORMAT
    return found
