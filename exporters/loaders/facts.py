"""What a `torch.utils.data.DataLoader` draws its examples from and in which order, and how its raw batches are drawn."""

from __future__ import annotations

import dataclasses
import dis
import functools
import operator
import pathlib
import types
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from exporters.aliases import Collate, Examples, Index, Loader, RandomGenerator, RawBatch, RawValue, Sampler, Tensor
from exporters.batches.structure import Form, form_of, parts_of
from exporters.loaders import slices
from exporters.loaders.order import Order, Source, record, record_runs, summarize
from exporters.loaders.permutations import Shuffle
from exporters.loaders.random_state import SeededDataset, random_state_kept, tell_whole_dataset
from exporters.tensors.pytorch import torch_module


def with_collate(loader: Loader, wrap: Collate) -> Loader | None:
    """A loader like this one whose `collate_fn` goes through `wrap`. None where such a loader would not give
    the same batches from its own workers: a subclass iterates in its own way, or persistent workers run already.
    """
    if not _iterates_as_torch(loader) or loader._iterator is not None:
        return None
    return twin_of(loader, collate_fn=wrap(loader.collate_fn))


def gathered(loader: Loader, size: int, collate: Collate) -> Loader:
    """A loader that makes batches of `size` items with `collate`, and is otherwise like this one, which makes no batches."""
    batches = torch_module().utils.data.BatchSampler(loader.sampler, size, False)
    return twin_of(loader, batch_sampler=batches, batch_size=size, drop_last=False, collate_fn=collate, _iterator=None)


_FEW, _OFTEN = 32, 48
"""So few indices are drawn so often to see whether that is always in one order: by chance, 2 of 2**47 times at most."""
_HOOKS = ("__iter__", "_get_iterator", "_index_sampler", "_auto_collation")
"""The attributes of a DataLoader that decide how it is iterated."""


def _iterates_as_torch(loader: Loader) -> bool:
    """Whether a loader is iterated as `torch.utils.data.DataLoader` does it, and by nothing of its own.

    Then batch k is what the dataset and `collate_fn` make of the indices its sampler draws for it, and of no others. Workers,
    pinned memory, prefetching and a dataset's `__getitems__` change nothing of that; `in_order=False` does (see `drain`).
    """
    torch = torch_module().utils.data.DataLoader
    hooks = all(getattr(type(loader), name, None) is getattr(torch, name) for name in _HOOKS)
    return hooks and vars(loader).keys().isdisjoint(_HOOKS)


def _iterates_as_torchdata(loader: Loader) -> bool:
    """Whether a loader is iterated as torchdata's StatefulDataLoader does it, and by nothing of its own."""
    torch = torch_module().utils.data.DataLoader
    own = all(is_torchdata(getattr(type(loader), name, None)) for name in _HOOKS[:2])
    hooks = all(getattr(type(loader), name, None) is getattr(torch, name) for name in _HOOKS[2:])
    return own and hooks and vars(loader).keys().isdisjoint(_HOOKS)


def _comes_in_order(loader: Loader) -> bool:
    """Whether batches come in the order their indices were drawn in; with `in_order=False` workers give what is ready first."""
    return bool(getattr(loader, "in_order", True)) or not loader.num_workers


def is_put_in_order(loader: Loader) -> bool:
    """Whether batches that would come as they are ready are drained in the order their indices were drawn in."""
    return not _comes_in_order(loader) and follows_pytorch(loader)


def describe(loader: Loader) -> Source:
    """What the loader draws from; decides how an export that was stopped goes on."""
    sampler = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    source = Source(
        kind="stream", examples=length_of(loader.dataset), batch_size=loader.batch_size, drop_last=bool(loader.drop_last),
        batched=loader.batch_sampler is not None, sampler=type(getattr(sampler, "sampler", sampler)).__name__,
    )  # fmt: skip
    if not _follows_sampler(loader):
        has_state = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict") and _comes_in_order(loader)
        return dataclasses.replace(source, kind="state") if has_state else source
    if length_of(sampler) is None or isinstance(sampler, Iterator):
        return source
    if not _is_batch_sampler(sampler) or type(sampler.sampler) is not torch_module().utils.data.SequentialSampler:
        return dataclasses.replace(source, kind="indices")
    # what counts is the sampler: it may be of another length than the dataset, and be given in batches of its own
    return dataclasses.replace(
        source, kind="range", examples=length_of(sampler.sampler), batch_size=sampler.batch_size, drop_last=sampler.drop_last
    )


def _follows_sampler(loader: Loader) -> bool:
    """Whether a loader gives what its sampler draws, and nothing else decides: a map-style dataset, iterated as PyTorch does it.

    torchdata's StatefulDataLoader does, unless its dataset has a state too, or it was put into one.
    """
    if is_iterable(loader):
        return False
    if _iterates_as_torch(loader):
        return not hasattr(loader, "state_dict")
    if not _iterates_as_torchdata(loader) or hasattr(loader.dataset, "state_dict"):
        return False
    return loader.next_iter_state is None and not loader._initial_iter_for_state_dict


def is_torchdata(value: object) -> bool:
    """Whether a class or function is torchdata's (its loader has a batch sampler of its own)."""
    return str(getattr(value, "__module__", "")).startswith("torchdata.stateful_dataloader")


def _is_batch_sampler(sampler: Sampler) -> bool:
    """Whether a batch sampler cuts what another sampler draws into batches, as PyTorch's own does."""
    kind = type(sampler)
    return kind is torch_module().utils.data.BatchSampler or (kind.__name__ == "BatchSampler" and is_torchdata(kind))


def length_of(value: Sampler) -> int | None:
    """`len()`, where there is one; datasets and samplers fail in whatever way where there is none."""
    try:
        return len(value)
    except Exception:
        return None


def record_order(loader: Loader, path: pathlib.Path) -> bool:
    """Draws all batches of indices of a loader and writes them to a file; False if they are no integers.

    Its generators move on as in an iteration: a seed for the workers is drawn once the sampler's iterator is made, and with
    workers another one is made then (torch/utils/data/dataloader.py, `_BaseDataLoaderIter.__init__` and `_reset`; torchdata's
    iterators draw when they are made). If nothing can be recorded, they are as before.
    """
    sampler = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    with random_state_kept(loader) as put_back:
        batches, state = iter(sampler), generator_of(loader).get_state()
        draw_seed(loader)
        shuffle = Shuffle.of(sampler)
        if shuffle is not None:  # whose iterator has drawn nothing yet
            record_runs(shuffle.runs(), path, state.numpy().tobytes())
            recorded = True
        else:
            recorded = record(iter(sampler) if loader.num_workers else batches, path, state.numpy().tobytes())
        if recorded:
            put_back.clear()
    return recorded


def draws_others(loader: Loader, order: Order) -> bool:
    """Whether a loader's sampler draws other indices than a recorded order has, as far as that can be told.

    The sampler is asked twice, and its generators are put back; if it draws only a few indices, which may come in the same order
    by chance, it is asked more often. If it draws the same order each time, that must be the recorded order. If it draws the same
    indices in another order, they must be those of the record. Of any other, such as one that draws with replacement, nothing can
    be told.
    """
    sampler, recorded = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler, summarize(order.runs())
    times = 2 if recorded[0] > _FEW else _OFTEN
    with random_state_kept(loader):
        try:
            shuffle = Shuffle.of(sampler)
            drawn = {summarize(iter(sampler) if shuffle is None else shuffle.runs()) for _ in range(times)}
        except Exception:  # whatever it is, the drain does not need it: the order is on disk
            return False
    if len({found[:2] for found in drawn}) > 1:
        return False
    found = drawn.pop()
    return found[:2] != recorded[:2] if drawn else found != recorded


class _Drawn:
    """A sampler of batches that are drawn already, from one of them on."""

    def __init__(self, order: Order, start: int) -> None:
        self._order, self._start = order, start

    def __len__(self) -> int:
        return len(self._order) - self._start

    def __iter__(self) -> Iterator[RawBatch]:
        return (self._order[number] for number in range(self._start, len(self._order)))


def drain(loader: Loader, order: Order | None = None, start: int = 0) -> Generator[RawBatch, None, None]:
    """The raw batches of a loader; if its order is known, from batch number `start` on, and none before is loaded.

    A loader with `in_order=False` is drained by one with `in_order=True`: only then is batch k the k-th that comes.
    """
    changes: dict[str, object] = {"in_order": True} if is_put_in_order(loader) else {}
    if order is None:
        yield from twin_of(loader, _iterator=None, **changes) if changes else loader
        return
    place = "batch_sampler" if loader.batch_sampler is not None else "sampler"
    # workers that persist hold the sampler they began with, so others are begun
    changes |= {place: _Drawn(order, start), "_iterator": None}
    if order.is_drawn:  # then the seed of the workers was drawn as well, before it: from a generator that was in this state
        changes["generator"] = generator_like(generator_of(loader), order.state)
    take = slices.batches_of(loader) if _iterates_as_torch(loader) else None
    if take is None:
        yield from twin_of(loader, **changes, **(_seeding(loader) if order.seed else {}))
        return
    if not order.is_drawn:
        draw_seed(loader)
    yield from map(take, _Drawn(order.seeded(""), start))  # nothing is random in them


def _seeding(loader: Loader) -> dict[str, object]:
    """What is changed of a loader whose batches are drawn by an order that is seeded."""
    begin = functools.partial(tell_whole_dataset, loader.worker_init_fn)
    return {"dataset": SeededDataset(loader.dataset), "worker_init_fn": begin if loader.num_workers else None}


def generator_of(loader: Loader) -> RandomGenerator:
    """The generator that a loader draws the seed of its workers from."""
    return loader.generator if loader.generator is not None else torch_module().default_generator


def generator_like(generator: RandomGenerator, state: bytes) -> RandomGenerator:
    """Another generator of the same kind, in a state."""
    torch = torch_module()
    other = torch.Generator(generator.device)
    other.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
    return other


def twin_of(loader: Loader, **changes: object) -> Loader:
    """A loader like this one, sharing everything with it but what is changed; the loader given is not touched."""
    twin = object.__new__(type(loader))
    vars(twin).update(vars(loader), **changes)
    return twin


def sample(loader: Loader) -> tuple[Iterator[RawBatch], bool]:
    """Raw batches from a loader's first on, and whether its iterator had to be opened for them.

    For a map-style dataset the batches are fetched here, and `random_state_kept` puts everything back, so that the next epoch
    draws as if nothing had happened. An iterable dataset may be a stream that cannot be read twice (and a subclass may iterate
    in its own way): then the iterator is the loader's, and must be used first. The same is done where a sampler is an iterator
    itself.
    """
    sampler = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    if is_iterable(loader) or not _iterates_as_torch(loader) or isinstance(sampler, Iterator):
        return iter(loader), True
    return map(functools.partial(_fetch, loader), iter(sampler)), False


def _fetch(loader: Loader, index: Index) -> Examples:
    """The batch of some indices, made here."""
    if loader.batch_sampler is None:
        return loader.collate_fn(loader.dataset[index])
    get_many = getattr(loader.dataset, "__getitems__", None)
    return loader.collate_fn(get_many(index) if get_many else [loader.dataset[key] for key in index])


def draw_first(loader: Loader, collate: Collate, order: Order) -> Iterator[RawValue]:
    """The batches of an order as `draw` makes them: the first one, and the others only if they are asked for."""
    for batches in ([order[0]], _Drawn(order, 1)):
        yield from draw(loader, collate, batches, torch_module().Generator(), is_seeded=bool(order.seed))


def draw_seed(loader: Loader) -> None:
    """Moves generators on as an iterator of a loader does when it is made: it draws the seed of its workers."""
    torch_module().empty((), dtype=torch_module().int64).random_(generator=loader.generator)


def draw(
    loader: Loader,
    collate: Collate,
    batches: Iterable[Index],
    generator: RandomGenerator = None,
    *,
    is_seeded: bool = False,
) -> Iterator[RawBatch]:
    """Draws batches of examples of a loader's dataset, by batches of indices, or by single indices where the loader makes no
    batches of them. If the loader has workers, this is done in a worker of its own: what the dataset opens there is not shared
    with workers that are forked later. The seed of that worker is drawn from torch's own generator, unless another one is given.
    Batches are seeded if they come from an order that is.
    """
    if is_seeded:
        loader = twin_of(loader, **_seeding(loader))
    options: dict[str, Any] = {"collate_fn": collate, "generator": generator}
    options |= {"batch_size": None, "sampler": batches} if loader.batch_sampler is None else {"batch_sampler": batches}
    if loader.num_workers:
        options |= {"num_workers": 1, "worker_init_fn": loader.worker_init_fn}
        options |= {"multiprocessing_context": loader.multiprocessing_context}
    return iter(torch_module().utils.data.DataLoader(loader.dataset, **options))


def is_iterable(loader: Loader) -> bool:
    """Whether the dataset is a stream: every worker iterates over a copy of its own."""
    return isinstance(loader.dataset, torch_module().utils.data.IterableDataset)


def follows_pytorch(loader: Loader) -> bool:
    """Whether a loader iterates as PyTorch does it, or torchdata; a subclass may do so in its own way."""
    return _iterates_as_torch(loader) or _iterates_as_torchdata(loader)


def is_drawn_by_index(loader: Loader) -> bool:
    """Whether a loader gives what its sampler draws from a map-style dataset."""
    return not is_iterable(loader) and (_iterates_as_torch(loader) or _follows_sampler(loader))


def hands_on(loader: Loader) -> bool:
    """Whether a loader with a batch size of 1 hands on its one item: `collate_fn=operator.itemgetter(0)`, or `lambda b: b[0]`.

    That is how a loader says that an item of its dataset is a batch. Told without a call of `collate_fn`, which may do
    more than it returns.
    """
    collate = loader.collate_fn
    if loader.batch_size != 1:
        return False
    if isinstance(collate, operator.itemgetter):
        return bool(collate.__reduce__()[1] == (0,))
    return isinstance(collate, types.FunctionType) and _steps(collate) == _steps(_first)


def _first(items: Examples) -> RawValue:
    return items[0]


def _steps(function: Callable[..., object]) -> list[tuple[str, object]]:
    """The instructions of a function, whatever its variables are called."""
    found = dis.get_instructions(function)
    return [(step.opname, step.argval if step.opcode in dis.hasconst else step.arg) for step in found]


def gives_batches(loader: Loader) -> bool:
    """Whether an item of a loader's dataset is a batch: the loader makes none."""
    return loader.batch_sampler is None or hands_on(loader)


def sampler_of(loader: Loader) -> Sampler:
    """What draws the indices of a map-style dataset; None if that is a batch_sampler of the user's own, or nothing."""
    if is_iterable(loader):
        return None
    batches = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    if loader.batch_sampler is None and not _is_batch_sampler(batches):
        return batches
    return batches.sampler if _is_batch_sampler(batches) else None


def reads_differ(loader: Loader) -> bool:
    """Whether `dataset[0]`, read twice, differs bit for bit; the state of every random generator is put back.

    With workers one of them reads it: what the dataset opens here would be shared with them. False as well where it is not
    read: a stream; a DataLoader that iterates in its own way; a dataset that has no item 0.
    """
    if is_iterable(loader) or not _iterates_as_torch(loader):
        return False
    with random_state_kept(loader):
        try:
            if loader.num_workers:
                return not is_same(*draw(loader, _as_it_is, [0, 0] if loader.batch_sampler is None else [[0], [0]]))
            return not is_same(loader.dataset[0], loader.dataset[0])
        except Exception:  # whatever it is, the drain will meet it too, and raise it
            return False


def _as_it_is(item: Examples) -> Examples:
    return item


def is_same(one: RawValue, other: RawValue) -> bool:
    """Whether two items are the same bit for bit; what cannot be compared counts as the same."""
    if one is other or type(one) is not type(other):
        return one is other
    if isinstance(one, torch_module().Tensor):
        return one.shape == other.shape and bool(torch_module().equal(_bits(one), _bits(other)))
    if form_of(one) in (Form.RECORD, Form.LIST, Form.VALUES):
        parts, others = dict(parts_of(one)), dict(parts_of(other))
        return parts.keys() == others.keys() and all(is_same(parts[name], others[name]) for name in parts)
    if hasattr(one, "tobytes"):  # NumPy, PIL
        return bool(one.tobytes() == other.tobytes())
    return not isinstance(one, str | bytes | int | float | complex) or one == other or one != one


def _bits(item: Tensor) -> Tensor:
    """The bytes of a tensor, which are copied only where they do not lie side by side: an example may be large."""
    flat = item.detach().cpu().contiguous().reshape(-1)
    dense = torch_module().contiguous_format  # a single element of any stride calls itself contiguous, and has no bytes
    return (flat.clone(memory_format=dense) if flat.numel() == 1 else flat).view(torch_module().uint8)


def expected_examples(loader: Loader) -> int | None:
    """How many examples a loader will give, where it can tell; for the progress bar only, so a sampler
    whose `__len__` fails in whatever way does not matter."""
    batches: Sampler = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    if not _is_batch_sampler(batches) or hands_on(loader):
        return None
    try:
        count = len(batches.sampler)
    except Exception:
        return None
    return int(count - count % batches.batch_size if batches.drop_last else count)


def expected_batches(loader: Loader) -> list[int] | None:
    """Rows of each batch a loader will give, where it can tell: all alike, but for the last."""
    total = expected_examples(loader)
    if total is None:
        return None
    batches = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    whole, rest = divmod(total, batches.batch_size)
    return [batches.batch_size] * whole + [rest] * (rest > 0)


def expected_total(loaders: Iterable[Loader]) -> int | None:
    """`expected_examples` of several loaders together; None if one of them cannot tell."""
    counts = [expected_examples(loader) for loader in loaders]
    return None if None in counts else sum(count or 0 for count in counts)
