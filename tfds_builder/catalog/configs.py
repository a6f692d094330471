"""Published configs as TFDS knows them: `tfds.core.BuilderConfig`s, listed from the directory each time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import tensorflow_datasets as tfds

from tfds_builder.aliases import Builder
from tfds_builder.catalog import read as read_lib
from tfds_builder.catalog.listing import list_configs, list_versions
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.manifest import Manifest


class ExportedConfig(tfds.core.BuilderConfig):
    """A published config. Its description and release notes are read from a manifest, once somebody asks for them.

    Args:
      name: of the config.
      versions: those published, the newest first; none if this user may not list them.
      read: gives the manifest.
    """

    def __init__(self, name: str, versions: Sequence[str], read: Callable[[], Manifest]) -> None:
        super().__init__(name=name, version=next(iter(versions), None), supported_versions=list(versions[1:]))
        del self.description, self.release_notes  # set by the dataclass; the properties below take their place
        self._read = read

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, version={self.version!r})"

    @functools.cached_property
    def description(self) -> str | None:
        """What the config is, or None.

        Raises:
          DatasetError: the manifest cannot be read.
        """
        return self._read().config_description or None

    @functools.cached_property
    def release_notes(self) -> dict[str, str]:
        """What changed, by version.

        Raises:
          DatasetError: the manifest cannot be read.
        """
        return dict(self._read().release_notes)


class FromDirectory:
    """A property of builders and of their classes alike, made anew from `<data_dir>/<name>` each time it is asked for.

    Args:
      make: makes it of the configs.
    """

    def __init__(self, make: Callable[[list[ExportedConfig]], Builder]) -> None:
        self._make = make

    def __get__(self, builder: Builder, owner: Builder) -> Builder:
        root = owner.DATA_DIR if builder is None else builder._root
        return self._make([] if root is None else _configs_of(Directory.given(root).below(owner.name)))


def _configs_of(dataset_dir: Directory) -> list[ExportedConfig]:
    """The configs of a dataset, the default one first; one called `""` if some versions have none and others do."""
    published = list_configs(dataset_dir)
    if list(published) == [""]:
        return []
    return [
        ExportedConfig(name, versions, functools.partial(_read_newest, dataset_dir.below(name), versions))
        for name, versions in published.items()
    ]


def _read_newest(config_dir: Directory, versions: Sequence[str]) -> Manifest:
    """The manifest of the newest version. Where none could be listed, listing them again says why."""
    return read_lib.read_manifest(config_dir.below((versions or list_versions(config_dir))[0]))
