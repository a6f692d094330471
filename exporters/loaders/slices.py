"""Batches of datasets that are tensors, taken by a slice or one gather instead of example by example.

    TensorDataset(x, y)[4], [5], [6], stacked by default_collate   =   [x[4:7], y[4:7]]

That is so for PyTorch's own TensorDataset and StackDataset, and for Subset and ConcatDataset of these (`random_split` makes
such), under PyTorch's own `default_collate`. A TensorDataset may be of a subclass that leaves alone how examples are got. Of any
other dataset nothing is known: it is asked for each example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from exporters.aliases import Dataset, Loader, RawBatch, Tensor
from exporters.tensors.pytorch import torch_module
from tfds_builder.aliases import Array

Take = Callable[[slice | Array], RawBatch]
"""Gives the collated batch of some indices: a slice of step 1, or an int64 array of shape (n,)."""


def batches_of(loader: Loader) -> Callable[[Sequence[int]], RawBatch] | None:
    """How a loader's batches are taken from its dataset, by their indices; None where examples must be fetched one by one.

    Args:
      loader: a DataLoader of a map-style dataset that is iterated as PyTorch does it.

    Returns:
      Gives for a list of indices what the loader would give for it, value for value. What lies side by side is a view of
      the dataset's own memory.
    """
    is_stacked = loader.batch_sampler is not None and loader.collate_fn is torch_module().utils.data.default_collate
    if not is_stacked or loader.worker_init_fn is not None:
        return None
    take = _take_of(loader.dataset)
    if take is None:
        return None
    return lambda indices: take(_as_slice(indices)) if indices else loader.collate_fn([])  # which raises, of an empty batch


def _as_slice(indices: Sequence[int] | Array) -> slice | Array:
    """Indices as a slice, where they follow each other; else as an array."""
    array = np.array(indices, np.int64)
    if len(array) and array[0] >= 0 and array[-1] - array[0] == len(array) - 1 and bool(np.all(array[1:] == array[:-1] + 1)):
        return slice(int(array[0]), int(array[-1]) + 1)
    return array


def _take_of(dataset: Dataset) -> Take | None:
    """How several examples of a dataset are taken at once; None if it must be asked for each."""
    data = torch_module().utils.data
    kind = type(dataset)
    if _is_tensors(dataset):
        return _join([_of_tensor(tensor) for tensor in dataset.tensors], list)
    if kind is data.StackDataset:
        parts = dataset.datasets
        if type(parts) is dict:
            return _join([_take_of_part(part) for part in parts.values()], lambda taken: dict(zip(parts, taken, strict=True)))
        return _join([_take_of_part(part) for part in parts], list) if type(parts) is tuple else None
    if kind is data.Subset:
        return _of_subset(dataset)
    if kind is data.ConcatDataset:
        return _of_several(dataset)
    return None


def _is_tensors(dataset: Dataset) -> bool:
    """Whether a dataset gives rows of its tensors: PyTorch's TensorDataset, or one that only adds to it, such as `classes`."""
    kind, plain = type(dataset), torch_module().utils.data.TensorDataset
    if not issubclass(kind, plain) or "tensors" not in vars(dataset) or hasattr(dataset, "__getitems__"):
        return False
    return all(getattr(kind, name) is getattr(plain, name) for name in ("__getitem__", "__getattribute__"))


def _take_of_part(part: Dataset) -> Take | None:
    """The same of what a StackDataset is made of: a dataset, or a tensor."""
    return _of_tensor(part) if type(part) is torch_module().Tensor else _take_of(part)


def _of_tensor(tensor: Tensor) -> Take | None:
    torch = torch_module()
    if type(tensor) is not torch.Tensor or tensor.layout != torch.strided or not tensor.ndim:
        return None
    if tensor.is_quantized or tensor.is_nested or tensor.is_meta:
        return None

    def take(rows: slice | Array) -> RawBatch:
        if not isinstance(rows, slice):
            return tensor[torch.from_numpy(rows).to(tensor.device)]
        _check_stop(rows, len(tensor))
        return tensor[rows]

    return take


def _check_stop(rows: slice, length: int) -> None:
    """Raises IndexError where a slice goes on behind the last example, as asking for that one would."""
    if rows.stop > length:
        raise IndexError(f"index {rows.stop - 1} is out of range of {length} examples")


def _join(takes: Sequence[Take | None], make: Callable[[list[RawBatch]], RawBatch]) -> Take | None:
    """Takes several parts of the same examples."""
    known = [take for take in takes if take is not None]
    return None if len(known) < len(takes) or not takes else lambda rows: make([take(rows) for take in known])


def _of_subset(subset: Dataset) -> Take | None:
    """Takes examples of a dataset by their place in the subset; its indices are looked up, not copied for each batch."""
    take = _take_of(subset.dataset)
    if take is None or not isinstance(subset.indices, list | tuple | range | np.ndarray):
        return None
    try:
        indices = np.asarray(subset.indices)
    except ValueError:  # they are no numbers
        return None
    if indices.ndim != 1 or indices.dtype.kind not in "iu" or not len(indices):
        return None

    def take_of_subset(rows: slice | Array) -> RawBatch:
        if isinstance(rows, slice):
            _check_stop(rows, len(indices))
        return take(_as_slice(indices[rows]))

    return take_of_subset


def _of_several(several: Dataset) -> Take | None:
    """Takes examples of datasets that follow each other."""
    takes = [_take_of(part) for part in several.datasets]
    known = [take for take in takes if take is not None]
    if len(known) < len(takes):
        return None
    ends = np.array(several.cumulative_sizes, np.int64)

    def take(rows: slice | Array) -> RawBatch:
        array = np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows
        array = np.where(array < 0, array + ends[-1], array)
        owners = np.searchsorted(ends, array, side="right")
        starts = np.concatenate([[0], ends[:-1]])
        if len(set(owners.tolist())) == 1:
            return known[owners[0]](_as_slice(array - starts[owners[0]]))
        order = np.argsort(owners, kind="stable")
        found = [known[owner](_as_slice(array[owners == owner] - starts[owner])) for owner in sorted(set(owners.tolist()))]
        return _merge(found, np.argsort(order))

    return take


def _merge(parts: Sequence[RawBatch], places: Array) -> RawBatch:
    """Batches of one structure end to end, their rows in the order of `places`."""
    first = parts[0]
    if isinstance(first, list):
        return [_merge(column, places) for column in zip(*parts, strict=True)]
    if isinstance(first, dict):
        return {key: _merge([part[key] for part in parts], places) for key in first}
    torch = torch_module()
    return torch.cat(list(parts))[torch.from_numpy(places).to(first.device)]
