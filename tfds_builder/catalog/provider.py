"""The builders this process knows, and how TFDS comes to ask for them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from tensorflow_datasets.core import community, naming, registered
from tensorflow_datasets.core.community import register_base

from tfds_builder.aliases import Builder, BuilderClass

NAMESPACE = "torch2tfds"
"""`tfds.load("torch2tfds:digits:1.0.0")` is read by torch2tfds, whatever else TFDS finds under that name."""


class Catalog(register_base.BaseRegister):
    """The builders this process knows, offered to `tfds.load` before TFDS's own.

    TFDS asks its providers in turn (`registered.add_dataset_builder_provider`); being first lets a
    published `mnist` win over TFDS's and a second `register` replace the first.

    Providers are not asked what they have, and are passed over where a version is given and files of that name lie where
    TFDS looks by itself. A namespace of `tfds.core.community` is: `tfds.list_builders` lists what its register has, and
    `tfds.load` leaves a name in it to the register, version or not. So the catalog is one too.
    """

    def __init__(self) -> None:
        self._builders: dict[str, BuilderClass] = {}

    def add(self, builder: BuilderClass) -> None:
        self._builders[builder.name] = builder

    @property
    def builders(self) -> Mapping[str, BuilderClass]:
        """The builder classes by name, in the order they were registered."""
        return self._builders

    def has_dataset(self, name: str) -> bool:
        """TFDS's provider protocol: whether this one knows the dataset."""
        return name in self._builders

    def get_builder_cls(self, name: str) -> BuilderClass:
        """TFDS's provider protocol: the builder class of a dataset it knows."""
        return self._builders[name]

    def list_builders(self) -> Sequence[str]:
        """TFDS's register protocol: every dataset by the name that `tfds.load` takes, which needs no namespace."""
        return sorted(self._builders)

    def list_dataset_references(self) -> Iterator[naming.DatasetReference]:
        """TFDS's register protocol: every dataset, and where it lies."""
        for name, builder in sorted(self._builders.items()):
            data_dir = None if builder.DATA_DIR is None else os.fspath(builder.DATA_DIR)
            yield naming.DatasetReference(dataset_name=name, namespace=NAMESPACE, data_dir=data_dir)

    def builder_cls(self, name: naming.DatasetName) -> BuilderClass:
        """TFDS's register protocol: the builder class of a name in the namespace.

        Raises:
          DatasetNotFoundError: nothing of that name is registered.
        """
        if name.name not in self._builders:
            known = ", ".join(self.list_builders()) or "nothing"
            raise registered.DatasetNotFoundError(f"Dataset {name} not found; tfds_builder has registered {known}.")
        return self._builders[name.name]

    def builder(self, name: naming.DatasetName, **builder_kwargs: object) -> Builder:
        """TFDS's register protocol: a builder of a name in the namespace. Raises as `builder_cls` does, and the builder."""
        return self.builder_cls(name)(**builder_kwargs)


catalog = Catalog()
registered.add_dataset_builder_provider(catalog, index=0)
if not community.community_register().has_namespace(NAMESPACE):
    from tensorflow_datasets.core.community import config

    community.community_register().add_namespace(
        NAMESPACE, config.NamespaceConfig(paths=[pathlib.Path("/")], info="Datasets that tfds_builder.register found."), [catalog]
    )
