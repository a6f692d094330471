"""`ExportedBuilder`: the `tfds.core.DatasetBuilder` of datasets published by torch2tfds."""

from __future__ import annotations

import functools
import os
import types
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from tensorflow_datasets.core import naming
from tensorflow_datasets.core.utils.lazy_imports_utils import tree

from tfds_builder.aliases import Decoder, Decoders, Features, LoadedDataset, LoadedSource, ReadConfigArgument, SplitArgument
from tfds_builder.catalog import location, metadata_files
from tfds_builder.catalog import read as read_lib
from tfds_builder.catalog.configs import ExportedConfig, FromDirectory
from tfds_builder.catalog.listing import list_configs, list_versions
from tfds_builder.contract import manifest as manifest_lib
from tfds_builder.contract.directory import Directory
from tfds_builder.errors import ManifestError, MissingFileError, UnreadableFileError
from tfds_builder.features.feature_json import features_of
from tfds_builder.features.info import dataset_info
from tfds_builder.finding.provider import catalog, explain_unknown, find_builder_cls, make_builders_by
from tfds_builder.table.segments import segments_of
from tfds_builder.table.table import Table


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
      data_dir: directory that holds `<name>/<version>` and `<name>/<config>/<version>`; `DATA_DIR` of the class by default.
      config: name of a published config, or a BuilderConfig of that name. By default what was published without a config
        (which `""` says too); if nothing was, the first config by name.
      version: `"1.2.0"`, `"1.*.*"`, or None for the newest of the config.
      file_format: None or the dataset's own. ArrayRecord is taken as well and means nothing: `tfds.data_source` asks for
        it unless it is told a data_dir.
      verify: whether everything that is read is checked first, as `tfds_builder.ReadConfig(verify=True)` does it:
        `tfds.data_source("digits", split="train", builder_kwargs={"verify": True})`.

    Raises:
      ValueError: another file_format.
      MissingFileError: no such dataset in the directory.
      UnreadableFileError: this user may not read it; the message names the owner.
      ManifestError: its manifest is damaged or of a newer format version.
      DamagedFileError: TFDS's metadata beside it is not what was published.
      ValueError: no such config (as TFDS raises it).
      AssertionError: no such version (as TFDS raises it).
    """

    DATA_DIR: ClassVar[str | os.PathLike[str] | None] = None
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = FromDirectory(list)
    builder_configs = FromDirectory(lambda configs: {config.name: config for config in configs})

    def __init_subclass__(cls, skip_registration: bool = False, **kwargs: object) -> None:
        super().__init_subclass__(skip_registration=True, **kwargs)
        if not skip_registration:
            catalog.add(cls)

    def __init__(
        self,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        config: str | tfds.core.BuilderConfig | None = None,
        version: str | tfds.core.Version | None = None,
        file_format: object = None,
        verify: bool = False,
    ) -> None:
        root = data_dir or self.DATA_DIR
        if root is None:
            raise MissingFileError(f"dataset {self.name!r}: no data_dir; pass data_dir= (tfds.load({self.name!r}, data_dir=...))")
        self._root = Directory.given(root)
        self._published = list_configs(self._root.below(self.name))
        if not self._published:
            if location.is_url(self._root):
                raise MissingFileError(location.explain_url(root))
            raise MissingFileError(
                f"dataset {self.name!r}: {self._root.below(self.name)} holds no published version (links are not followed); "
                "pass the data_dir= it was exported to"
            )
        self._manifest: manifest_lib.Manifest | None = None
        self._verify = verify
        super().__init__(data_dir=self._root.path, config=config, version=version)
        if getattr(file_format, "value", file_format) != "array_record":
            self._check_format(file_format)

    def _create_builder_config(self, builder_config: object, version: object) -> ExportedConfig | None:
        """The config asked for, or None for what was published without one; the versions are then those of it.

        Raises:
          ValueError: it is not published.
        """
        name = next(iter(self._published)) if builder_config is None else getattr(builder_config, "name", builder_config)
        if not isinstance(name, str) or name not in self._published:
            raise ValueError(f"dataset {self.name!r} has no config {name!r}; published are {self._describe_published()}")
        versions = self._published[name] or list_versions(self._root.below(self.name, name))  # which says why there are none
        if not versions:
            raise ValueError(
                f"dataset {self.name!r} has no version of config {name!r}; published are {self._describe_published()}"
            )
        self._available = [tfds.core.Version(text) for text in versions]
        return ExportedConfig(name, versions, lambda: self.manifest) if name else None

    def _pick_version(self, requested_version: object) -> Any:
        try:
            return super()._pick_version(requested_version)
        except AssertionError as error:
            raise AssertionError(f"{error} Published in {self._root}: {self._describe_published()}") from error

    def _describe_published(self) -> str:
        return "; ".join(
            f"{config or 'without a config'}: {', '.join(versions) or 'not readable'}"
            for config, versions in self._published.items()
        )

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (os.fspath(self.data_path), self._verify, self.manifest.head)

    @property
    def canonical_version(self) -> tfds.core.Version:
        """The newest published version of the config."""
        return self._available[0]

    @property
    def versions(self) -> list[tfds.core.Version]:
        """Every published version of the config, the newest first."""
        return list(self._available)

    @property
    def release_notes(self) -> dict[str, str]:
        """What changed, by version, as this version tells it."""
        return dict(self.manifest.release_notes)

    @property
    def manifest(self) -> manifest_lib.Manifest:
        """What the version directory holds, byte for byte."""
        if self._manifest is None:
            directory, found = Directory.at(self.data_path), self._read_manifest()
            if found.place != tuple(filter(None, (self.name, self.builder_config_name, str(self.version)))):
                raise ManifestError(location.explain_misplaced(directory, found.place, self._root))
            for problem in metadata_files.check(directory, found):
                raise problem.to_error(directory)
            self._manifest = found
        return self._manifest

    def _read_manifest(self) -> manifest_lib.Manifest:
        try:
            return read_lib.read_manifest(self.data_path)
        except UnreadableFileError as error:
            raise UnreadableFileError(f"{error}; published are {self._describe_published()}") from error

    def _check_format(self, asked: object) -> None:
        if getattr(asked, "value", asked) not in (None, self.manifest.format):
            raise ValueError(f"Requested file format {asked} is not available: {self.name} is {self.manifest.format}")

    def _info(self) -> tfds.core.DatasetInfo:
        return dataset_info(self, self.manifest, features_of(self.manifest))

    def download_and_prepare(self, **_: object) -> None:
        """There is nothing to prepare: the data is there, or it must be exported again.

        Raises:
          MissingFileError: the version directory is gone.
        """
        if not Directory.at(self.data_path).exists():
            self._download_and_prepare()

    def _download_and_prepare(self, dl_manager: object = None, download_config: object = None) -> None:
        raise MissingFileError(f"{self.data_dir} is gone; an exported dataset cannot be downloaded, export it again")

    @functools.wraps(tfds.core.DatasetBuilder.as_dataset)
    def as_dataset(self, *args: Any, **options: Any) -> LoadedDataset:
        if not Directory.at(self.data_path).exists():  # TFDS would say that it must be downloaded
            self._download_and_prepare()
        return super().as_dataset(*args, **options)

    def _build_single_dataset(
        self,
        split: SplitArgument,
        batch_size: int | None,
        shuffle_files: bool,
        decoders: Decoders,
        read_config: ReadConfigArgument,
        as_supervised: bool,
    ) -> LoadedDataset:
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

    def as_data_source(
        self,
        split: SplitArgument = None,
        *,
        decoders: Decoders = None,
        deserialize_method: tfds.decode.DeserializeMethod = tfds.decode.DeserializeMethod.DESERIALIZE_AND_DECODE,
        file_format: object = None,
        verify: bool = False,
    ) -> LoadedSource:
        """Random access: `source[i]` is an example, as TFDS's own data sources give it.

        >>> builder.as_data_source("train")[0]["image"].shape     # doctest: +SKIP
        (8, 8, 1)

        Args:
          split: as for `as_dataset`; None for a dict of all.
          decoders: nested dict of `tfds.decode.Decoder`, or a `tfds.decode.PartialDecoding`.
          deserialize_method: `tfds.decode.DeserializeMethod`; records as they are stored are there in TFRecord only.
          file_format: None or the dataset's own.
          verify: whether what is read is checked first, as `tfds_builder.ReadConfig(verify=True)` does it.

        Returns:
          An `ExportedDataSource`, or the structure of them that `split` asks for.

        Raises:
          ValueError: the dataset is of another file_format, or there is no such split.
          MissingFileError, DamagedFileError: a shard is not what the manifest says.
          UnsupportedReadError: records are asked for, and the files have none.
        """
        from tfds_builder.readers import data_source

        self._check_format(file_format)
        features, decoders = _select(self.info.features, decoders)

        def make(one: object) -> LoadedDataset:
            segments = segments_of(self.manifest, self.info.splits[one].file_instructions)
            request = data_source.Request(one, features, decoders, deserialize_method)
            table = Table(self.data_path, self.manifest, segments, verify=verify or self._verify)
            return data_source.ExportedDataSource(table, self.manifest, request)

        return tree.map_structure(make, {name: name for name in self.info.splits} if split is None else split)

    def _as_dataset(
        self, split: SplitArgument, decoders: Decoders = None, read_config: ReadConfigArgument = None, shuffle_files: bool = False
    ) -> LoadedDataset:
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
        split: SplitArgument,
        *,
        batch_size: int | None,
        shuffle: bool,
        decoders: Mapping[str, Decoder] | tfds.decode.PartialDecoding | None,
        read_config: ReadConfigArgument,
        supervised_keys: Sequence[Any] | None,
    ) -> LoadedDataset:
        from tfds_builder.readers import tf_data as reading

        features, decoders = _select(self.info.features, decoders)
        instructions = reading.select_instructions(self.info.splits[split].file_instructions, read_config)
        if not instructions:
            raise ValueError(f"Instruction {split!r} corresponds to no data!")
        verify = self._verify or getattr(read_config, "verify", False)
        table = Table(self.data_path, self.manifest, segments_of(self.manifest, instructions), verify=verify)
        request = reading.Request(features, decoders, batch_size, shuffle, supervised_keys, read_config)
        return reading.make_dataset(table, self.manifest, request)


def _select(features: Features, decoders: Decoders) -> tuple[Features, Decoders]:
    """The features to yield and their decoders, of all features and a `decoders=` argument."""
    if isinstance(decoders, tfds.decode.PartialDecoding):
        features, decoders = decoders.extract_features(features), decoders.decoders
        if not len(features):
            raise ValueError("PartialDecoding: features cannot be empty")
    return features, decoders


def make_builder_class(name: str, data_dir: str | os.PathLike[str]) -> type[ExportedBuilder]:
    """An unregistered ExportedBuilder subclass for the dataset `name` under `data_dir`."""
    body = {"name": name, "DATA_DIR": os.fspath(data_dir), "__module__": __name__}
    builder: type[ExportedBuilder] = types.new_class(
        name, (ExportedBuilder,), {"skip_registration": True}, lambda namespace: namespace.update(body)
    )
    return builder


make_builders_by(make_builder_class)


def builder_from_directory(version_dir: str | os.PathLike[str], verify: bool = False) -> ExportedBuilder:
    """The builder of one published version directory, registered or not.

    >>> builder_from_directory("/data/digits/1.0.0").info.splits      # doctest: +SKIP

    Args:
      version_dir: `<data_dir>/<name>/<version>` or `<data_dir>/<name>/<config>/<version>`.
      verify: whether everything that is read is checked first, as `tfds_builder.ReadConfig(verify=True)` does it.

    Raises:
      MissingFileError, ManifestError, DamagedFileError: it is not a version directory this can read.
    """
    found = location.read_given(version_dir)
    directory = Directory.at(version_dir).resolved()
    data_dir = location.find_data_dir(directory, found.place)
    if data_dir is None:
        raise ManifestError(location.explain_misplaced(directory, found.place))
    return make_builder_class(found.name, data_dir.path)(config=found.config_name, version=found.version, verify=verify)


def find_builder(name_or_path: str | os.PathLike[str]) -> ExportedBuilder:
    """The builder of a registered name or of a version directory.

    Raises:
      MissingFileError: nothing of that name is registered, and it is no version directory.
      ManifestError, DamagedFileError: what is there cannot be read.
    """
    text = os.fspath(name_or_path)
    try:
        name, options = naming.parse_builder_name_kwargs(text)
    except ValueError:  # it is no name
        name, options = None, {}
    registered = None if name is None else find_builder_cls(name)
    if registered is not None and not Directory.at(text).has(manifest_lib.FILENAME):
        builder: ExportedBuilder = registered(**options)
        return builder
    if not Directory.at(text).exists():
        raise MissingFileError(
            f"{text!r} is neither a registered dataset nor a directory; tfds_builder.register(data_dir) makes those of a "
            f"data_dir known. {explain_unknown(name.name, name.namespace or '') if name else ''}".strip()
        )
    return builder_from_directory(text)


def _reopen(version_dir: str, verify: bool, head: bytes) -> ExportedBuilder:
    """A builder that was pickled, of the same version still."""
    builder = builder_from_directory(version_dir, verify)
    read_lib.refuse_another(builder.manifest, head, version_dir)
    return builder
