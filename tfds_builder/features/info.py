"""TFDS's own metadata of a version directory: its `DatasetInfo`, the files it is kept in, and the names of shards.

TFDS writes and reads all of them without TensorFlow installed (tried with 4.9.10). An HDF5
directory gets no `features.json`: stock TFDS takes any directory that has one for TFRecord
(`read_only_builder._contains_dataset`), and would read nonsense.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_info as dataset_info_lib
from tensorflow_datasets.core import naming
from tensorflow_datasets.core import splits as splits_lib

from tfds_builder.catalog import metadata_files
from tfds_builder.contract.manifest import Manifest
from tfds_builder.errors import ManifestError
from tfds_builder.features.feature_json import features_of

TEMPLATES: Mapping[str, str] = {
    "tfrecord": naming.DEFAULT_FILENAME_TEMPLATE,
    "hdf5": "{DATASET}-{SPLIT}-{SHARD_X_OF_Y}.h5",
    "index": "{DATASET}-{SPLIT}.index-{SHARD_X_OF_Y}",
}
"""Shard file names by format, and of a TFRecord shard's index, in TFDS's template language (`filepathTemplate`)."""


def shard_file_name(format: str, name: str, split: str, index: int, count: int) -> str:
    """The published name of a shard's data file.

    >>> shard_file_name("tfrecord", "digits", "train", 0, 2)
    'digits-train.tfrecord-00000-of-00002'
    """
    template = naming.ShardedFileTemplate(
        data_dir="", dataset_name=name, split=split, filetype_suffix="tfrecord", template=TEMPLATES[format]
    )
    return str(template.sharded_filepath(shard_index=index, num_shards=count).name)


class ExportedInfo(tfds.core.DatasetInfo):
    """A DatasetInfo that prints its true format (TFDS has no name for HDF5 and says tfrecord)."""

    exported_format = "tfrecord"

    def read_from_directory(self, dataset_info_dir: Any) -> None:
        """As TFDS's own.

        Raises:
          ManifestError: TFDS cannot make sense of what is there.
        """
        try:
            super().read_from_directory(dataset_info_dir)
        except Exception as error:  # TFDS raises whatever its parsers raise
            raise ManifestError(f"{dataset_info_dir}: TFDS cannot read its dataset_info.json: {error!s:.300}") from error

    def __repr__(self) -> str:
        return str(super().__repr__()).replace("file_format=tfrecord,", f"file_format={self.exported_format},", 1)


def dataset_info(builder: Any, manifest: Manifest, features: Any) -> ExportedInfo:
    """The `tfds.core.DatasetInfo` of a manifest; `builder` is a builder or a DatasetIdentity."""
    keys = manifest.supervised_keys
    info = ExportedInfo(
        builder=builder,
        description=manifest.card.get("description") or f"{manifest.name}, exported from a PyTorch DataLoader.",
        features=features,
        supervised_keys=None if keys is None else tuple(keys),
        homepage=manifest.card.get("homepage") or None,
        citation=manifest.card.get("citation") or None,
        license=manifest.card.get("license") or None,
    )
    info.exported_format = manifest.format
    return info


def _identity(manifest: Manifest, directory: str) -> Any:
    """What a manifest is called, as TFDS takes it in place of a builder."""
    return dataset_info_lib.DatasetIdentity(
        name=manifest.name,
        version=tfds.core.Version(manifest.version),
        data_dir=directory,
        module_name=f"{manifest.name}_dataset_builder",
        config_name=manifest.config_name or None,
        config_description=manifest.config_description or None,
        release_notes=dict(manifest.release_notes),
    )


def read_dataset_info(manifest: Manifest, directory: str) -> ExportedInfo:
    """The `tfds.core.DatasetInfo` of a version directory, as its builder has it.

    Raises:
      DatasetError: TFDS's files there are not what was published.
    """
    for problem in metadata_files.check(pathlib.Path(directory), manifest):
        raise problem.to_error(pathlib.Path(directory))
    info = dataset_info(_identity(manifest, directory), manifest, features_of(manifest))
    info.read_from_directory(directory)
    return info


def write_metadata(manifest: Manifest, directory: str | os.PathLike[str]) -> list[str]:
    """Writes TFDS's metadata files of a manifest into a directory that holds its shards.

    Returns:
      Names of the files written.
    """
    directory = os.fspath(directory)
    before = set(os.listdir(directory))
    identity = _identity(manifest, directory)
    info = dataset_info(identity, manifest, features_of(manifest))
    info.set_splits(
        splits_lib.SplitDict(
            [
                splits_lib.SplitInfo(
                    name=name,
                    shard_lengths=[shard.rows for shard in split.shards],
                    num_bytes=sum(shard.data.bytes for shard in split.shards),
                    filename_template=naming.ShardedFileTemplate(
                        data_dir=directory,
                        dataset_name=manifest.name,
                        split=name,
                        filetype_suffix="tfrecord",
                        template=TEMPLATES[manifest.format],
                    ),
                )
                for name, split in manifest.splits.items()
            ]
        )
    )
    is_tfrecord = manifest.format == "tfrecord"
    if is_tfrecord:
        info.set_file_format("tfrecord")
    else:
        info.features.save_metadata(directory, feature_name=None)
    info.write_to_directory(directory, all_metadata=is_tfrecord)
    return sorted(set(os.listdir(directory)) - before)
