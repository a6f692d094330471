"""The builders this process knows, and how TFDS comes to ask for them."""

from __future__ import annotations

import difflib
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

from tensorflow_datasets.core import community, naming, registered
from tensorflow_datasets.core.community import config, register_base

from tfds_builder.aliases import Builder, BuilderClass

NAMESPACE = "torch2tfds"
"""`tfds.load("torch2tfds:digits:1.0.0")` is read by torch2tfds, whatever else TFDS finds under that name."""


class Catalog(register_base.BaseRegister):
    """The builders this process knows, offered to `tfds.load` before TFDS's own.

    TFDS asks its providers in turn (`registered.add_dataset_builder_provider`); being first lets a
    published `mnist` win over TFDS's and a second `register` replace the first.

    Providers are not asked what they have, and are passed over where a version is given and files of that name lie where
    TFDS looks by itself. A namespace of `tfds.core.community` is: `tfds.list_builders` lists what its register has, and
    `tfds.load` leaves a name in it to the register, version or not. So the catalog is one too, and whoever registers may
    name other namespaces, each of which has a catalog of its own.

    Args:
      namespace: what stands before the colon of the names of this catalog.
      is_provider: whether `tfds.load` finds its names without a namespace too.
    """

    def __init__(self, namespace: str, *, is_provider: bool) -> None:
        self._namespace = namespace
        self._is_provider = is_provider
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
        """TFDS's register protocol: every dataset by the shortest name that `tfds.load` takes."""
        return [name if self._is_provider else f"{self._namespace}:{name}" for name in sorted(self._builders)]

    def list_dataset_references(self) -> Iterator[naming.DatasetReference]:
        """TFDS's register protocol: every dataset, and where it lies."""
        for name, builder in sorted(self._builders.items()):
            data_dir = None if builder.DATA_DIR is None else os.fspath(builder.DATA_DIR)
            yield naming.DatasetReference(dataset_name=name, namespace=self._namespace, data_dir=data_dir)

    def builder_cls(self, name: naming.DatasetName) -> BuilderClass:
        """TFDS's register protocol: the builder class of a name in the namespace.

        Raises:
          DatasetNotFoundError: nothing of that name is registered. The message says what is, and the nearest name.
        """
        if name.name not in self._builders:
            known = ", ".join(self.list_builders()) or "nothing"
            near = difflib.get_close_matches(name.name, self._builders, n=1)
            meant = f" Did you mean {self._namespace}:{near[0]}?" if near else ""
            raise registered.DatasetNotFoundError(f"Dataset {name} not found; tfds_builder has registered {known}.{meant}")
        return self._builders[name.name]

    def builder(self, name: naming.DatasetName, **builder_kwargs: object) -> Builder:
        """TFDS's register protocol: a builder of a name in the namespace. Raises as `builder_cls` does, and the builder."""
        return self.builder_cls(name)(**builder_kwargs)


def _offer(offered: Catalog, namespace: str, info: str) -> Catalog:
    """Makes a namespace known to TFDS, which keeps it until the process ends."""
    known = config.NamespaceConfig(paths=[pathlib.Path("/")], info=info)
    community.community_register().add_namespace(namespace, known, [offered])
    return offered


catalog = Catalog(NAMESPACE, is_provider=True)
registered.add_dataset_builder_provider(catalog, index=0)
if not community.community_register().has_namespace(NAMESPACE):
    _offer(catalog, NAMESPACE, "Datasets that tfds_builder.register found.")

_catalogs = {NAMESPACE: catalog}


def catalog_of(namespace: str) -> Catalog:
    """The catalog of a namespace, which is made when it is first asked for.

    Raises:
      ValueError: TFDS takes no such namespace, or has one of that name itself.
    """
    if namespace in _catalogs:
        return _catalogs[namespace]
    if not re.fullmatch(r"[A-Za-z0-9_-]+", namespace):
        raise ValueError(f"namespace {namespace!r}: pass letters, digits, - and _, as in namespace='vision'")
    if community.community_register().has_namespace(namespace):
        raise ValueError(f"namespace {namespace!r} is one of TFDS's own (tfds.load({f'{namespace}:...'!r})); pass another")
    _catalogs[namespace] = _offer(Catalog(namespace, is_provider=False), namespace, "Datasets that tfds_builder.register found.")
    return _catalogs[namespace]


def find_builder_cls(name: naming.DatasetName) -> BuilderClass | None:
    """The builder class of a name, with a namespace or without; None if it is not of this process's catalogs."""
    found = _catalogs.get(name.namespace or NAMESPACE)
    return None if found is None or not found.has_dataset(name.name) else found.get_builder_cls(name.name)
