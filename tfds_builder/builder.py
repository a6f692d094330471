"""`ExportedBuilder`: the `tfds.core.DatasetBuilder` of datasets published by torch2tfds."""

from __future__ import annotations

import os
import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from tfds_builder import agreement, metadata
from tfds_builder import manifest as manifest_lib
from tfds_builder.catalog import catalog
from tfds_builder.consistency import VERSION
from tfds_builder.errors import DamagedFileError, ManifestError, MissingFileError
from tfds_builder.table import Table

_VERSION_CHARACTERS = 100
"""A version's three numbers are compared as numbers, which Python refuses to make of thousands of digits."""


def list_versions(dataset_dir: str | os.PathLike[str]) -> list[str]:
    """Published versions under `<data_dir>/<name>`, the newest first. Links, which could lead anywhere, are passed over.

    >>> list_versions("/data/digits")      # doctest: +SKIP
    ['1.1.0', '1.0.0']
    """
    if os.path.islink(dataset_dir):
        return []
    try:
        with os.scandir(dataset_dir) as entries:
            found = [
                entry.name
                for entry in entries
                if VERSION.fullmatch(entry.name)
                and len(entry.name) <= _VERSION_CHARACTERS
                and entry.is_dir(follow_symlinks=False)
                and (pathlib.Path(entry.path) / manifest_lib.FILENAME).is_file()
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda version: [int(part) for part in version.split(".")], reverse=True)


class ExportedBuilder(tfds.core.DatasetBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Reads a published dataset through the byte table; TFRecord and HDF5 alike.

    You rarely name this class: `tfds_builder.register(data_dir)` makes a subclass for every
    dataset of a directory, and each dataset carries a generated module with one. A subclass says
    where its data is, and importing it registers it:

    >>> class Digits(ExportedBuilder):           # doctest: +SKIP
    ...     name = "digits"
    ...     DATA_DIR = "/data"
    >>> tfds.load("digits", split="train")       # doctest: +SKIP

    Args:
      data_dir: directory that holds `<name>/<version>`; `DATA_DIR` of the class by default.
      config: must be None (a dataset has one configuration).
      version: `"1.2.0"`, `"1.*.*"`, or None for the newest.

    Raises:
      MissingFileError: no such dataset in the directory.
      ManifestError: its manifest is damaged or of a newer format version.
      DamagedFileError: TFDS's metadata beside it is not what was published.
      AssertionError: no such version (as TFDS raises it).
    """

    DATA_DIR: ClassVar[str | os.PathLike[str] | None] = None
    VERSION = tfds.core.Version("1.0.0")

    def __init_subclass__(cls, skip_registration: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(skip_registration=True, **kwargs)
        if not skip_registration:
            catalog.add(cls)

    def __init__(
        self,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        config: None = None,
        version: str | tfds.core.Version | None = None,
    ) -> None:
        root = data_dir or self.DATA_DIR
        if root is None:
            raise MissingFileError(f"dataset {self.name!r}: no data_dir; pass data_dir= (tfds.load({self.name!r}, data_dir=...))")
        self._root = pathlib.Path(os.path.expanduser(os.fspath(root)))
        self._available = [tfds.core.Version(text) for text in list_versions(self._root / self.name)]
        if not self._available:
            raise MissingFileError(
                f"dataset {self.name!r}: {self._root / self.name} holds no published version (links are not followed); "
                "pass the data_dir= it was exported to"
            )
        self._manifest: manifest_lib.Manifest | None = None
        super().__init__(data_dir=self._root, config=config, version=version)

    def __reduce__(self) -> tuple[Any, ...]:
        return builder_from_directory, (os.fspath(self.data_path),)

    @property
    def canonical_version(self) -> tfds.core.Version:
        """The newest published version."""
        return self._available[0]

    @property
    def versions(self) -> list[tfds.core.Version]:
        """Every published version, the newest first."""
        return list(self._available)

    @property
    def manifest(self) -> manifest_lib.Manifest:
        """What the version directory holds, byte for byte."""
        if self._manifest is None:
            found = manifest_lib.read(self.data_path)
            if (found.name, found.version) != (self.name, str(self.version)):
                raise ManifestError(f"{self.data_path} holds the manifest of {found.name} {found.version}; move it there")
            for problem in agreement.check(self.data_path, found):
                kind = MissingFileError if problem.missing else DamagedFileError
                raise kind(f"{self.data_path / problem.file}: {problem.message}")
            self._manifest = found
        return self._manifest

    def _info(self) -> tfds.core.DatasetInfo:
        return metadata.dataset_info(self, self.manifest, metadata.features_of(self.manifest))

    def download_and_prepare(self, **_: Any) -> None:
        """There is nothing to prepare: the data is there, or it must be exported again.

        Raises:
          MissingFileError: the version directory is gone.
        """
        if not self.data_path.exists():
            self._download_and_prepare()

    def _download_and_prepare(self, dl_manager: Any = None, download_config: Any = None) -> None:
        raise MissingFileError(f"{self.data_dir} is gone; an exported dataset cannot be downloaded, export it again")

    def _build_single_dataset(
        self,
        split: Any,
        batch_size: int | None,
        shuffle_files: bool,
        decoders: Any,
        read_config: Any,
        as_supervised: bool,
    ) -> Any:
        """As TFDS's own, but batches are read as blocks instead of being put together again.

        `ReadConfig.try_autocache` has nothing to do here: the page cache already holds the file.
        """
        if as_supervised and not self.info.supervised_keys:
            raise ValueError(f"as_supervised=True but {self.name} does not support a supervised structure.")
        whole = batch_size == -1
        if whole:
            batch_size = max(1, self.info.splits[split].num_examples)
        batch_size = batch_size or None  # to TFDS, 0 is no batch either
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be a positive number, -1 or None (got {batch_size})")
        ds = self._read(
            split,
            batch_size=batch_size,
            shuffle=shuffle_files,
            decoders=decoders,
            read_config=read_config,
            supervised_keys=self.info.supervised_keys if as_supervised else None,
        )
        return ds.get_single_element() if whole else ds

    def _as_dataset(self, split: Any, decoders: Any = None, read_config: Any = None, shuffle_files: bool = False) -> Any:
        return self._read(
            split,
            batch_size=None,
            shuffle=shuffle_files,
            decoders=decoders,
            read_config=read_config or tfds.ReadConfig(),
            supervised_keys=None,
        )

    def _read(
        self,
        split: Any,
        *,
        batch_size: int | None,
        shuffle: bool,
        decoders: Mapping[str, Any] | tfds.decode.PartialDecoding | None,
        read_config: Any,
        supervised_keys: Sequence[Any] | None,
    ) -> Any:
        from tfds_builder import reading

        features = self.info.features
        if isinstance(decoders, tfds.decode.PartialDecoding):
            features, decoders = decoders.extract_features(features), decoders.decoders
            if not len(features):
                raise ValueError("PartialDecoding: features cannot be empty")
        instructions = reading.select_instructions(self.info.splits[split].file_instructions, read_config)
        if not instructions:
            raise ValueError(f"Instruction {split!r} corresponds to no data!")
        table = Table(self.data_path, self.manifest, reading.segments_of(self.manifest, instructions))
        request = reading.Request(features, decoders, batch_size, shuffle, supervised_keys, read_config)
        return reading.make_dataset(table, self.manifest, request)


def make_builder_class(name: str, data_dir: str | os.PathLike[str]) -> type[ExportedBuilder]:
    """An unregistered ExportedBuilder subclass for the dataset `name` under `data_dir`."""
    body = {"name": name, "DATA_DIR": os.fspath(data_dir), "__module__": __name__}
    builder: type[ExportedBuilder] = types.new_class(
        name, (ExportedBuilder,), {"skip_registration": True}, lambda namespace: namespace.update(body)
    )
    return builder


def builder_from_directory(version_dir: str | os.PathLike[str]) -> ExportedBuilder:
    """The builder of one published version directory, registered or not.

    >>> builder_from_directory("/data/digits/1.0.0").info.splits      # doctest: +SKIP

    Args:
      version_dir: `<data_dir>/<name>/<version>`.

    Raises:
      MissingFileError, ManifestError, DamagedFileError: it is not a version directory this can read.
    """
    manifest_lib.read(version_dir)
    path = pathlib.Path(version_dir).resolve()
    return make_builder_class(path.parent.name, path.parent.parent)(version=path.name)
