"""A loader whose batches are drawn by other processes than its own workers: those of an engine. Each draws the batches of its own
shards, from example to batch, and is to the dataset what a worker of a DataLoader is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import multiprocessing
import os
import random
import signal
import threading
import warnings
from collections.abc import Callable, Sequence
from multiprocessing import connection
from typing import Any

import numpy as np

from exporters import wording
from exporters.aliases import Dataset, Loader
from exporters.draws import pickling
from exporters.errors import ExportWarning
from exporters.loaders import facts, lookahead
from exporters.loaders.lookahead import Numbered
from exporters.loaders.order import Order
from exporters.tensors.pytorch import torch_module

_MUCH = 100_000_000
"""Bytes of a pickled loader that are warned of: every process gets a copy."""


@dataclasses.dataclass(frozen=True)
class Part:
    """What of a loader is needed to draw its batches by number, in any process that this is given to.

    Attributes:
      loader: the loader without its sampler, its generator and its workers; empty where it is pickled.
      pickled: what is empty in `loader`, pickled.
    """

    loader: Loader
    pickled: bytes = b""

    @classmethod
    def of(cls, loader: Loader) -> Part:
        """The part of a loader, for processes that are forked from this one, and have its memory."""
        place = "batch_sampler" if loader.batch_sampler is not None else "sampler"
        nothing: dict[str, object] = {"generator": None, "_iterator": None}
        if not facts.is_iterable(loader):  # of which a sampler only counts
            nothing |= {"sampler": None, "batch_sampler": None} | {place: ()}
        alone = {"num_workers": 0, "timeout": 0, "prefetch_factor": None, "persistent_workers": False, "pin_memory": False}
        begin = loader.worker_init_fn
        own = {"worker_init_fn": begin.begin if isinstance(begin, _Guarded) else begin}
        context = {"_DataLoader__multiprocessing_context": None}
        return cls(facts.twin_of(loader, **nothing, **alone, **own, **context))

    @classmethod
    def pickled_of(cls, loader: Loader, split: str) -> Part:
        """The part of a loader, for processes that have nothing of this one.

        Raises:
          LoaderError: something of it cannot be pickled.
        """
        part: Any = cls.of(loader).loader
        members = {name: vars(part).pop(name) for name in ("dataset", "collate_fn", "worker_init_fn")}
        content = pickling.dump_parts(members, f"split {split!r}")
        if len(content) > _MUCH:
            fork = wording.argument("engine_options", {"start_method": "fork"})
            warnings.warn(
                f"split {split!r}: the dataset is {len(content):,} bytes when it is pickled, and every process gets a copy; let "
                f"it open its files where they are read, or have the processes inherit it ({fork})",
                ExportWarning,
                stacklevel=2,
            )
        return cls(part, content)

    def whole(self) -> Part:
        """The same with nothing pickled."""
        return Part(facts.twin_of(self.loader, **pickling.loads(self.pickled))) if self.pickled else self


@dataclasses.dataclass(frozen=True)
class Draws:
    """The batches of one split, drawn in any process that this is given to.

    Attributes:
      part: what they are drawn from.
      load_order: gives the order of its examples.
      base_seed: the seed of its workers, as the loader draws it.
    """

    part: Part
    load_order: Callable[[], Order]
    base_seed: int

    def prepare(self, worker: int, workers: int) -> None:
        """Makes this process what a worker of a DataLoader is to the dataset (torch/utils/data/_utils/worker.py, `_worker_loop`):
        `get_worker_info()` tells which of how many it is, generators are seeded, `worker_init_fn` is called."""
        torch_module().set_num_threads(1)
        become_worker(self._loader.dataset, worker, workers, self.base_seed)
        if self._loader.worker_init_fn is not None:
            self._loader.worker_init_fn(worker)

    def drain(self, start: int) -> Numbered:
        """The raw batches from a number on, with their numbers."""
        return lookahead.drain(self._loader, self._order, start, None)

    @functools.cached_property
    def _loader(self) -> Loader:
        return facts.twin_of(self.part.whole().loader, generator=torch_module().Generator())

    @functools.cached_property
    def _order(self) -> Order:
        order = self.load_order()
        order.is_drawn = False  # the seed that was drawn with it is that of `prepare`
        return order

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made in each process."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


def become_worker(dataset: Dataset, worker: int, workers: int, base_seed: int) -> None:
    """Makes this process a worker of a DataLoader: `get_worker_info()` tells which of how many, generators are seeded."""
    torch, seed = torch_module(), base_seed + worker
    module: Any = torch.utils.data._utils.worker
    random.seed(seed)
    torch.manual_seed(seed)
    np.random.seed(module._generate_state(base_seed, worker))
    module._worker_info = module.WorkerInfo(id=worker, num_workers=workers, seed=seed, dataset=dataset)


def base_seed_of(loader: Loader, order: Order | None) -> int:
    """The seed of a loader's workers, as an iteration draws it: with the order of the examples, or else now."""
    generator = loader.generator
    if order is not None and order.is_drawn:  # of a generator that was in this state
        generator = facts.generator_like(facts.generator_of(loader), order.state)
    return int(torch_module().empty((), dtype=torch_module().int64).random_(generator=generator).item())


def end_with(ends: Sequence[Any]) -> None:
    """Ends this process, in whatever it is, as soon as one of some ends of pipes says so: that of its parent, say."""
    with contextlib.suppress(OSError):
        connection.wait(ends)
    os.kill(os.getpid(), signal.SIGKILL)


def end_with_parent() -> None:
    """Has this process end as soon as the one that began it has, whatever it does then."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    threading.Thread(target=end_with, args=([parent.sentinel],), name="end with parent", daemon=True).start()


@dataclasses.dataclass(frozen=True)
class _Guarded:
    """A `worker_init_fn` whose worker ends with its parent, also if that ends before the worker looks (PyTorch's own workers note
    their parent only then), and which calls the loader's own one."""

    begin: Callable[[int], None] | None

    def __call__(self, worker: int) -> None:
        end_with_parent()
        if self.begin is not None:
            self.begin(worker)


def with_worker(loader: Loader) -> Loader:
    """A loader like this one that reads its dataset in a worker, if it would read it in this process: processes that are forked
    afterwards would share with each other what the dataset has opened here, and read from each other's places in it."""
    if loader.num_workers:
        return loader
    return facts.twin_of(
        loader,
        num_workers=1,
        prefetch_factor=1,
        timeout=0,
        worker_init_fn=_Guarded(loader.worker_init_fn),
        _iterator=None,
        _DataLoader__multiprocessing_context=None,
    )
