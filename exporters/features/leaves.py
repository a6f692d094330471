"""The arrays inside of a feature: which there are, what a first batch has there, which axis is which, and their permutation.

    Sequence({"image": Image(shape=(12, 9, 3)), "id": int64})  ->  Leaf("image", Image, above=1), Leaf("id", int64, above=1)

An array is named by its path below the feature; sequences have no name of their own.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from exporters.errors import LayoutError, SchemaError
from exporters.tensors import layout as layout_lib
from exporters.wording import argument
from tfds_builder.aliases import Feature, FeatureValue, JsonMapping
from tfds_builder.contract.layout import Layout
from tfds_builder.contract.manifest import Column
from tfds_builder.features.kinds import Kind, kind_of
from tfds_builder.features.names import join

_TEXTS = {"str", "bytes"}


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A feature that lies in nothing but sequences and dicts, and is neither itself.

    Attributes:
      path: below the feature it is a part of; `""` if it is the feature itself, or in sequences only.
      feature: the TFDS feature.
      above: how many sequences it lies in.
      sizes: how many items each of these sequences has; None for any number.
    """

    path: str
    feature: Feature
    sizes: tuple[int | None, ...] = ()

    @functools.cached_property
    def kind(self) -> Kind:
        return kind_of(self.feature)

    @property
    def above(self) -> int:
        return len(self.sizes)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of the stored array; empty where the feature is made of several arrays."""
        shape = getattr(self.feature, "shape", ())
        return tuple(shape) if isinstance(shape, tuple | list) else ()


def leaves_of(feature: Feature, path: str = "", sizes: tuple[int | None, ...] = ()) -> Iterator[Leaf]:
    """The leaves of a feature."""
    kind = kind_of(feature)
    while kind.is_opened:
        sizes, kind = (*sizes, kind.length), kind_of(kind.inner)
    if kind.parts is None:
        yield Leaf(path, kind.feature, sizes)
        return
    for key, part in kind.parts.items():
        yield from leaves_of(part, join(path, key), sizes)


@dataclasses.dataclass(frozen=True)
class Found:
    """What a first batch has at a leaf.

    Attributes:
      shape: of all arrays there as one batch, in which each sequence is an axis; None where sizes differ or are unknown.
      axes: how many axes the arrays have: fewer than `shape` has if sequences were lists.
    """

    shape: tuple[int | None, ...]
    axes: int

    @property
    def is_whole(self) -> bool:
        """Whether all sequences were axes of arrays."""
        return 1 + self.axes == len(self.shape)


def find_arrays(leaf: Leaf, rows: Iterable[FeatureValue], count: int, path: str) -> Found | None:
    """What rows have at a leaf; None if no array of its rank is there.

    Args:
      leaf: of the feature.
      rows: arrays, lists and dicts; None where there is none.
      count: the number of rows.
      path: of the leaf below them.
    """
    parts, rank = path.split("/") if path else [], len(leaf.shape)
    shapes = set()
    for row in rows:
        for value, above in _values_at(row, parts, leaf.above):
            for shape in _shapes(value, above + rank, rank):
                shapes.add(shape)
    if not shapes:
        return None
    padded = [(*(None,) * (leaf.above + rank - len(shape)), *shape) for shape in shapes]
    merged = (sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*padded, strict=True))
    return Found((count, *merged), min(map(len, shapes)))


def find_kinds(leaf: Leaf, rows: Iterable[FeatureValue], path: str) -> set[str]:
    """The kinds of values that rows have at a leaf: "str", "bytes", the dtypes of arrays that are in no lists but lists of dicts,
    and "" for anything else. The arguments are those of `find_arrays`."""
    parts = path.split("/") if path else []
    return {kind for row in rows for value, _ in _values_at(row, parts, leaf.above) for kind in _kinds(value)}


def value_columns(name: str) -> tuple[str, ...]:
    """Which columns the values of a leaf may be stored in, beside those of its shape and of the lengths of its sequences."""
    return (name, f"{name}/value", f"{name}/ragged_flat_values", f"{name}/value/ragged_flat_values")


def check_texts(name: str, feature: Feature, columns: Iterable[Column], given: Sequence[FeatureValue], where: str) -> None:
    """Raises SchemaError where strings are bytes and were str in the first batch, or the other way round.

    Args:
      name, feature, columns: of the field.
      given: rows.
      where: split and batch, for errors.
    """
    expected = {column.name: column.source_dtype for column in columns if column.source_dtype in _TEXTS}
    for leaf in leaves_of(feature) if expected else ():
        kind = next((expected[key] for key in value_columns(join(name, leaf.path)) if key in expected), "")
        if not kind or leaf.kind.is_image:
            continue
        for number, row in enumerate(given):
            others = find_kinds(leaf, [row], leaf.path) & _TEXTS - {kind}
            if others:
                raise SchemaError(
                    f"{where}, feature {join(name, leaf.path)!r}, row {number}: expected {kind}, got {others.pop()}; give every "
                    "batch the same type"
                )


def _kinds(value: FeatureValue) -> Iterator[str]:
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OSU":
        yield value.dtype.name
    elif value is not None:
        yield from _texts(value)


def _texts(value: FeatureValue) -> Iterator[str]:
    if isinstance(value, str | bytes):
        yield "str" if isinstance(value, str) else "bytes"
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "OSU":
        yield from _texts(value.tolist())
    elif value is not None:
        yield ""


def _values_at(value: FeatureValue, path: list[str], above: int) -> Iterator[tuple[FeatureValue, int]]:
    """What is at a path below a value, each with the number of sequences it still lies in."""
    if not path:
        yield value, above
    elif isinstance(value, Mapping):
        if path[0] in value:
            yield from _values_at(value[path[0]], path[1:], above)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _values_at(item, path, above - 1)


def _shapes(value: FeatureValue, axes: int, rank: int) -> Iterator[tuple[int, ...]]:
    """Shapes of the arrays in lists that have as many axes as are left of `axes`."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        if value.ndim == axes:
            yield value.shape
    elif isinstance(value, list | tuple) and axes > rank:
        for item in value:
            yield from _shapes(item, axes - 1, rank)


def settle(name: str, leaf: Leaf, found: Found | None, given: str | None) -> Layout | None:
    """The layout of what is at a leaf of a feature that `features=` declares: the declared shape tells which reading is right.

    Args:
      name: flat name of the leaf, for errors.
      leaf: as declared.
      found: what the first batch has there; None if nothing.
      given: the `layouts=` entry, or None.

    Returns:
      The layout, without the axes of sequences if it can do without; None where there is nothing to permute.

    Raises:
      LayoutError: several readings fit, or what was given does not.
      SchemaError: no reading fits.
    """
    rank = len(leaf.shape)
    if given is not None:
        layout: Layout | None = layout_lib.parse(name, given, 1 + leaf.above + rank, leaf.above)
    elif found is None:
        layout = None
    elif not leaf.kind.takes_arrays:
        layout = layout_lib.decide(name, found.shape, None, leaf.above)
    else:
        layout = _choose(name, leaf, found)
    if layout is None:
        return layout
    layout = layout.with_sequences(1 + leaf.above + rank)
    if "C" not in layout.source[1 : 1 + leaf.above]:
        return layout.without_sequences(leaf.above)
    left_out = len(layout.source) - len(given) if given is not None else 0  # of arrays whose own axes are sequences
    return layout.without_sequences(len(layout.source) - 1 - found.axes if found is not None else left_out)


def check_shape(name: str, leaf: Leaf, found: Found | None, layout: Layout | None) -> None:
    """Raises SchemaError where what the first batch has at a leaf of three axes or more is not of the declared shape."""
    rank = len(leaf.shape)
    if found is None or rank < 3 or not leaf.kind.takes_arrays:
        return
    stored = _permute(found.shape, layout)[-rank:]
    if not fits(stored, leaf.shape):
        raise SchemaError(
            f"feature {name!r}: {argument('features')} says shape {leaf.shape}, and the data (channels-last) has {stored}; "
            f"declare what is stored, shape {stored}"
            + (f", or leave {argument('layouts')} out" if layout is not None and layout.source != layout.stored else "")
        )


def check_arrays(name: str, feature: Feature, layouts: Mapping[str, Layout], given: Sequence[FeatureValue], where: str) -> None:
    """Raises where arrays of any batch would not be stored in the shape that is declared.

    The first batch settles the layouts. Where it had nothing but empty lists, nothing is settled: images that come later are
    stored if their channels are last, and no other reading fits.

    Args:
      name, feature, layouts: of the field.
      given: rows, as the loader gives them.
      where: split and batch, for errors.

    Raises:
      SchemaError: arrays have another shape.
      LayoutError: images have their channels first, or might have, and the first batch did not show it.
    """
    for leaf in leaves_of(feature):
        found = find_arrays(leaf, given, len(given), leaf.path) if len(leaf.shape) > 2 and leaf.kind.takes_arrays else None
        if found is None:
            continue
        leaf_name, layout = join(name, leaf.path), layouts.get(leaf.path)
        if layout is None and leaf.kind.is_image:
            try:
                reading = _choose(leaf_name, leaf, found)
            except LayoutError as error:
                raise LayoutError(f"{where}: {error}") from error
            if reading is not None and reading.source != reading.stored:
                raise LayoutError(
                    f"{where}, feature {leaf_name!r}: images of shape {found.shape[1 + leaf.above :]} have their channels first, "
                    f"and the first batch had none to tell by; say so: {argument('layouts', {leaf_name: reading.source})}"
                )
        if not fits(_permute(found.shape, layout)[-len(leaf.shape) :], leaf.shape):
            laid = f", laid out as the first batch was, {layout.source}" if layout is not None else ""
            line = layout_lib.line_for(leaf_name, found.shape[1 + leaf.above :], leaf.shape) if layout is None else ""
            raise SchemaError(
                f"{where}, feature {leaf_name!r}: expected arrays to be stored in shape {leaf.shape}, got "
                f"{found.shape[1 + leaf.above :]}{laid}; give every batch the same layout"
                + (f", and if it is another one, say so: {line}" if line else "")
            )


def _choose(name: str, leaf: Leaf, found: Found) -> Layout | None:
    """The one reading of what was found that fits the declared shape."""
    item = (found.shape[0], *found.shape[1 + leaf.above :])
    readings = layout_lib.readings(len(item))
    likely, is_image = layout_lib.likely_readings(item), leaf.kind.is_image
    if not readings:
        return None
    kept = readings[-1]
    suitable = [reading for reading in readings if fits(_permute(item, Layout.of(reading))[1:], leaf.shape)]
    if found.is_whole and leaf.above == 1 and len(item) == 4:  # one array of frames may have its channels before them
        across = _permute(found.shape, Layout.of("NCTHW"))[1:]
        suitable += ["NCTHW"] if fits(across, (*leaf.sizes, *leaf.shape)) else []
    if not is_image and item[1:] == leaf.shape:
        suitable = [kept]
    if len(suitable) > 1:
        usual = [reading for reading in suitable if layout_lib.may_be_channels(_size_of(reading, item, found))]
        suitable = usual or ([kept] if kept in suitable else suitable)
    if len(suitable) > 1:
        raise layout_lib.ambiguous(name, found.shape, suitable)
    if not suitable or (suitable == [kept] and not is_image and likely != [kept]):
        return None
    return Layout.of(suitable[0])


def _size_of(reading: str, item: Sequence[int | None], found: Found) -> int | None:
    """How many channels there are in a reading."""
    return (item if len(reading) == len(item) else found.shape)[reading.index("C")]


def fits(got: Sequence[int | None], declared: Sequence[int | None]) -> bool:
    """Whether arrays have a declared shape: any size where that is None."""
    return len(got) == len(declared) and all(want is None or want == size for size, want in zip(got, declared, strict=True))


def _permute(shape: Sequence[int | None], layout: Layout | None) -> tuple[int | None, ...]:
    """The stored shape of a batch; axes of sequences that the layout does not name come first, after N."""
    return tuple(shape) if layout is None else layout.stored_shape(tuple(shape))


# --- values --------------------------------------------------------------------------------------


def to_stored(
    feature: Feature, value: FeatureValue, layouts: Mapping[str, Layout], path: str = "", above: int = 0
) -> FeatureValue:
    """A value with every array in its stored layout.

    Args:
      feature: whose value it is.
      value: arrays, in lists and dicts.
      layouts: by path below the feature, as `settle` has them.
      path, above: of the feature in the whole one, and how many more sequences the value lies in.

    Raises:
      ValueError: lists at an array's place do not make an array.
    """
    kind = kind_of(feature)
    while kind.is_opened:
        kind, above = kind_of(kind.inner), above + 1
    parts = kind.parts
    if parts is None:
        layout = layouts.get(path)
        return value if layout is None else _move(value, layout, above + len(Leaf(path, kind.feature).shape))
    if isinstance(value, Mapping):
        return {
            key: to_stored(parts[key], item, layouts, join(path, key), above) if key in parts else item
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [to_stored(kind.feature, item, layouts, path, above - 1) for item in value]
    return value


def _move(value: FeatureValue, layout: Layout, axes: int) -> FeatureValue:
    """A value of so many axes, lists and arrays together, with its last ones as the layout says."""
    rank = len(layout.source) - 1
    if isinstance(value, list | tuple) and axes == rank and value:
        value = np.array(value)
    if isinstance(value, np.ndarray):
        return layout.to_stored(value) if value.ndim >= rank else value
    if isinstance(value, list | tuple):
        return [_move(item, layout, axes - 1) for item in value]
    return value


def source_layouts(name: str, feature: Feature, columns: Iterable[JsonMapping]) -> dict[str, str | None]:
    """What the columns of a feature say of the layout of its leaves, by their flat names; None where they have none.

    Args:
      name: flat name of the feature.
      columns: of a plan, as JSON.
    """
    found: dict[str, str | None] = {join(name, leaf.path): None for leaf in leaves_of(feature)}
    for column in columns:
        for leaf_name in found:
            if column["source_layout"] and f"{column['name']}/".startswith(f"{leaf_name}/"):
                found[leaf_name] = column["source_layout"]
    return found
