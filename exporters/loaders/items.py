"""What one item of a loader without a batch size is: an example, or a batch of examples. If the items do not show it, the caller
is asked.

`DataLoader(dataset, batch_size=None)` hands on what the dataset gives, and PyTorch allows it to be either. An example taken for a
batch would be cut into rows, a batch taken for an example would be one row of many.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence

from exporters.aliases import Collate, Dataset, Loader, RawValue
from exporters.batches.structure import leading_sizes, leaves_with_shapes
from exporters.errors import LayoutError, LoaderError
from exporters.loaders import facts as loader_lib
from exporters.loaders.random_state import random_state_kept
from exporters.tensors import layout as layout_lib
from exporters.tensors.pytorch import torch_module

_GATHERED = 32
"""Examples that are put into a batch where the loader makes none."""
_EXAMPLE, _BATCH = "an example", "a batch"
_LOOKED_AT = 3
"""Items of a dataset that are looked at, at most."""
_LINES = (
    "if it is an example: torch.utils.data.DataLoader(dataset, batch_size=64) (and collate_fn=list where examples differ in "
    "shape); if it is a batch of examples: torch.utils.data.DataLoader(dataset, batch_size=1, "
    "collate_fn=operator.itemgetter(0))"
)


def settle(loader: Loader, split: str) -> Loader:
    """A DataLoader of batches, whose rows are examples, from what was given as the loader of a split.

    It is the loader itself, unless that gives single examples of a map-style dataset: then they are gathered. A pipeline of
    webdataset's that gives batches becomes a DataLoader; of a WebLoader it is the one within it. Of a stream, what it gives is
    looked at when it is there (`check_stream`).

    Raises:
      LoaderError: it is no DataLoader, or whether its items are examples is not shown.
    """
    if is_pipeline(loader):
        inner = _only_loader(loader)
        if inner is not None:
            return settle(inner, split)
        return torch_module().utils.data.DataLoader(loader, batch_size=None, collate_fn=_hand_on)
    _check_loader(loader, split)
    if loader.batch_sampler is not None:
        if is_pipeline(loader.dataset) and _of_pipeline(loader.dataset) == _BATCH and not loader_lib.hands_on(loader):
            raise LoaderError(
                f"split {split!r}: the dataset ({_full_name(loader.dataset)}) gives batches, and the DataLoader makes "
                "batches of them; give it as it is, without a DataLoader, or torch.utils.data.DataLoader(dataset, "
                "batch_size=None)"
            )
        return loader
    if not loader_lib.is_drawn_by_index(loader):
        return loader
    items = _Items(loader)
    if items.kind is None:
        raise _not_shown(split, loader, items.seen[0])
    if items.kind == _BATCH:
        return loader
    return loader_lib.gathered(loader, _GATHERED, functools.partial(_gather, loader.collate_fn))


def is_loader(value: object) -> bool:
    """Whether `value` is a `torch.utils.data.DataLoader`, or a pipeline of webdataset's."""
    return is_data_loader(value) or is_pipeline(value)


def is_data_loader(value: object) -> bool:
    """Whether `value` is a `torch.utils.data.DataLoader`."""
    return isinstance(value, torch_module().utils.data.DataLoader)


def is_pipeline(value: object) -> bool:
    """Whether `value` is a pipeline of webdataset's: a WebDataset, a WebLoader."""
    return any(kind.__name__ == "DataPipeline" and kind.__module__.startswith("webdataset.") for kind in type(value).__mro__)


def _only_loader(pipeline: Loader) -> Loader | None:
    """The DataLoader that a pipeline of webdataset's consists of, as a WebLoader does, and whose batches it hands on once."""
    is_plain = len(pipeline.pipeline) == 1 and pipeline.repetitions == 1 and loader_lib.length_of(pipeline) is None
    return pipeline.pipeline[0] if is_plain and is_data_loader(pipeline.pipeline[0]) else None


def _check_loader(loader: Loader, split: str) -> None:
    """Raises LoaderError unless `loader` is a `torch.utils.data.DataLoader`."""
    data = torch_module().utils.data
    if isinstance(loader, data.DataLoader):
        return
    hint, name = "", _full_name(loader)
    if isinstance(loader, type):
        name, hint = f"the class {loader.__qualname__}", "make one"
    elif isinstance(loader, data.IterableDataset):
        hint = _LINES.replace("if it is", "if an item of it is")
    elif hasattr(loader, "__getitem__"):
        hint = "wrap it: torch.utils.data.DataLoader(dataset, batch_size=64)"
    elif hasattr(loader, "__iter__"):
        hint = (
            "if it gives batches, wrap it: torch.utils.data.DataLoader(torch.utils.data.datapipes.iter.IterableWrapper("
            "loader, deepcopy=False), batch_size=1, collate_fn=operator.itemgetter(0))"
        )
    raise LoaderError(f"split {split!r}: expected a torch.utils.data.DataLoader, got {name}" + (f"; {hint}" if hint else ""))


def _full_name(value: object) -> str:
    """Of which class a value is, with its module unless that is Python's own."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def check_stream(item: RawValue, loader: Loader, split: str) -> None:
    """Raises LoaderError if the first item of a stream without a batch size is an example, or does not show what it is."""
    if loader.batch_sampler is not None or loader_lib.is_drawn_by_index(loader):
        return
    kind = _of_pipeline(loader.dataset) or _of_item(item)
    if kind is None and any(leading_sizes(item)):
        raise _not_shown(split, loader, item)
    if kind == _EXAMPLE:
        raise LoaderError(
            f"split {split!r}: batch_size=None, and an item of the stream ({_full_name(loader.dataset)}) is one "
            f"example, of {_describe(item)}; {_batching(loader)}"
        )


def _batching(loader: Loader) -> str:
    """How the examples of a stream become batches: by its DataLoader, or in a pipeline of webdataset's by a stage of its own."""
    if not is_pipeline(loader.dataset):
        return (
            "let the DataLoader make batches: torch.utils.data.DataLoader(dataset, batch_size=64) (and collate_fn=list where "
            "examples differ in shape)"
        )
    line = "dataset.batched(64)" if hasattr(loader.dataset, "batched") else "dataset.compose(webdataset.batched(64))"
    if loader.collate_fn is not _hand_on:  # it was given as a DataLoader
        line = f"torch.utils.data.DataLoader({line}, batch_size=None)"
    return f"let the pipeline make batches: {line} (and collation_fn=None beside the 64 where examples differ in shape)"


def decisions(loaders: Mapping[str, Loader]) -> Iterator[str]:
    """What was decided of loaders without a batch size, a sentence a split."""
    for split, loader in loaders.items():
        if gathers(loader):
            yield f"split {split}: batch_size=None, each item of the dataset is one example"
        elif loader.batch_sampler is None:
            yield f"split {split}: batch_size=None, each item is a batch of examples"


def gathers(loader: Loader) -> bool:
    """Whether a loader is one that `settle` made, of single examples."""
    return getattr(loader.collate_fn, "func", None) is _gather


def draws_lists(loader: Loader) -> bool:
    """Whether the sampler of a loader without a batch size draws batches of indices."""
    with random_state_kept(loader), contextlib.suppress(Exception):  # the drain meets it again
        if loader_lib.length_of(loader.sampler) is not None:
            index = next(iter(loader.sampler), None)
            return isinstance(index, slice) or (
                loader_lib.length_of(index) is not None and not isinstance(index, str | bytes | tuple)
            )
    return False


def collate_of(loader: Loader) -> Collate:
    """The `collate_fn` that a loader was given, also of one that `settle` made."""
    collate: Collate = loader.collate_fn.args[0] if gathers(loader) else loader.collate_fn
    return collate


def has_own_collate(loader: Loader) -> bool:
    """Whether `collate_fn` is none of PyTorch's own, which neither pad nor draw."""
    return not str(getattr(collate_of(loader), "__module__", "")).startswith("torch.utils.data")


def _hand_on(item: RawValue) -> RawValue:
    return item


def _gather(collate: Collate, examples: Sequence[RawValue]) -> list[RawValue]:
    """A batch, a list of rows, of examples that the loader would have given one by one."""
    return [collate(example) for example in examples]


class _Items:
    """The first items of a map-style dataset, and what they are: `kind` is `_EXAMPLE`, `_BATCH`, or None if they do not show it.

    A sampler that draws lists of indices asks for batches. An item with a part that has no rows (a number, a text, an array
    of no axes), or with parts of different numbers of rows, is no batch; neither is one that has a single part, because
    a dataset's length counts its examples, unless that looks like a batch of images. Parts that all agree may be either, and
    images tell.
    """

    def __init__(self, loader: Loader) -> None:
        self.seen: list[RawValue] = []
        if draws_lists(loader):
            self.kind: str | None = _BATCH
            return
        kinds = set[str | None]()
        for item in _first_items(loader):
            self.seen.append(item)
            kind = _of_item(item)
            if kind is None and len(list(leading_sizes(item))) == 1 and not _has_images(item, batched=True):
                kind = _EXAMPLE
            if kind is None and _has_images(item, batched=False):
                kind = _EXAMPLE
            kinds.add(kind)
            if kind == _EXAMPLE:
                break
        self.kind = _EXAMPLE if _EXAMPLE in kinds or not kinds else kinds.pop() if len(kinds) == 1 else None


def _first_items(loader: Loader) -> Iterator[RawValue]:
    """The first items of a map-style dataset, as its loader gives them; none where they cannot be had."""
    keys = loader.sampler if isinstance(loader.sampler, Sequence) else range(_LOOKED_AT)
    with random_state_kept(loader), contextlib.suppress(Exception):  # whatever it is, the drain meets it again
        yield from loader_lib.draw(loader, loader.collate_fn, list(itertools.islice(keys, _LOOKED_AT)))


def _of_item(item: RawValue) -> str | None:
    """What an item of any dataset shows itself to be."""
    sizes = list(leading_sizes(item))
    if None in sizes or len(set(sizes)) > 1:
        return _EXAMPLE
    return _BATCH if len(sizes) > 1 and _has_images(item, batched=True) else None


def _has_images(item: RawValue, *, batched: bool) -> bool:
    """Whether an item has a part that would be taken for images if the item was a batch; or, not batched, an example."""
    for _, shape in leaves_with_shapes(item):
        with contextlib.suppress(LayoutError):  # which says that it is an image
            if layout_lib.decide("", shape if batched else (1, *shape), None) is None:
                continue
        if len(shape) == (4 if batched else 3):
            return True
    return False


def _of_pipeline(dataset: Dataset) -> str | None:
    """`_BATCH` of a pipeline of webdataset's whose stages make batches; None of anything else."""
    kind: str | None = None
    for stage in dataset.pipeline if is_pipeline(dataset) else ():
        name = getattr(getattr(stage, "f", None), "__name__", "")
        if name == "_batched":
            kind = _BATCH
        elif name in ("_unbatched", "_unlisted"):
            kind = None
        elif is_pipeline(stage):
            kind = _of_pipeline(stage)
        elif is_loader(stage):
            kind = _BATCH if stage.batch_sampler is not None else _of_pipeline(stage.dataset)
    return kind


def _not_shown(split: str, loader: Loader, item: RawValue) -> LoaderError:
    lines = f"if it is an example, {_batching(loader)}; {_LINES.partition('; ')[2]}" if is_pipeline(loader.dataset) else _LINES
    return LoaderError(
        f"split {split!r}: batch_size=None, and nothing shows whether an item of the dataset ({_full_name(loader.dataset)}"
        f"), of {_describe(item)}, is an example or a batch of examples; {lines}"
    )


def _describe(item: RawValue) -> str:
    """The parts of an item by name, with their shapes."""
    parts = [f"{name!r} {shape}" if name else f"shape {shape}" for name, shape in itertools.islice(leaves_with_shapes(item), 6)]
    return ", ".join(parts) or f"type {type(item).__name__}"
