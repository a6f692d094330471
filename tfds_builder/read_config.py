"""`ReadConfig`: TFDS's own, with what the byte table adds."""

from __future__ import annotations

import dataclasses
from typing import Literal

import tensorflow_datasets as tfds


@dataclasses.dataclass(eq=False)
class ReadConfig(tfds.ReadConfig):
    """A `tfds.ReadConfig` that can also ask for a shuffle row by row, and for a check of what is read.

    >>> tfds.load("digits", split="train", shuffle_files=True,           # doctest: +SKIP
    ...           read_config=tfds_builder.ReadConfig(shuffle_unit="row", shuffle_seed=0))

    With `shuffle_files=True` the whole split is shuffled, anew at each epoch unless
    `shuffle_reshuffle_each_iteration=False`, and reproducibly if `shuffle_seed` is given. Workers among
    which `tf.distribute` deals out a split must be given one `shuffle_seed`, or each shuffles for itself.

    Attributes:
      shuffle_unit: `"block"` (as with a plain `tfds.ReadConfig`): short runs of neighbouring rows come from at least 128
        places all over the split at once, in random order (`"block"` after them), and all their rows, some thousand
        together, are permuted. A run is 32 rows of 3 KB, one row from 128 KiB on, never more than 256 KiB; batches of
        sorted classes have all of them. Cheaper than single rows, and what a disk reads at its speed.
        `"row"`: every single row, a permutation of the whole split without a buffer; best when
        the files are in the page cache or on a fast SSD.

      verify: whether what is read is checked first: of TFRecord files the CRCs of the records that are read, every time;
        of HDF5 files, which have none, the SHA-256 of each file before its first row is read, once in a process. Damage is
        a DamagedFileError that names the file, and the record (docs/performance.md says what it costs).

    Raises:
      ValueError: `shuffle_unit` is neither, or `verify` is no bool.
    """

    shuffle_unit: Literal["block", "row"] = "block"
    verify: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shuffle_unit not in ("block", "row"):
            raise ValueError(f"shuffle_unit must be 'block' or 'row' (got {self.shuffle_unit!r})")
        if not isinstance(self.verify, bool):
            raise ValueError(f"verify must be True or False (got {self.verify!r})")
