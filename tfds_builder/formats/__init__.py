"""What a file of each format is: a module a format, found by its name. Nothing outside of this room asks which format it is.

>>> from tfds_builder import formats
>>> formats.find("hdf5").file_name("digits", "train", 0, 2)
'digits-train-00000-of-00002.h5'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfds_builder.formats.base import StoredFormat

NAMES = ("tfrecord", "hdf5")
"""Every format there is: the module of that name in this room has it as `FORMAT`."""


def find(name: str) -> StoredFormat:
    """The format of that name; its module is loaded only now.

    Raises:
      KeyError: there is no such format.
    """
    if name not in NAMES:
        raise KeyError(name)
    found: StoredFormat = importlib.import_module(f"{__name__}.{name}").FORMAT
    return found
