"""The builders this process knows, and how TFDS comes to ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow_datasets.core import registered


class Catalog:
    """The builders this process knows, offered to `tfds.load` before TFDS's own.

    TFDS asks its providers in turn (`registered.add_dataset_builder_provider`); being first lets a
    published `mnist` win over TFDS's and a second `register` replace the first.
    """

    def __init__(self) -> None:
        self._builders: dict[str, type[Any]] = {}

    def add(self, builder: type[Any]) -> None:
        self._builders[builder.name] = builder

    @property
    def builders(self) -> Mapping[str, type[Any]]:
        """The builder classes by name, in the order they were registered."""
        return self._builders

    def has_dataset(self, name: str) -> bool:
        """TFDS's provider protocol: whether this one knows the dataset."""
        return name in self._builders

    def get_builder_cls(self, name: str) -> type[Any]:
        """TFDS's provider protocol: the builder class of a dataset it knows."""
        return self._builders[name]


catalog = Catalog()
registered.add_dataset_builder_provider(catalog, index=0)
