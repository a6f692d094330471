"""A stream that divides itself among the workers of its DataLoader, read in these parts by whatever processes. A part is a lane.

    DataLoader(stream, num_workers=4)    4 lanes: lane 1 gives what worker 1 of that loader would give, in its order

An iterable dataset has no indices, so nobody can begin in its midst. But it asks `torch.utils.data.get_worker_info()` which
part of it a worker is to give, and whoever is told to be worker 1 of 4 reads that part, wherever it runs. Each lane begins with
the dataset as it was given, since one that was read before may be at its end: in a process of its own that is forked for it, or,
where the dataset came pickled, unpickled anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import threading
from collections.abc import Callable

from exporters.aliases import Dataset, Loader, RandomGenerator
from exporters.draws.apart import Part, base_seed_of, become_worker, end_with_parent
from exporters.loaders import facts, lookahead
from exporters.loaders.datasets import datasets_of
from exporters.loaders.lookahead import Numbered
from exporters.tensors.pytorch import torch_module

_HERE = threading.Lock()
"""Held while a lane is read by this process itself: which worker it is, it is for the whole process."""


@dataclasses.dataclass(frozen=True)
class Lanes:
    """The lanes of one split.

    Attributes:
      count: how many there are.
      base_seed: the seed of the loader's workers, as an iteration of it draws it: lane 1 is seeded from it as worker 1 would be.
    """

    count: int
    base_seed: int

    @classmethod
    def of(cls, loader: Loader) -> Lanes:
        """As many as a loader has workers. Its generator moves on, as it does when it is iterated."""
        if isinstance(loader.dataset, torch_module().utils.data.IterDataPipe):
            facts.draw_seed(loader)  # from which a datapipe is shuffled
        return cls(loader.num_workers, base_seed_of(loader, None))

    def whole(self, loader: Loader) -> Loader:
        """The loader, with a worker for each lane: it tells what all of them give."""
        return loader if loader.num_workers == self.count else facts.twin_of(loader, num_workers=self.count)

    def drain_here(self, loader: Loader, lane: int) -> Numbered:
        """As `drain`, read by this process itself, which becomes that worker: it runs nothing but tasks, and the dataset is that
        of no other lane. To fork another one for it is not safe where it speaks gRPC: of Beam's, it is aborted."""
        with _HERE:  # a runner may give a process several tasks at a time
            become_worker(loader.dataset, lane, self.count, self.base_seed)
            if loader.worker_init_fn is not None:
                loader.worker_init_fn(lane)
            single = facts.twin_of(loader, num_workers=0, prefetch_factor=None, worker_init_fn=None, generator=self._generator())
            raws = iter(single)
            _shard(loader.dataset, lane, self.count)  # for one process that is done as its iterator is made
            for number, raw in enumerate(raws):
                yield lane + number * self.count, raw
                del raw

    def _generator(self) -> RandomGenerator:
        """A generator from which a datapipe is shuffled in the same order in all lanes."""
        return torch_module().Generator().manual_seed(self.base_seed)

    def loader(self, loader: Loader, lane: int, *, ahead: int | None = None) -> Loader:
        """A loader that gives what worker number `lane` of a given one would give: its only worker is told to be that one.

        Args:
          loader: the given one.
          lane: which worker.
          ahead: batches that are read before they are asked for; None for as many as the loader says.
        """
        begin = _Begin(loader.worker_init_fn, lane, self.count, self.base_seed)
        return facts.twin_of(
            loader,
            num_workers=1,
            prefetch_factor=ahead or loader.prefetch_factor or 2,
            persistent_workers=False,
            worker_init_fn=begin,
            generator=self._generator(),
            _iterator=None,
        )

    def drain(self, loader: Loader, lane: int, *, ahead: int | None = None) -> Numbered:
        """The raw batches of a lane, with the numbers that they have in the split as long as every lane has some: 1, 5, 9, ..."""
        with contextlib.closing(lookahead.drain(self.loader(loader, lane, ahead=ahead), None, 0, None)) as raws:
            for number, raw in raws:
                yield lane + number * self.count, raw
                del raw

    def first(self, loader: Loader) -> Loader:
        """The loader of the first lane that gives anything; of lane 0, if none does."""
        for lane in range(self.count):
            with contextlib.closing(self.drain(loader, lane, ahead=1)) as raws:
                if next(raws, None) is not None:
                    return self.loader(loader, lane)
        return self.loader(loader, 0)


def has_lanes(loader: Loader) -> bool:
    """Whether a loader is a stream that is read by several workers, each for itself, and by nothing of a subclass's own."""
    is_shared = loader.num_workers > 1 and facts.is_iterable(loader) and facts.follows_pytorch(loader)
    return is_shared and not _wait_for_each_other(loader)


def _wait_for_each_other(loader: Loader) -> bool:
    """Whether the workers of a stream wait until all of them are there, as those of MosaicML's StreamingDataset do
    (streaming/base/dataset.py, `_shared_barrier`): one alone would wait for ever."""
    kinds = (kind for dataset in datasets_of(loader.dataset) for kind in type(dataset).__mro__)
    return any(kind.__name__ == "StreamingDataset" and kind.__module__.startswith("streaming.") for kind in kinds)


def no_lanes(loader: Loader) -> str:
    """Why a loader whose batches cannot be drawn by number has no lanes either, and what gives it some."""
    if _wait_for_each_other(loader):
        return (
            "the workers of MosaicML's StreamingDataset wait for one another; its examples can be drawn by number: "
            "DataLoader(torch.utils.data.Subset(dataset, range(len(dataset))), ...)"
        )
    if not facts.follows_pytorch(loader):
        return f"{type(loader).__name__} iterates in a way of its own; a torch.utils.data.DataLoader can be shared"
    if not facts.is_iterable(loader):
        return "its batches cannot be drawn by number"
    return (
        "it is a stream that has one reader; DataLoader(..., num_workers=4) has it read in 4 parts, wherever they are, if its "
        "dataset gives each worker a part of its own (torch.utils.data.get_worker_info())"
    )


@dataclasses.dataclass(frozen=True)
class LaneDraws:
    """The lanes of one split, drained in any process that this is given to.

    Attributes:
      part: what they are read from.
      lanes: how many there are.
    """

    part: Part
    lanes: Lanes

    def prepare(self, worker: int, workers: int) -> None:
        """Has PyTorch use one thread. What a lane is told to be, the process that reads it is told."""
        torch_module().set_num_threads(1)

    def drain(self, lane: int) -> Numbered:
        """As `Lanes.drain`. In a process that was forked, what reads it is forked too: it may hold what cannot be pickled."""
        if self.part.pickled:
            return self.lanes.drain_here(self.part.whole().loader, lane)
        context = {"_DataLoader__multiprocessing_context": multiprocessing.get_context("fork")}
        return self.lanes.drain(facts.twin_of(self.part.loader, **context), lane)


def _shard(dataset: Dataset, lane: int, lanes: int) -> None:
    """Tells the `sharding_filter`s of a datapipe which part is theirs, as DataLoader tells its workers'
    (torch/utils/data/dataloader.py, `_sharding_worker_init_fn`)."""
    data = torch_module().utils.data
    if isinstance(dataset, data.IterDataPipe):
        data.graph_settings.apply_sharding(dataset, lanes, lane)


@dataclasses.dataclass(frozen=True)
class _Begin:
    """The `worker_init_fn` of a process that reads a lane: tells it which, and calls the loader's own one with its number."""

    begin: Callable[[int], None] | None
    lane: int
    lanes: int
    base_seed: int

    def __call__(self, worker: int) -> None:
        end_with_parent()
        dataset = torch_module().utils.data.get_worker_info().dataset
        become_worker(dataset, self.lane, self.lanes, self.base_seed)
        _shard(dataset, self.lane, self.lanes)
        if self.begin is not None:
            self.begin(self.lane)
