"""The random generators that drawing a batch can move on, wherever they are, and how they are put back.

Samplers, datasets and transforms keep generators of their own: of torch, NumPy and Python, in attributes, in what they wrap, in
lists, in what a function closes over. Samplers also count their epochs, and that is put back with them.

Those of `random`, NumPy and torch may be seeded before each batch, in whatever process it is drawn (`SeededDataset`).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import random
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from exporters.aliases import Component, Dataset, Examples, Index, RawValue
from exporters.loaders.order import Draw
from exporters.tensors.pytorch import torch_module

_DEEPEST, _WIDEST, _MOST = 8, 64, 2000
"""How deep generators are looked for, in how long lists, and in how many objects at most."""
_PLAIN = (str, bytes, int, float, complex, type(None), type, types.ModuleType, np.ndarray)


@contextlib.contextmanager
def random_state_kept(owner: Component = None) -> Iterator[list[Callable[[], None]]]:
    """Puts back the state of every generator that drawing a batch could have moved on, and of every sampler, unless the list
    it gives is cleared.

    Args:
      owner: a DataLoader, or anything else that may have generators. The global ones are put back in any case.
    """
    put_back = list(_ways_back(owner))
    try:
        yield put_back
    finally:
        for restore in put_back:
            restore()


def _ways_back(owner: Component) -> Iterator[Callable[[], None]]:
    """For each generator and sampler, what puts it back to where it is now."""
    torch = torch_module()
    for item, is_sampler in _reach(owner):
        if isinstance(item, torch.Generator):
            yield functools.partial(item.set_state, item.get_state())
        elif isinstance(item, np.random.Generator):
            yield functools.partial(setattr, item.bit_generator, "state", item.bit_generator.state)
        elif isinstance(item, np.random.RandomState):
            yield functools.partial(item.set_state, item.get_state())
        elif isinstance(item, random.Random):
            if not isinstance(item, random.SystemRandom):  # it has no state
                yield functools.partial(item.setstate, item.getstate())
        elif is_sampler:
            yield functools.partial(_put_back_attributes, item, dict(vars(item)))
    yield functools.partial(random.setstate, random.getstate())
    yield functools.partial(np.random.set_state, np.random.get_state())
    yield functools.partial(torch.set_rng_state, torch.get_rng_state())


def fingerprint(owner: Component) -> list[object]:
    """The states of all those generators, to be compared with what they are later."""
    torch = torch_module()
    found: list[object] = [random.getstate(), np.random.get_state(), torch.get_rng_state()]
    for item, _ in _reach(owner):
        if isinstance(item, torch.Generator | np.random.RandomState):
            found.append(item.get_state())
        elif isinstance(item, np.random.Generator):
            found.append(item.bit_generator.state)
        elif isinstance(item, random.Random) and not isinstance(item, random.SystemRandom):
            found.append(item.getstate())
    return [_as_lists(state) for state in found]


def _as_lists(state: object) -> object:
    """The state of a generator in a form that can be compared by `==`."""
    if isinstance(state, Mapping):
        return {key: _as_lists(part) for key, part in state.items()}
    if isinstance(state, tuple):
        return [_as_lists(part) for part in state]
    return state.tolist() if hasattr(state, "tolist") else state


def shared_iterators(one: object, other: object) -> bool:
    """Whether what can be reached from two objects has an iterator in common: what one takes from it, the other does not get."""
    mine = {id(item) for item, _ in _reach(one) if isinstance(item, Iterator)}
    return any(id(item) in mine for item, _ in _reach(other))


def _put_back_attributes(item: object, attributes: Mapping[str, Any]) -> None:
    vars(item).clear()
    vars(item).update(attributes)


def _reach(owner: Component) -> Iterator[tuple[Component, bool]]:
    """Everything that can be reached from an object, and whether each is a sampler; the object itself is not taken for one."""
    torch = torch_module()
    waiting, seen = [(owner, False, 0)], dict[int, Any]()
    while waiting and len(seen) < _MOST:
        item, is_sampler, depth = waiting.pop(0)
        if id(item) in seen or isinstance(item, (*_PLAIN, torch.Tensor)):
            continue
        seen[id(item)] = item
        yield item, is_sampler or isinstance(item, torch.utils.data.Sampler)
        if depth < _DEEPEST:
            waiting += [(part, is_sampler, depth + 1) for part, is_sampler in _parts(item)]


def _parts(item: Component) -> Iterator[tuple[Component, bool]]:
    """What an object holds, and whether it is called a sampler there."""
    if type(item) in (list, tuple, set, frozenset):
        yield from ((part, False) for part in (item if len(item) <= _WIDEST else ()))
    elif type(item) is dict:
        yield from ((part, False) for part in (item.values() if len(item) <= _WIDEST else ()))
    elif isinstance(item, functools.partial):
        yield from ((part, False) for part in (item.func, item.args, item.keywords))
    elif isinstance(item, types.MethodType):
        yield item.__self__, False
    elif isinstance(item, types.FunctionType):
        for cell in item.__closure__ or ():
            with contextlib.suppress(ValueError):  # a cell that is empty yet
                yield cell.cell_contents, False
    elif isinstance(getattr(item, "__dict__", None), dict):
        for name, part in vars(item).items():
            if name != "_iterator":  # of workers that persist: nothing of it is drawn from
                yield part, "sampler" in name and hasattr(part, "__dict__")


class SeededDataset:
    """A map-style dataset that is asked for whole batches, by `Draw`s: each seeds the generators before its examples are read, so
    what they draw, and what `collate_fn` draws after them, does not depend on the process. Anything else is asked of the dataset.

    Attributes:
      dataset: what the examples are read from.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Index) -> RawValue:
        return self.dataset[_seed(index)]

    def __getitems__(self, indices: Index) -> Examples:
        """The examples of a batch, as PyTorch's fetcher would have them (torch/utils/data/_utils/fetch.py)."""
        keys, get_many = _seed(indices), getattr(self.dataset, "__getitems__", None)
        return get_many(keys) if get_many else [self.dataset[key] for key in keys]


def _seed(index: Index) -> Index:
    """Seeds the generators of `random`, NumPy and torch, if that is asked for; returns the index, or indices."""
    if not isinstance(index, Draw):
        return index
    words = np.frombuffer(hashlib.blake2b(index.seed.encode(), digest_size=16).digest(), "<u4")
    random.seed(words.tobytes())
    np.random.seed(words)
    torch_module().manual_seed(int(words[:2].view("<u8")[0]))
    return index.index


def tell_whole_dataset(begin: Callable[[int], None] | None, worker: int) -> None:
    """A `worker_init_fn` for workers that read a SeededDataset: `get_worker_info()` has the dataset that was given. It is there
    for the user's own `worker_init_fn` too, which is called then."""
    module: Any = torch_module().utils.data._utils.worker
    info = module._worker_info
    module._worker_info = module.WorkerInfo(
        id=info.id, num_workers=info.num_workers, seed=info.seed, dataset=info.dataset.dataset
    )
    if begin is not None:
        begin(worker)
