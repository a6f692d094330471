"""What an export would make of its loaders, seen from the first batch of each split. Nothing is written.

>>> found = preview({"train": loader}, Options())                                   # doctest: +SKIP
>>> found.features[0].given, found.features[0].loaded                               # doctest: +SKIP
('uint8 (64, 3, 32, 32)', 'uint8 (32, 32, 3)')
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from exporters.aliases import Loader
from exporters.batches.flatten import Batch, to_batch
from exporters.batches.row_lists import Lists
from exporters.batches.rows import Rows
from exporters.errors import ExportError, HazardWarning
from exporters.hazards.observers import SplitObserver
from exporters.hazards.watch import Watch
from exporters.integers.transforms import with_scales
from exporters.loaders import facts, items
from exporters.loaders.first_batch import First, first_batch
from exporters.loaders.random_state import random_state_kept
from exporters.options import checks
from exporters.options.features import Options
from exporters.outcome import Hazard
from exporters.schema import class_names
from exporters.schema import schema as schema_lib
from exporters.schema.schema import Schema
from exporters.tensors.arrays import Columns
from tfds_builder.contract.ragged import Ragged
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import nest
from tfds_builder.readers.data_source import Value
from tfds_builder.table.single_rows import values_of


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeaturePreview:
    """One feature before and after.

    Attributes:
      name: flat, `target/boxes`.
      given: what the batch has of it: dtype and shape, the batch axis first.
      loaded: what `tfds.load` would give: dtype and shape of one example.
      is_image: whether its values are images.
    """

    name: str
    given: str
    loaded: str
    is_image: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitPreview:
    """The first batch of a split.

    Attributes:
      expected: how many examples the loader promises; None if it does not tell.
      rows: how many its first batch has.
      bytes: of an example as it would be stored, about, without what the format adds.
      examples: the first of them, as a data source would give them: nested dicts of NumPy values.
      problem: why the split could not be exported; "" if nothing is known.
    """

    expected: int | None
    rows: int = 0
    bytes: int = 0
    examples: tuple[dict[str, Any], ...] = ()
    problem: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preview:
    """What the first batches show.

    Attributes:
      features: in the order of their names.
      labels: names of the classes of labels that have any, by flat name.
      supervised_keys: what `as_supervised=True` would give, or None.
      decisions: what an export would decide, a sentence a feature.
      splits: by name.
      hazards: what an export would tell before the first byte and of the first batches.
    """

    features: tuple[FeaturePreview, ...]
    labels: Mapping[str, Sequence[str]]
    supervised_keys: tuple[str, ...] | None
    decisions: tuple[str, ...]
    splits: Mapping[str, SplitPreview]
    hazards: tuple[Hazard, ...]


def preview(loaders: Loader, options: Options, examples: int = 3) -> Preview:
    """Draws the first batch of every split, and tells what would become of it.

    Samplers and random generators are put back, so that an export in the same process draws as if nothing had happened; a
    stream has given its first batch, though, and will not give it again.

    Args:
      loaders: a DataLoader, or a mapping of split name to DataLoader.
      options: what the caller says about the features.
      examples: how many examples of each split are decoded.

    Raises:
      ExportError: the first split cannot be exported. Of the others, `SplitPreview.problem` says why.
    """
    splits = {split: items.settle(loader, split) for split, loader in checks.check_splits(loaders).items()}
    watch = Watch("warn")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HazardWarning)  # `watch.found` has them
        for split, loader in splits.items():
            watch.inspect(split, loader, splits.values(), reads=True)
        classes, options = class_names.of_splits(splits), with_scales(options, splits.values())
        schema, lists, features, found = None, Lists(), tuple[FeaturePreview, ...](), dict[str, SplitPreview]()
        for split, loader in splits.items():
            expected = facts.expected_examples(loader)
            try:
                first = _draw(loader, split, None if schema is None else lists)
                if schema is None:
                    schema, lists = schema_lib.settle(first.raw, split, first.lists, classes, options, first.number)
                batch = to_batch(first.raw, split, first.number, lists)
                columns = schema.encode(batch, split)
                schema.check_round_trip(batch, split)
            except ExportError as error:
                if schema is None or not found:
                    raise
                found[split] = SplitPreview(expected=expected, problem=str(error))
                continue
            SplitObserver(watch, split, loader, schema).start_shard().add(columns, first.number)
            features = features or tuple(_describe(schema, batch))
            found[split] = SplitPreview(
                expected=expected,
                rows=batch.rows,
                bytes=sum(map(_size_of, columns.values())) // max(1, batch.rows),
                examples=tuple(_decode(schema, columns, min(examples, batch.rows))),
            )
    if schema is None:
        raise ValueError("there is no split")
    labels = {name: kind.class_names for name, kind in kind_of(schema.features).labels() if kind.class_names}
    return Preview(
        features=features,
        labels=labels,
        supervised_keys=schema.supervised_keys,
        decisions=(*items.decisions(splits), *schema.decisions),
        splits=found,
        hazards=tuple(watch.found),
    )


def _draw(loader: Loader, split: str, lists: Lists | None) -> First:
    with random_state_kept(loader) as put_back:
        batches, is_opened = facts.sample(loader)
        if is_opened:  # a stream: what it has given is given
            put_back.clear()
        else:
            facts.draw_seed(loader)  # as its iterator does before the first index: the same shuffle is seen
        return first_batch(enumerate(batches), loader, split, lists)


def _describe(schema: Schema, batch: Batch) -> list[FeaturePreview]:
    found = []
    for field in schema.fields:
        parts = [_describe_given(batch.columns[source]) for source in field.sources if source in batch.columns]
        info = field.feature.get_tensor_info()
        loaded = " ".join(f"{field.feature!r}".split())[:120]
        shape: Any = getattr(info, "shape", None)
        if shape is not None:
            kind = kind_of(field.feature)
            dtype = "text" if kind.is_text else np.dtype(info.np_dtype).name
            loaded = " ".join(filter(None, (dtype, str(shape) if shape else "", kind.describe() if kind.is_label else "")))
        layout = field.layout
        is_image = kind_of(field.feature).is_image or (layout is not None and layout.is_image and len(shape or ()) == 3)
        found.append(FeaturePreview(name=field.name, given="; ".join(parts), loaded=loaded, is_image=is_image))
    return found


def _describe_given(column: Any) -> str:
    if not isinstance(column, Rows):
        return f"{'text' if column.dtype.kind in 'OUS' else column.dtype.name} {column.shape}"
    shapes = list(dict.fromkeys("no value" if array is None else str(array.shape) for array in column.arrays))
    more = ", ..." if len(shapes) > 3 else ""
    dtype = "text" if column.dtype.kind in "OUS" else column.dtype.name
    return f"{dtype}, {len(column)} rows of {', '.join(itertools.islice(shapes, 3))}{more}"


def _size_of(column: Any) -> int:
    values = column.values if isinstance(column, Ragged) else column
    return sum(map(len, values.ravel().tolist())) if values.dtype == object else int(values.nbytes)


def _decode(schema: Schema, columns: Columns, count: int) -> list[dict[str, Any]]:
    """The first rows of some stored columns, as a data source gives them."""
    loose = columns.keys() - {field.name for field in schema.fields}
    values = [Value.of(field.name, field.feature, loose) for field in schema.fields]
    stored = {name: values_of(columns[name]) for name in columns}
    rows = []
    for row in range(count):
        flat = {value.name: value.decode([stored[name][row] for name in value.specs]) for value in values}
        rows.append(nest({name: value.copy() if isinstance(value, np.ndarray) else value for name, value in flat.items()}))
    return rows
