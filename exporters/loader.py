"""DataLoader -> batches of named arrays. The only file that knows torch.

A batch of any structure becomes flat columns: `{"image": array, "target/boxes": array}`. Arrays
are NumPy views of the batch's own memory wherever that is possible; nothing is copied or permuted
here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from exporters.arrays import Array, check_array, is_scalar, list_to_numpy, shown
from exporters.errors import LoaderError, MissingDependencyError, SchemaError

Columns = dict[str, Array]


_DEPTH = 20
"""Deepest nesting of a batch; protobuf, which carries the features, stops at 100 messages."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch: flat columns that all have `rows` rows, and its number in the split, from 0."""

    columns: Columns
    rows: int
    number: int


def check_loader(loader: Any, split: str) -> None:
    """Raises LoaderError unless `loader` is a `torch.utils.data.DataLoader`."""
    data = _torch().utils.data
    if isinstance(loader, data.DataLoader):
        return
    hint = "wrap it: torch.utils.data.DataLoader(dataset, batch_size=64)" if hasattr(loader, "__getitem__") else ""
    raise LoaderError(
        f"split {split!r}: expected a torch.utils.data.DataLoader, got {type(loader).__name__}" + (f"; {hint}" if hint else "")
    )


def is_loader(value: Any) -> bool:
    """Whether `value` is a `torch.utils.data.DataLoader`."""
    return isinstance(value, _torch().utils.data.DataLoader)


def to_batch(raw: Any, split: str, number: int) -> Batch:
    """Turns one batch of a DataLoader into columns, which still carry structural names (`"0"`, `"1/boxes"`).

    Raises:
      LoaderError: it cannot be turned into columns (names the batch and the feature).
      SchemaError: its columns have different numbers of rows.
    """
    where = f"split {split!r}, batch {number}"
    columns = _unique(_flatten(raw, "", where), where)
    if not columns:
        raise LoaderError(f"{where}: the batch is an empty {type(raw).__name__}; give it at least one feature")
    sizes = {name: len(array) for name, array in columns.items()}
    if len(set(sizes.values())) > 1:
        raise SchemaError(
            f"{where}: every feature must have the same number of rows, got "
            + ", ".join(f"{shown(name)}: {size}" for name, size in sizes.items())
            + "; make collate_fn give one row an example"
        )
    return Batch(columns, next(iter(sizes.values())), number)


def check_first(raw: Any, batch: Batch, loader: Any, split: str) -> None:
    """Whether the features can be told from a first batch.

    Raises:
      SchemaError: it has no rows.
      LoaderError: it is a list of examples, and would be taken apart the wrong way: it has as many
        parts as a batch has examples, all alike, and none of that length.
    """
    if not batch.rows:
        raise SchemaError(
            f"split {split!r}, batch 0: the first batch has no rows, so the features cannot be told; fill the dataset, or let "
            "collate_fn skip empty batches"
        )
    if not position_names(raw) or _is_leaf(raw) or len(raw) != loader.batch_size or batch.rows == loader.batch_size:
        return
    if len({(array.dtype, array.shape) for array in batch.columns.values()}) == 1:
        raise LoaderError(
            f"split {split!r}, batch 0: the batch is a {type(raw).__name__} of {len(raw)} examples, not of columns; "
            "stack them in collate_fn: torch.stack(examples)"
        )


def position_names(raw: Any) -> list[str]:
    """Structural names of the top-level parts of a batch that are known by position only.

    >>> position_names(torch.zeros(8, 3)), position_names([images, labels])     # doctest: +SKIP
    ([''], ['0', '1'])

    Empty for a mapping, a dataclass or a namedtuple: their parts have names of their own.
    """
    if _is_leaf(raw):
        return [""]
    is_plain = isinstance(raw, list | tuple) and not hasattr(raw, "_fields")
    return [str(i) for i in range(len(raw))] if is_plain else []


def peek(loader: Any, split: str) -> tuple[Any, Iterator[Any]]:
    """The first raw batch of a loader, and an iterator over all of them, the first included.

    Raises:
      SchemaError: the loader yields nothing.
    """
    batches = iter(loader)
    try:
        first = next(batches)
    except StopIteration:
        raise SchemaError(f"split {split!r}: the loader yields no batch; give it a dataset that is not empty") from None
    return first, itertools.chain([first], batches)


def sample(loader: Any, split: str) -> tuple[Any, Iterator[Any] | None]:
    """The first raw batch without using up the loader's order.

    For a map-style dataset the batch is fetched here, the state of every random generator put
    back, and the next epoch draws as if nothing had happened. An iterable dataset may be a stream
    that cannot be read twice (and a subclass may iterate in its own way): there the opened iterator
    is returned too, and must be used first.
    """
    data = _torch().utils.data
    if isinstance(loader.dataset, data.IterableDataset) or type(loader).__iter__ is not data.DataLoader.__iter__:
        return peek(loader, split)
    with _random_state_kept(loader):
        sampler = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
        index = next(iter(sampler), None)
        if index is None or (isinstance(index, Sequence) and not index):
            raise SchemaError(f"split {split!r}: the loader yields no batch; give it a dataset that is not empty")
        if loader.batch_sampler is None:
            return loader.collate_fn(loader.dataset[index]), None
        get_many = getattr(loader.dataset, "__getitems__", None)
        rows = get_many(index) if get_many else [loader.dataset[i] for i in index]
        return loader.collate_fn(rows), None


@contextlib.contextmanager
def _random_state_kept(loader: Any) -> Iterator[None]:
    """Puts back the state of every generator that drawing a batch could have moved on."""
    import random

    torch = _torch()
    owners = (loader, loader.sampler, getattr(loader.batch_sampler, "sampler", None))
    generators = {id(g): g for g in (getattr(owner, "generator", None) for owner in owners) if g is not None}
    states = [(generator, generator.get_state()) for generator in generators.values()]
    python, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        for generator, state in states:
            generator.set_state(state)


def is_iterable(loader: Any) -> bool:
    """Whether the dataset is a stream: every worker iterates over a copy of its own."""
    return isinstance(loader.dataset, _torch().utils.data.IterableDataset)


def sampler_of(loader: Any) -> Any:
    """What draws the indices of a map-style dataset; None if that is a batch_sampler of the user's own, or nothing."""
    if is_iterable(loader):
        return None
    batches = loader.batch_sampler
    if batches is None:
        return loader.sampler
    return batches.sampler if type(batches) is _torch().utils.data.BatchSampler else None


def reads_differ(loader: Any) -> bool:
    """Whether `dataset[0]`, read twice, differs bit for bit; the state of every random generator is put back.

    False as well where it is not read: with workers, because what the dataset opens here would be shared with them;
    a stream; a DataLoader that iterates in its own way; a dataset that has no item 0.
    """
    data = _torch().utils.data
    if is_iterable(loader) or loader.num_workers or type(loader).__iter__ is not data.DataLoader.__iter__:
        return False
    with _random_state_kept(loader):
        try:
            return not _is_same(loader.dataset[0], loader.dataset[0])
        except Exception:  # whatever it is, the drain will meet it too, and raise it
            return False


def _is_same(one: Any, other: Any) -> bool:
    """Whether two items are the same bit for bit; what cannot be compared counts as the same."""
    if one is other or type(one) is not type(other):
        return one is other
    if _is_tensor(one):
        bits = [item.detach().cpu().contiguous().reshape(-1).view(_torch().uint8) for item in (one, other)]
        return one.shape == other.shape and bool(_torch().equal(*bits))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if dataclasses.is_dataclass(one):
        return _is_same(vars(one), vars(other))
    if hasattr(one, "tobytes"):  # NumPy, PIL
        return bool(one.tobytes() == other.tobytes())
    return not isinstance(one, str | bytes | int | float | complex) or one == other or one != one


def expected_examples(loader: Any) -> int | None:
    """How many examples a loader will give, where it can tell; for the progress bar only, so a sampler
    whose `__len__` fails in whatever way does not matter."""
    batches = loader.batch_sampler
    if type(batches) is not _torch().utils.data.BatchSampler:
        return None
    try:
        count = len(batches.sampler)
    except Exception:
        return None
    return int(count - count % batches.batch_size if batches.drop_last else count)


def expected_batches(loader: Any) -> list[int] | None:
    """Rows of each batch a loader will give, where it can tell: all alike, but for the last."""
    total = expected_examples(loader)
    if total is None:
        return None
    whole, rest = divmod(total, loader.batch_sampler.batch_size)
    return [loader.batch_sampler.batch_size] * whole + [rest] * (rest > 0)


def expected_total(loaders: Iterable[Any]) -> int | None:
    """`expected_examples` of several loaders together; None if one of them cannot tell."""
    counts = [expected_examples(loader) for loader in loaders]
    return None if None in counts else sum(count or 0 for count in counts)


def class_names(loader: Any) -> list[str] | None:
    """`dataset.classes`, torchvision's convention, also through Subset and ConcatDataset.

    A tuple of synonyms (as ImageNet's) becomes one name, joined by ", ".
    """
    found = _find_classes(loader.dataset)
    if found is None:
        return None
    names = [", ".join(map(str, name)) if isinstance(name, tuple | list) else str(name) for name in found]
    return names or None


def _find_classes(dataset: Any) -> Sequence[Any] | None:
    classes = getattr(dataset, "classes", None)
    if isinstance(classes, list | tuple):
        return classes
    data = _torch().utils.data
    if isinstance(dataset, data.Subset):
        return _find_classes(dataset.dataset)
    if isinstance(dataset, data.ConcatDataset):
        found = [_find_classes(part) for part in dataset.datasets]
        if all(item is not None and list(item) == list(found[0] or []) for item in found):
            return found[0]
    return None


def _unique(items: Iterable[tuple[str, Array]], where: str) -> Columns:
    columns: Columns = {}
    for name, array in items:
        if name in columns:
            raise LoaderError(f"{where}: two parts of the batch are both called {name!r}; rename one in collate_fn")
        columns[name] = array
    return columns


def _is_leaf(value: Any) -> bool:
    if isinstance(value, np.ndarray) or _is_tensor(value):
        return True
    is_list = isinstance(value, list | tuple) and not hasattr(value, "_fields")
    return is_list and len(value) > 0 and is_scalar(value[0])


def _is_tensor(value: Any) -> bool:
    return isinstance(value, _torch().Tensor)


def _flatten(value: Any, path: str, where: str) -> Iterator[tuple[str, Array]]:
    """The leaves of a batch as (structural name, array)."""
    if path.count("/") > _DEPTH:
        raise LoaderError(f"{where}: the batch is nested more than {_DEPTH} deep at {path[:80]!r}; flatten it in collate_fn")
    if _is_tensor(value):
        yield path, _with_rows(_tensor_to_numpy(value, path, where), path, where)
    elif isinstance(value, np.ndarray):
        yield path, _with_rows(check_array(value, path, where), path, where)
    elif _is_leaf(value):
        yield path, list_to_numpy(value, path, where)
    else:
        is_target = not path and position_names(value) == ["0", "1"]
        for name, item in _items(value, path, where):
            place = f"{where}, label" if is_target and name == "1" else where
            yield from _flatten(item, f"{path}/{name}" if path else name, place)


def _items(value: Any, path: str, where: str) -> Iterator[tuple[str, Any]]:
    """The parts of one level of structure, by name."""
    if isinstance(value, Mapping | list | tuple) and not value:
        raise LoaderError(f"{where}: {shown(path)} is an empty {type(value).__name__}; give it at least one feature")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise LoaderError(f"{where}: {shown(path)} has the key {key!r}; keys must be str, they become feature names")
            if "/" in key:
                raise SchemaError(
                    f"{where}: key {key!r} has a '/', which TFDS keeps for nested features; rename it in collate_fn"
                )
            yield key, item
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield field.name, getattr(value, field.name)
    elif isinstance(value, list | tuple):
        for name, item in zip(getattr(value, "_fields", map(str, range(len(value)))), value, strict=True):
            yield name, item
    elif value is None:
        raise LoaderError(f"{where}: {shown(path)} is None; give every example a value, or leave the feature out of collate_fn")
    elif is_scalar(value):
        raise LoaderError(
            f"{where}: {shown(path)} is a single {type(value).__name__} with no batch axis; "
            "give the DataLoader a batch_size, or make collate_fn return a list or a tensor"
        )
    else:
        raise LoaderError(
            f"{where}: {shown(path)} is a {type(value).__name__}; a batch must be built of tensors, NumPy arrays, lists of "
            "str, bytes or numbers, in tuples, lists, dicts or dataclasses: convert it in collate_fn"
        )


def _with_rows(array: Array, path: str, where: str) -> Array:
    if array.ndim == 0:
        raise LoaderError(f"{where}: {shown(path)} has no batch axis (shape ()); give the DataLoader a batch_size")
    return array


def _tensor_to_numpy(tensor: Any, path: str, where: str) -> Array:
    """A tensor of any device, layout in memory and autograd state as a NumPy view of its values."""
    torch = _torch()
    if tensor.is_nested or tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        kind = "nested" if tensor.is_nested else "quantized" if tensor.is_quantized else str(tensor.layout)
        kind = "meta" if tensor.is_meta else kind
        raise LoaderError(f"{where}: {shown(path)} is a {kind} tensor; convert it in collate_fn (.to_dense(), .dequantize())")
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        bits: Array = tensor.view(torch.int16).numpy()
        return bits.view(ml_dtypes.bfloat16)
    try:
        array: Array = tensor.numpy()
    except (TypeError, RuntimeError):
        raise LoaderError(
            f"{where}: {shown(path)} has dtype {tensor.dtype}, which TFDS cannot decode; convert it in collate_fn, "
            "for example .to(torch.float32)"
        ) from None
    return array


@functools.cache
def _torch() -> Any:
    try:
        import torch
        import torch.utils.data
    except ImportError as error:
        raise MissingDependencyError('exporting needs PyTorch: pip install "torch2tfds[torch]"') from error
    return torch
