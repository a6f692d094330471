"""Names for what has no type that a checker knows: a loader may be of any class, and a batch may hold whatever it likes.

`RawBatch` in a signature says what is meant where `Any` would say nothing; for a type checker most of them are the same.
Those that the consumer needs too (`Array`, `Feature`, `Json`) are in `tfds_builder.aliases`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

Loader: TypeAlias = Any
"""A PyTorch `DataLoader`, or what `loaders.items.settle` has made one of."""

Dataset: TypeAlias = Any
"""The dataset of a loader, or one within it: map-style, iterable, or whatever else has examples."""

Sampler: TypeAlias = Any
"""What gives a loader its indices, one by one or as lists of a batch."""

Index: TypeAlias = Any
"""One item of a sampler: the index of an example, a list of such, or whatever the dataset takes."""

Examples: TypeAlias = Any
"""What a collate function gets: the list of a batch's examples, or what the dataset has gathered in one go."""

RawBatch: TypeAlias = Any
"""A batch as the loader gives it, before anything is known of it."""

RawValue: TypeAlias = Any
"""Anything in a raw batch, or the whole: a tensor, an array, a picture, a string, a number, or a list or mapping of them."""

RowValue: TypeAlias = Any
"""What a raw batch has for one row of one feature, where rows are lists, strings or arrays that differ in shape."""

Tensor: TypeAlias = Any
"""A `torch.Tensor`; torch is imported in `exporters.tensors.pytorch` only."""

RandomGenerator: TypeAlias = Any
"""A `torch.Generator`, from which a loader draws its order; None for PyTorch's own."""

Collate: TypeAlias = Callable[[Examples], RawBatch]
"""A collate function: the examples of a batch -> the batch."""

NumberedBatches: TypeAlias = Iterator[tuple[int, RawBatch]]
"""Raw batches with their numbers, which count from 0 in the order of the loader."""

Component: TypeAlias = Any
"""What a loader is made of: a dataset, a transform, a sampler, a function, or any object that one of them holds."""

Picture: TypeAlias = Any
"""A `PIL.Image.Image`; Pillow need not be installed."""

TorchDType: TypeAlias = Any
"""A `torch.dtype`."""

Policy: TypeAlias = Any
"""What a caller gives as `on_hazard=`: "error", "warn" or "ignore", or a mapping of names of hazards to these."""
