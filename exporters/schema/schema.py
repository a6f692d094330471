"""The first batch -> a `tfds.features.FeaturesDict`; every later batch is checked against it.

There is no schema class of ours beside TFDS's features: `Schema` holds a FeaturesDict and, for
each of its leaves, how to turn a batch of it into the column that is stored.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence

import tensorflow_datasets as tfds

from exporters.aliases import RawBatch
from exporters.batches.flatten import Batch, position_names, to_batch
from exporters.batches.row_lists import Lists
from exporters.batches.rows import Rows
from exporters.batches.unpad import find_padded, unpad_batch, with_masks
from exporters.errors import ArgumentError, LayoutError, LoaderError, SchemaError
from exporters.features.fields import AnyField, Field, RaggedField, TreeField, lists_of
from exporters.features.leaves import leaves_of, source_layouts
from exporters.features.python_values import as_declared
from exporters.features.stored import WIDEST
from exporters.features.together import check_columns, check_label_files, describe
from exporters.integers.conversion import Conversion, convert
from exporters.integers.finding import agrees, find
from exporters.options.features import Options
from exporters.schema import class_names as classes_lib
from exporters.schema.class_names import Classes
from exporters.schema.fitting import decide_unless, is_nested, make_field, settle_declared
from exporters.schema.inference import infer_feature
from exporters.schema.naming import name_columns, pick_supervised_keys
from exporters.schema.round_trip import check_round_trip
from exporters.schema.widths import check_widths
from exporters.tensors.arrays import Columns
from exporters.wording import Code, argument
from tfds_builder.aliases import Array, Feature, Features, JsonMapping
from tfds_builder.contract.integers import Integers
from tfds_builder.contract.layout import Layout
from tfds_builder.contract.manifest import Column
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import join, nest
from tfds_builder.features.specs import flatten_features


@dataclasses.dataclass(frozen=True)
class Schema:
    """The features of a dataset and how its columns are stored.

    Attributes:
      features: `tfds.features.FeaturesDict`.
      fields: its leaves, sorted by flat name.
      supervised_keys: (input, target) feature names, or None.
      decisions: what was decided, a sentence a feature.
      names: flat name of each column of the loader, by its structural name.
      unpad: structural name of a padded column -> that of its lengths, or mask.
      integers: how columns of floats become integers, by structural name.
    """

    features: Features
    fields: tuple[AnyField, ...]
    supervised_keys: tuple[str, ...] | None
    decisions: tuple[str, ...]
    names: Mapping[str, str]
    unpad: Mapping[str, str]
    integers: Mapping[str, Conversion] = dataclasses.field(default_factory=dict)

    @property
    def tables(self) -> tuple[Integers, ...]:
        """The floats that integers stand for, of each feature that has them, sorted by flat name."""
        return tuple(sorted((conversion.table for conversion in self.integers.values()), key=lambda table: table.name))

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(column for field in self.fields for column in field.columns)

    @property
    def lists(self) -> dict[str, str]:
        """Which list of a `tf.train.Feature` TFDS expects each column in, by flat name."""
        return {name: kind for field in self.fields for name, kind in lists_of(field).items()}

    def widened(self, names: Collection[str]) -> Schema:
        """This schema with some integer columns so wide that they hold any number."""
        return dataclasses.replace(self, fields=tuple(_widen(field, names) for field in self.fields))

    def encode(self, batch: Batch, split: str) -> Columns:
        """The stored columns of a batch, by flat feature name; none if it has neither rows nor columns.

        Raises:
          SchemaError: the batch contradicts the schema; names split, batch and feature.
        """
        if not batch.rows and not batch.columns and not batch.encoded:
            return {}
        where = f"split {split!r}, batch {batch.number}"
        expected, got = self.names.keys(), batch.columns.keys() | batch.encoded.keys()
        if got != expected:
            missing = sorted(self.names[source] for source in expected - got)
            extra = sorted(got - expected)
            raise SchemaError(
                f"{where}: the structure of the batch changed: "
                + "; ".join(
                    part
                    for part in (
                        f"missing {', '.join(map(repr, missing))}" if missing else "",
                        f"unexpected {', '.join(map(repr, extra))}" if extra else "",
                    )
                    if part
                )
                + "; make every batch of every split have the same features"
                + _declare_sequence(expected - got, extra, self.names)
            )
        check_widths(self.fields, batch, self.names, self.unpad, where)
        stored: Columns = {}
        batch = self._prepare(batch, where)
        for field in self.fields:
            stored |= field.encode(batch, where)
        return stored

    def check_round_trip(self, batch: Batch, split: str) -> list[str]:
        """Decodes again what the encoders make of a batch; see `round_trip.check_round_trip`."""
        return check_round_trip(self.fields, self._prepare(batch, f"split {split!r}, batch {batch.number}"), split)

    def _prepare(self, batch: Batch, where: str) -> Batch:
        """A batch with integers where floats are stored as such, without padding, and with arrays where Python's own values are
        of a declared array."""
        batch = convert(batch, self.integers, self.names, where)
        return as_declared(unpad_batch(batch, self.unpad, self.names, where), self._declared, where)

    @functools.cached_property
    def _declared(self) -> dict[str, tuple[str, Feature]]:
        return {field.sources[0]: (field.name, field.feature) for field in self.fields if len(field.sources) == 1}


def _widen(field: AnyField, names: Collection[str]) -> AnyField:
    columns = tuple(
        dataclasses.replace(column, width=WIDEST * column.values) if column.name in names else column for column in field.columns
    )
    if isinstance(field, Field):
        return dataclasses.replace(field, column=columns[0])
    assert isinstance(field, RaggedField | TreeField)
    return dataclasses.replace(field, columns=columns)


def _declare_sequence(missing: Collection[str], extra: Collection[str], names: Mapping[str, str]) -> str:
    """The line that declares a list which was taken for a structure, as long as it had one length; empty if there is none."""
    for source in sorted({*missing, *extra}):
        parent, _, part = source.rpartition("/")
        parts = [name for known, name in names.items() if known.rpartition("/")[0] == parent]
        if parent and part.isdigit() and parts:
            name = parts[0].rpartition("/")[0]
            line = argument("features", {name: Code("tfds.features.Sequence(...)")})
            return f", or, if lists there may have any length: {line}"
    return ""


def settle(
    raw: RawBatch, split: str, lists: Lists, classes: Classes | None, options: Options, number: int = 0
) -> tuple[Schema, Lists]:
    """The schema of a first raw batch, and what its lists are: a list that `features=` says is a Sequence is one.

    Args:
      raw, split: the batch, which has rows, and the split it is of.
      lists: as the batch tells (`first_batch.lists_of_batch`).
      classes, options: as for `infer`.
      number: of the batch.

    Raises:
      LoaderError: the batch cannot be turned into columns.
      SchemaError, LayoutError, ArgumentError: as for `infer`.
    """
    batch = to_batch(raw, split, number, lists)
    try:
        positions = position_names(raw, lists)
        declared = frozenset(_declared_sequences(name_columns(batch.columns, positions, options), options))
        if not declared <= lists.sequences:
            lists = dataclasses.replace(lists, sequences=lists.sequences | declared)
            batch, positions = to_batch(raw, split, number, lists), position_names(raw, lists)
        return infer(batch, positions, classes, options), lists
    except (SchemaError, LayoutError, LoaderError) as error:
        if str(error).startswith("split"):
            raise
        place = "" if str(error).startswith("batch 0") else "first batch: "
        raise type(error)(f"split {split!r}, {place}{error}") from error


def _declared_sequences(names: Mapping[str, str], options: Options) -> Iterator[str]:
    """Structural names of what `features=` says is one feature, where the batch looks like a structure known by position."""
    overrides = flatten_overrides(options.features)
    for source, name in names.items():
        parts = name.split("/")
        for end in range(1, len(parts)):
            if (feature := overrides.get("/".join(parts[:end]))) is not None:
                below = _position_below(feature, parts[end:])
                yield from [] if below is None else ["/".join(source.split("/")[: end + below - len(parts)])]


def _position_below(feature: Feature, parts: Sequence[str]) -> int | None:
    """How many parts of a path below a declared feature are names, before the first that is a position in a list; None if all of
    them are names."""
    for number, part in enumerate(parts):
        kind, sequences = kind_of(feature).innermost()
        if kind.parts is not None and part in kind.parts:
            feature = kind.parts[part]
        else:
            return number if part.isdigit() and (sequences or all(map(str.isdigit, parts[number:]))) else None
    return None


def infer(batch: Batch, positions: Sequence[str], classes: Classes | None, options: Options) -> Schema:
    """The schema of a first batch.

    Args:
      batch: the first batch of the first split.
      positions: `flatten.position_names` of the raw batch.
      classes: names of classes that the dataset brings along.
      options: what the caller said.

    Raises:
      SchemaError, LayoutError, ArgumentError: it cannot be settled, or an option contradicts the data.
    """
    names = name_columns(batch.columns, positions, options)
    overrides = flatten_overrides(options.features)
    groups = _group_sources(names, overrides)
    _check_known("features", overrides, groups, names.values())
    unpad = find_padded(names, options.unpad or {})
    batch = as_declared(batch, _declared(groups, overrides), "batch 0")
    declared = [source for source in unpad.values() if names[source] in overrides]
    fixed = [source for source in declared if None not in overrides[names[source]].shape]
    unpad = with_masks(unpad, batch.columns, fixed)
    padded, batch = batch, unpad_batch(batch, unpad, names, "batch 0")
    given = {**options.source_layouts, **(options.layouts or {})}
    conversions = _find_integers(batch, names, overrides, options, given)
    batch = convert(batch, conversions, names, "batch 0")
    labels, unused = classes_lib.assign(classes or Classes(), batch.columns, names, positions, overrides)
    settled: dict[str, tuple[Feature, dict[str, Layout]]] = {}
    for name, sources in groups.items():
        feature = overrides.get(name)
        if feature is not None:
            settled[name] = feature, settle_declared(name, feature, sources, batch, given)
            continue
        source = sources[""]
        feature, layouts = infer_feature(name, batch.columns[source], padded.columns[source], given, source in unpad)
        settled[name] = labels.get(name, feature), layouts
    leaves = [join(name, leaf.path) for name, (feature, _) in settled.items() for leaf in leaves_of(feature)]
    _check_known("layouts", dict(options.layouts or {}), leaves, leaves)
    images = {
        groups[name][""]: layout for name, (feature, layouts) in settled.items() for layout in _image_layout(feature, layouts)
    }
    fields: list[AnyField] = []
    for name, (feature, layouts) in sorted(settled.items(), key=lambda item: item[0].split("/")):
        fields.append(_adopt(make_field(name, feature, groups[name], batch, layouts, images), batch, options.source_dtypes))
    check_label_files(fields)
    check_columns(fields)
    features = tfds.features.FeaturesDict(nest({field.name: field.feature for field in fields}))
    tables = {source: conversion.table for source, conversion in conversions.items()}
    decisions = (*(describe(field, batch, names, tables) for field in fields), *unused)
    keys = pick_supervised_keys(names, positions, options)
    return Schema(features, tuple(fields), keys, decisions, names, unpad, conversions)


def _find_integers(
    batch: Batch, names: Mapping[str, str], overrides: Mapping[str, Feature], options: Options, given: Mapping[str, str | None]
) -> dict[str, Conversion]:
    """How the columns of the features that `integers=` names become integers, by structural name."""
    wanted = options.given_integers
    _check_known("integers", wanted, names.values(), names.values())
    found: dict[str, Conversion] = {}
    for source, name in names.items():
        if name not in wanted:
            continue
        column = batch.columns[source]
        if is_nested(column) or (isinstance(column, Rows) and column.is_unknown):
            raise SchemaError(
                f"feature {name!r}: {argument('integers')} takes arrays of floats, one a row, and the first batch has lists there"
            )
        layout = _settle_layout(name, overrides.get(name), column, batch, source, given)
        axis = 1 + layout.source[1:].index("C") + column.ndim - len(layout.source) if layout and "C" in layout.source else None
        table = options.tables.get(name)
        if table is None or not agrees(table, wanted[name]):
            table = find(name, column, axis, wanted[name], options.scales, f"batch 0, feature {name!r}")
        found[source] = Conversion(table, axis)
    return found


def _settle_layout(
    name: str, feature: Feature | None, column: Array | Rows, batch: Batch, source: str, given: Mapping[str, str | None]
) -> Layout | None:
    """The layout of a column that is one feature."""
    if feature is None:
        return decide_unless(given, name, column.shape)
    return next(iter(settle_declared(name, feature, {"": source}, batch, given).values()), None)


def _declared(groups: Mapping[str, Mapping[str, str]], overrides: Mapping[str, Feature]) -> dict[str, tuple[str, Feature]]:
    """Flat name and given feature of what is made of one column, by its structural name."""
    return {sources[""]: (name, overrides[name]) for name, sources in groups.items() if name in overrides and "" in sources}


def _image_layout(feature: Feature, layouts: Mapping[str, Layout]) -> Iterator[Layout]:
    """The layout of a feature that is an image itself."""
    if "" in layouts and not any(leaf.above for leaf in leaves_of(feature)) and layouts[""].is_image:
        yield layouts[""]


def _check_known(option: str, given: Collection[str], known: Collection[str], shown: Collection[str]) -> None:
    """Raises ArgumentError where an option names what the data has not."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ArgumentError(
            f"{argument(option)} names {unknown[0]!r}, which is no feature of the data; features: {sorted(shown)}"
        )


def _group_sources(names: Mapping[str, str], overrides: Mapping[str, Feature]) -> dict[str, dict[str, str]]:
    """By flat name of each feature, the columns it is made of: path below it -> structural name.

    A feature that is given for a group of columns (a sequence of boxes and labels, say) is made of all of them.
    """
    groups: dict[str, dict[str, str]] = {}
    for source, name in names.items():
        parents = [name[:end] for end in range(len(name)) if name[end] == "/" and name[:end] in overrides]
        key = parents[0] if parents else name
        groups.setdefault(key, {})[name[len(key) + 1 :]] = source
    return groups


def as_before(
    options: Options, features: Mapping[str, Feature], columns: Sequence[JsonMapping], integers: Sequence[JsonMapping] = ()
) -> Options:
    """Options with which any batch gives the schema of a plan, made of its features and columns: another batch need not show what
    the very first one showed to be of unknown size. What the caller says comes first.
    """
    given, layouts = flatten_overrides(options.features), dict(options.source_layouts)
    for name, feature in flatten_features(tfds.features.FeaturesDict.from_json(features)):
        kind = kind_of(feature)
        is_told = kind.is_run or (kind.is_array and None in feature.shape) or name in (options.unpad or {}).values()
        if name not in given and is_told:
            given[name] = feature
        if name in given:
            layouts |= source_layouts(name, feature, columns)
    known = {column["name"]: column["source_dtype"] for column in columns}
    options = dataclasses.replace(options, features=given or None, source_dtypes=known, source_layouts=layouts)
    return with_tables(options, integers)


def with_tables(options: Options, integers: Sequence[JsonMapping]) -> Options:
    """Options with which floats become the integers that a plan has for them."""
    tables = [Integers.from_json(content, "plan") for content in integers]
    return dataclasses.replace(options, tables={table.name: table for table in tables})


def _adopt(field: AnyField, batch: Batch, source_dtypes: Mapping[str, str]) -> AnyField:
    """A field with what is known of its source already. That is needed where the batch has nothing but empty lists, which tell
    nothing, and where its lists tell more or less than those of the first batch did."""
    parts = [batch.columns[source] for source in field.sources]
    is_unknown = all(isinstance(part, Rows) and part.is_unknown for part in parts)
    if not isinstance(field, TreeField) and not (isinstance(field, RaggedField) and is_unknown):
        return field
    columns = []
    for column in field.columns:
        known = source_dtypes.get(column.name, column.source_dtype)
        is_other = bool(known and column.source_dtype) and not is_unknown
        columns.append(column if is_other else dataclasses.replace(column, source_dtype=known))
    return dataclasses.replace(field, columns=tuple(columns))


# --- features ------------------------------------------------------------------------------------


def flatten_overrides(features: Features, prefix: str = "") -> dict[str, Feature]:
    """`features=` by flat name: nested mappings, a FeaturesDict, or keys with `/`.

    Raises:
      ArgumentError: a value is no feature.
    """
    flat: dict[str, Feature] = {}
    for name, value in features.items() if features is not None else ():
        feature = value if isinstance(value, Mapping) else _to_feature(name, value)
        if isinstance(feature, Mapping) or kind_of(feature).is_structure:
            flat.update(flatten_overrides(feature, f"{prefix}{name}/"))
        else:
            flat[f"{prefix}{name}"] = feature
    return flat


def _to_feature(name: str, value: object) -> Feature:
    """What stands for a feature as TFDS takes it: a feature, or a dtype.

    Raises:
      ArgumentError: it is neither.
    """
    try:
        return tfds.features.FeaturesDict({"feature": value})["feature"]
    except (ValueError, TypeError) as error:
        raise ArgumentError(f"{argument('features', {name: Code('...')})} must be a tfds feature (got {value!r})") from error
