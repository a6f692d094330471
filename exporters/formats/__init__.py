"""A file per format, loaded by name when it is used."""

from exporters import wording
from exporters.errors import ArgumentError
from exporters.formats.base import Format, ShardContext, ShardWriter, Sink

__all__ = ["Format", "ShardContext", "ShardWriter", "Sink", "find"]


def find(name: str) -> Format:
    """The format of that name; its module, and h5py, are loaded only now.

    Raises:
      ArgumentError: there is no such format.
      MissingDependencyError: a package it needs is missing.
    """
    if name == "tfrecord":
        from exporters.formats.tfrecord import TFRecordFormat

        return TFRecordFormat()
    if name == "hdf5":
        from exporters.formats.hdf5 import HDF5Format

        return HDF5Format()
    raise ArgumentError(f"{wording.called('format')} must be 'tfrecord' or 'hdf5' (got {name!r})")
