"""Who writes the shards of an export: this process, or those of an engine, to which the loaders must get."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from exporters import wording
from exporters.aliases import Loader
from exporters.draws.apart import Part, with_worker
from exporters.engines.base import Engine, Place
from exporters.engines.local import Local
from exporters.errors import ExportWarning
from exporters.loaders import facts, items

_BY_NUMBER = ("range", "indices")
"""Kinds of `order.Source` whose batches can be drawn by number."""


class Crew:
    """The engine of an export, and what of its loaders other processes get.

    Args:
      name: of the engine.
      engine: what runs the tasks.
      loaders: by split, as they were given.

    Attributes:
      loaders: those that this process draws from. Where processes are forked from it, they read their datasets in a worker.

    Raises:
      LoaderError: it is no DataLoader, or cannot go to other processes.
    """

    def __init__(self, name: str, engine: Engine, loaders: Mapping[str, Loader]) -> None:
        self._name, self._engine, self._parts = name, engine, dict[str, Part]()
        self._guarded = set[str]()
        self.loaders: dict[str, Loader] = {}
        for split, loader in loaders.items():
            if engine.place is Place.FORKED and items.is_data_loader(loader) and facts.is_drawn_by_index(loader):
                self._guarded |= {split} if not loader.num_workers else set()
                loader = with_worker(loader)
            self.loaders[split] = settled = items.settle(loader, split)
            if engine.place is not Place.HERE and facts.describe(settled).kind in _BY_NUMBER:
                is_sent = engine.place is Place.SENT
                self._parts[split] = Part.pickled_of(settled, split) if is_sent else Part.of(settled)

    def as_given(self) -> dict[str, Loader]:
        """The loaders with as many workers as they were given: these say what an iteration draws."""
        return {
            split: facts.twin_of(loader, num_workers=0) if split in self._guarded else loader
            for split, loader in self.loaders.items()
        }

    def engine_of(self, split: str, *, by_number: bool, run_past: bool) -> tuple[Engine, Part | None]:
        """Who writes a split, and what of its loader other processes get; None if it is this one.

        Args:
          split: the split.
          by_number: whether its batches can be drawn by number.
          run_past: whether what is finished of it must be drained again.
        """
        if self._engine.place is Place.HERE:
            return self._engine, None
        if by_number and not run_past:
            return self._engine, self._parts[split]
        why = "its collate_fn keeps something of the batches before" if by_number else "its batches cannot be drawn by number"
        warnings.warn(
            f"split {split!r} is drained by this process alone, not by {wording.argument('engine', self._name)}: {why}",
            ExportWarning,
            stacklevel=2,
        )
        return Local(), None

    def close(self) -> None:
        """Ends what the engine keeps from one split to the next."""
        self._engine.close()
