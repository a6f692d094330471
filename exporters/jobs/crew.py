"""Who writes the shards of an export: this process, or those of an engine, to which the loaders must get."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping

from exporters import wording
from exporters.aliases import Loader
from exporters.draws.apart import Part, with_worker
from exporters.draws.lanes import Lanes, has_lanes, no_lanes
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
      divides: whether streams are read in lanes, where they divide themselves: as they are where an engine shares the work.

    Attributes:
      loaders: those that this process draws from. Where processes are forked from it, they read their datasets in a worker.

    Raises:
      LoaderError: it is no DataLoader, or cannot go to other processes.
    """

    def __init__(self, name: str, engine: Engine, loaders: Mapping[str, Loader], *, divides: bool = False) -> None:
        self._name, self._engine, self._parts = name, engine, dict[str, Part]()
        self._divides = divides or engine.place is not Place.HERE
        self._guarded = set[str]()
        self.loaders: dict[str, Loader] = {}
        for split, loader in loaders.items():
            if engine.place is Place.FORKED and items.is_data_loader(loader) and facts.is_drawn_by_index(loader):
                self._guarded |= {split} if not loader.num_workers else set()
                loader = with_worker(loader)
            self.loaders[split] = settled = items.settle(loader, split)
            if engine.place is not Place.HERE and (facts.describe(settled).kind in _BY_NUMBER or has_lanes(settled)):
                self._parts[split] = self._part_of(split)

    def _part_of(self, split: str) -> Part:
        loader = self.loaders[split]
        return Part.pickled_of(loader, split) if self._engine.place is Place.SENT else Part.of(loader)

    def lanes(self) -> dict[str, dict[str, int]]:
        """By split that is a stream which divides itself among several workers, its lanes, as the plan has them. The seed of each
        is drawn now."""
        divided = {split: loader for split, loader in self.loaders.items() if self._divides and has_lanes(loader)}
        return {split: dataclasses.asdict(Lanes.of(loader)) for split, loader in divided.items()}

    def as_given(self) -> dict[str, Loader]:
        """The loaders with as many workers as they were given: these say what an iteration draws."""
        return {
            split: facts.twin_of(loader, num_workers=0) if split in self._guarded else loader
            for split, loader in self.loaders.items()
        }

    def engine_of(self, split: str, *, by_number: bool, run_past: bool, in_lanes: bool) -> tuple[Engine, Part | None]:
        """Who writes a split, and what of its loader other processes get; None if it is this one.

        Args:
          split: the split.
          by_number: whether its batches can be drawn by number.
          run_past: whether what is finished of it must be drained again.
          in_lanes: whether it is read in lanes.
        """
        if self._engine.place is Place.HERE:
            return self._engine, None
        if in_lanes or (by_number and not run_past):
            return self._engine, self._parts.get(split) or self._part_of(split)
        why = "its collate_fn keeps something of the batches before" if by_number else no_lanes(self.loaders[split])
        warnings.warn(
            f"split {split!r} is drained by this process alone, not by {wording.argument('engine', self._name)}: {why}",
            ExportWarning,
            stacklevel=2,
        )
        return Local(), None

    def close(self) -> None:
        """Ends what the engine keeps from one split to the next."""
        self._engine.close()
