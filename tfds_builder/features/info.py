"""TFDS's own metadata of a version directory: its `DatasetInfo`, and the files it is kept in.

TFDS writes and reads all of them without TensorFlow installed (tried with 4.9.10). A directory that stock TFDS cannot
read (HDF5) gets no `features.json`: stock TFDS takes any directory that has one for TFRecord
(`read_only_builder._contains_dataset`), and would read nonsense.
"""

from __future__ import annotations

import os
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_info as dataset_info_lib
from tensorflow_datasets.core import file_adapters, naming
from tensorflow_datasets.core import splits as splits_lib

from tfds_builder import formats
from tfds_builder.aliases import Builder, Features
from tfds_builder.catalog import metadata_files
from tfds_builder.contract.directory import AnyDirectory, Directory
from tfds_builder.contract.manifest import Manifest
from tfds_builder.errors import ManifestError
from tfds_builder.features.feature_json import features_of


class ExportedInfo(tfds.core.DatasetInfo):
    """A DatasetInfo that prints its true format (TFDS has no name for HDF5 and says tfrecord)."""

    exported_format = file_adapters.DEFAULT_FILE_FORMAT.value

    def read_from_directory(self, dataset_info_dir: str | os.PathLike[str]) -> None:
        """As TFDS's own.

        Raises:
          ManifestError: TFDS cannot make sense of what is there.
        """
        try:
            super().read_from_directory(dataset_info_dir)
        except Exception as error:  # TFDS raises whatever its parsers raise
            raise ManifestError(f"{dataset_info_dir}: TFDS cannot read its dataset_info.json: {error!s:.300}") from error

    def __repr__(self) -> str:
        default = file_adapters.DEFAULT_FILE_FORMAT.value
        return str(super().__repr__()).replace(f"file_format={default},", f"file_format={self.exported_format},", 1)


def dataset_info(builder: Builder, manifest: Manifest, features: Features) -> ExportedInfo:
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


def _identity(manifest: Manifest, directory: Directory) -> Any:
    """What a manifest is called, as TFDS takes it in place of a builder."""
    return dataset_info_lib.DatasetIdentity(
        name=manifest.name,
        version=tfds.core.Version(manifest.version),
        data_dir=str(directory),
        module_name=f"{manifest.name}_dataset_builder",
        config_name=manifest.config_name or None,
        config_description=manifest.config_description or None,
        release_notes=dict(manifest.release_notes),
    )


def read_dataset_info(manifest: Manifest, directory: Directory) -> ExportedInfo:
    """The `tfds.core.DatasetInfo` of a version directory, as its builder has it.

    Raises:
      DatasetError: TFDS's files there are not what was published.
    """
    for problem in metadata_files.check(directory, manifest):
        raise problem.to_error(directory)
    info = dataset_info(_identity(manifest, directory), manifest, features_of(manifest))
    info.read_from_directory(str(directory))
    return info


def write_metadata(manifest: Manifest, version_dir: AnyDirectory) -> list[str]:
    """Writes TFDS's metadata files of a manifest into a directory that holds its shards, and tables that are too large for it.

    Returns:
      Names of the files written.
    """
    directory, stored = Directory.at(version_dir), formats.find(manifest.format)
    before, path = set(directory.names()), str(directory)  # TFDS writes them itself, into a path
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
                        data_dir=path,
                        dataset_name=manifest.name,
                        split=name,
                        filetype_suffix=stored.tfds_name,
                        template=stored.template,
                    ),
                )
                for name, split in manifest.splits.items()
            ]
        )
    )
    if stored.tfds_name is None:
        info.features.save_metadata(path, feature_name=None)
    else:
        info.set_file_format(stored.tfds_name)
    info.write_to_directory(path, all_metadata=stored.tfds_name is not None)
    for table in manifest.integers:
        if table.file_name:
            directory.replace(table.file_name, table.data)
    return sorted(set(directory.names()) - before)
