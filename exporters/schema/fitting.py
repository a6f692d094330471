"""Which kind of field a feature becomes, and whether what `features=` says fits the data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from exporters.batches.boxes import PixelBoxes
from exporters.batches.flatten import Batch
from exporters.batches.rows import Rows, iterate_rows
from exporters.errors import SchemaError
from exporters.features.fields import AnyField, Field, RaggedField, TreeField, ragged_columns
from exporters.features.leaves import Found, check_shape, find_arrays, find_kinds, leaves_of, settle, value_columns
from exporters.features.stored import check_class_names, column_of, merge_shapes, source_dtype, stored_shape
from exporters.schema.read_back import check_json
from exporters.tensors.layout import decide
from exporters.wording import Code, argument
from tfds_builder.aliases import Array, DType, Feature, FeatureValue
from tfds_builder.contract.layout import Layout
from tfds_builder.contract.manifest import DTYPE_BYTES, RAW, VARINT, Column
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import join, presence_name
from tfds_builder.features.specs import serialized_specs


def settle_declared(
    name: str, feature: Feature, sources: Mapping[str, str], batch: Batch, given: Mapping[str, str | None]
) -> dict[str, Layout]:
    """The layouts of the leaves of a feature that `features=` declares, by path below it.

    Args:
      name, feature, sources, batch: as for `make_field`.
      given: layouts by flat name; None says that there is none.

    Raises:
      LayoutError: a layout does not fit, or several do.
      SchemaError: the data has another shape than what is declared.
    """
    _check_declared(name, feature)
    layouts: dict[str, Layout] = {}
    for leaf in leaves_of(feature):
        path = next((path for path in sources if not path or f"{leaf.path}/".startswith(f"{path}/")), None)
        leaf_name = join(name, leaf.path)
        if path is None or given.get(leaf_name, "") is None:
            continue
        column = batch.columns[sources[path]]
        if leaf.path == path and not is_nested(column):
            if not leaf.above and column.ndim != 1 + len(leaf.shape) and not _is_unknown(column):
                layout = decide_unless(given, leaf_name, column.shape)  # another shape than is declared
                layouts |= {path: layout} if layout is not None else {}
                continue
            is_like = column.ndim == 1 + leaf.above + len(leaf.shape) and not _is_unknown(column)
            found = Found(column.shape, column.ndim - 1) if is_like else None
        else:
            rows = (_unwrap(row) for row in iterate_rows(column))
            found = find_arrays(leaf, rows, batch.rows, leaf.path[len(path) + 1 if path else 0 :])
        layout = settle(leaf_name, leaf, found, given.get(leaf_name))
        if leaf.path or leaf.above:
            check_shape(leaf_name, leaf, found, layout)
        if layout is not None:
            layouts[leaf.path] = layout
    return layouts


def decide_unless(given: Mapping[str, str | None], name: str, shape: tuple[int | None, ...], above: int = 0) -> Layout | None:
    """`layout.decide`, unless it is known that there is no layout."""
    return None if given.get(name, "") is None else decide(name, shape, given.get(name), above)


def _check_declared(name: str, feature: Feature) -> None:
    """Raises SchemaError where a feature cannot be read back from its JSON, or a part of it can never be None and says that it
    may."""
    check_json(name, feature)
    for leaf in leaves_of(feature):
        if leaf.kind.lacks_default:
            raise SchemaError(
                f"feature {join(name, leaf.path)!r}: TFDS has no value that stands for None where a size is unknown or an "
                "encoding is given; leave out optional=True, and give empty rows, or zeros and a mask"
            )


def _unwrap(row: FeatureValue) -> FeatureValue:
    """A row of lists as the list it is."""
    return row.item() if isinstance(row, np.ndarray) and row.dtype == object and not row.ndim else row


def make_field(
    name: str,
    feature: Feature,
    sources: Mapping[str, str],
    batch: Batch,
    layouts: Mapping[str, Layout],
    images: Mapping[str, Layout],
) -> AnyField:
    """How a feature is made of columns of the loader.

    Args:
      name: flat feature name.
      feature: the TFDS feature, inferred or given.
      sources: path below the feature -> structural name.
      batch: the first batch.
      layouts: of its leaves, by path below the feature.
      images: layouts of the features that are an image, by structural name.

    Raises:
      SchemaError: the feature contradicts the data, or cannot be stored bit-exact.
    """
    kind = kind_of(feature)
    if kind.stores_files and any(batch.columns[key].dtype != object for key in sources.values()):
        raise SchemaError(
            f"feature {name!r}: with lazy_decode=True, Audio stores the files of sounds, and the data is samples; leave "
            "lazy_decode out"
        )
    if kind.is_array and feature.shape.count(None) > 1 and not kind.is_encoded:
        raise SchemaError(f'feature {name!r}: TFDS needs encoding="bytes" for more than one unknown size (got {feature.shape})')
    if set(sources) != {""} and not kind.is_tree:
        raise SchemaError(
            f"feature {name!r}: {argument('features')} says {type(feature).__name__}, and the batch has the parts "
            f"{sorted(sources)} there; if they are rows, give them as a list of dicts: [{{{name!r}: row}}, ...]"
        )
    boxes = _pixel_boxes(name, feature, layouts, images)
    if set(sources) != {""} or boxes is not None or not kind.is_one_column or is_nested(batch.columns[sources[""]]):
        return TreeField(name, feature, _tree_columns(name, feature, sources, batch, layouts), layouts, dict(sources), boxes)
    column, layout = batch.columns[sources[""]], layouts.get("")
    if layout is not None:
        layout = layout.with_sequences(column.ndim if not _is_unknown(column) else 1 + len(feature.shape))
    shape = stored_shape(column, layout)
    _check_override(name, feature, column, shape)
    if None in feature.shape and not kind.is_image and not kind.stores_files:
        columns = ragged_columns(name, feature, column, layouts.get(""))
        dtype, known = _dtype_of(feature, column), _to_source(feature.shape, layout)
        return RaggedField(name, sources[""], feature, columns, layout, dtype, known)
    known = tuple(column.shape[1:]) if kind.is_direct else _to_source(merge_shapes(feature.shape, shape), layout)
    return Field(sources[""], feature, _column(name, feature, column, layouts.get("")), layout, column.dtype, known)


def is_nested(column: Array | Rows) -> bool:
    """Whether rows are lists of lists or of arrays, or dicts, which only an encoder of TFDS's takes apart."""
    values = (row.item() for row in column.arrays if row is not None and not row.ndim) if isinstance(column, Rows) else ()
    return column.dtype == object and any(isinstance(value, list | Mapping) for value in values)


def _dtype_of(feature: Feature, column: Array | Rows) -> DType:
    """What dtype the rows of a ragged column must have: the feature's, or for labels and strings the loader's."""
    kind = kind_of(feature).item
    inner, is_label = kind.feature, kind.is_label and kind.is_exact
    if not _is_unknown(column) and (is_label or column.dtype == object or inner.np_dtype == np.object_):
        return np.dtype(object) if inner.np_dtype == np.object_ else column.dtype
    dtype: DType = np.dtype(inner.np_dtype)
    return dtype


def _to_source(shape: tuple[int | None, ...], layout: Layout | None) -> tuple[int | None, ...]:
    """The shape of a stored row as the loader gives it."""
    return tuple(shape) if layout is None else layout.source_shape(tuple(shape))


def _check_override(name: str, feature: Feature, column: Array | Rows, shape: tuple[int | None, ...]) -> None:
    """Raises SchemaError where a feature contradicts the data or cannot be stored bit-exact."""
    if _is_unknown(column) and None in feature.shape[:1]:
        return
    kind = kind_of(feature)
    if kind.item.is_label:
        axes = 2 if kind.is_run else 1
        if column.ndim != axes or column.dtype.kind not in "iu":
            raise SchemaError(
                f"feature {name!r}: {argument('features')} says {type(feature).__name__}, and the data is {column.dtype} of "
                f"shape {column.shape}; a class label is one integer"
            )
        if kind.item.num_classes is None:
            line = argument("features", {name: Code("tfds.features.ClassLabel(num_classes=...)")})
            raise SchemaError(f"feature {name!r}: give the ClassLabel names, or the number of classes: {line}")
        if kind.item.class_names is not None:
            check_class_names(name, kind.item.class_names)
        return
    info = feature.get_tensor_info()
    if info.np_dtype == np.uint32 and kind.is_encoded:
        given = f"encoding={kind.encoding.value!r}"
        raise SchemaError(f"feature {name!r}: TFDS cannot decode uint32 with {given}; leave the encoding out")
    if kind.is_image:
        if info.shape[-1] not in (None, 1, 3, 4):
            raise SchemaError(f"feature {name!r}: an Image has 1, 3 or 4 channels (got {info.shape[-1]}); store it as a Tensor")
        if column.dtype == object and not shape:
            return  # encoded already, or a file
    if kind.stores_files and column.dtype == object:
        return
    stored = tuple(info.shape)
    if len(stored) != len(shape) or any(want is not None and want != got for want, got in zip(stored, shape, strict=True)):
        raise SchemaError(
            f"feature {name!r}: {argument('features')} says shape {stored}, and the data (channels-last) has {shape}; "
            "drop the override or correct it"
        )
    wanted, got = np.dtype(info.np_dtype), column.dtype
    if wanted != got:
        raise SchemaError(
            f"feature {name!r}: {argument('features')} says dtype {wanted}, and the data is {got}; convert it in collate_fn"
        )


def _column(name: str, feature: Feature, array: Array | Rows, layout: Layout | None) -> Column:
    """How a feature whose rows have one shape is stored: its value if TFDS stores just that, else its serialized form."""
    given = source_dtype(array)
    if array.dtype == object and feature.np_dtype != np.object_ and not (given == "bytes" and kind_of(feature).is_image):
        given = ""  # files, which an encoder has read
    facts = {"source_dtype": given, "source_layout": layout.source if layout is not None else ""}
    info = feature.get_serialized_info()
    if kind_of(feature).is_direct and info.np_dtype == np.object_ and feature.np_dtype != np.object_:
        dtype, shape = np.dtype(feature.np_dtype).name, tuple(feature.shape)
        width = int(np.prod(shape, dtype=np.int64)) * DTYPE_BYTES[dtype]
        return Column(name=name, dtype=dtype, shape=shape, encoding=RAW, width=width, **facts)
    column = column_of(name, info, feature)
    return Column(**{**vars(column), **facts})


def _tree_columns(
    name: str, feature: Feature, sources: Mapping[str, str], batch: Batch, layouts: Mapping[str, Layout]
) -> tuple[Column, ...]:
    """What is stored of a feature with an encoder of its own, each column with the dtype and layout that the loader gave."""
    specs = serialized_specs(name, feature)
    labels = {key: label.feature for key, label in kind_of(feature).labels(name)}
    given = {f"{name}/{path}" if path else name: batch.columns[source] for path, source in sources.items()}
    known = {key: source_dtype(part) for key, part in given.items() if part.dtype != object and not _is_unknown(part)}
    leaves = _leaf_kinds(name, feature, sources, batch)
    columns = []
    if kind_of(feature).is_optional:
        columns = [Column(name=presence_name(name), dtype="bool", shape=(), encoding=VARINT, width=1)]
    for key, spec in sorted(specs.items()):
        source = next((dtype for part, dtype in known.items() if f"{key}/".startswith(f"{part}/")), "")
        layout = next((layout.source for path, layout in layouts.items() if key in value_columns(join(name, path))), "")
        facts = {"source_dtype": leaves.get(key, source), "source_layout": layout}
        columns.append(Column(**{**vars(column_of(key, spec, labels.get(key, feature))), **facts}))
    return tuple(columns)


def _leaf_kinds(name: str, feature: Feature, sources: Mapping[str, str], batch: Batch) -> dict[str, str]:
    """How leaves inside of lists and dicts were given, by the columns that they are stored in: as str or as bytes (images too),
    or as arrays of some dtype, which are to be one array again. What the batch does not tell is left out."""
    found: dict[str, str] = {}
    for leaf in leaves_of(feature):
        path = next((path for path in sources if not path or f"{leaf.path}/".startswith(f"{path}/")), None)
        if path is None or batch.columns[sources[path]].dtype != object:
            continue
        rows = (_unwrap(row) for row in iterate_rows(batch.columns[sources[path]]))
        kinds = find_kinds(leaf, rows, leaf.path[len(path) + 1 if path else 0 :])
        is_text = leaf.kind.is_tensor and leaf.feature.np_dtype == np.object_
        takes = {"str", "bytes"} if is_text else {"bytes"} if leaf.kind.is_image else set()
        if len(kinds) == 1 and kinds <= {*takes, *DTYPE_BYTES}:
            found |= dict.fromkeys(value_columns(join(name, leaf.path)), *kinds)
    return found


def _is_unknown(column: Array | Rows) -> bool:
    return isinstance(column, Rows) and column.is_unknown


def _pixel_boxes(name: str, feature: Feature, layouts: Mapping[str, Layout], images: Mapping[str, Layout]) -> PixelBoxes | None:
    """The boxes of a feature, which are normalised by the size of the one image beside them.

    Raises:
      SchemaError: there is no image, or several.
    """
    paths = list(kind_of(feature).box_paths())
    if not paths:
        return None
    for leaf in leaves_of(feature):
        if leaf.path in layouts and leaf.above and len(leaf.shape) == 3 and leaf.shape[-1] != 1:  # masks are of the whole image
            raise SchemaError(
                f"feature {name!r}: BBoxFeature stores boxes over the size of their image, and beside them in the sequence are "
                f"the images {join(name, leaf.path)!r}; say bbox_format=None to store boxes as they are"
            )
    if len(images) != 1 or len(paths) != 1:
        raise SchemaError(
            f"feature {name!r}: BBoxFeature stores boxes over the size of their image, and the example has {len(images)} images "
            f"and {len(paths)} kinds of boxes; say bbox_format=None to store boxes as they are"
        )
    source, layout = next(iter(images.items()))
    return PixelBoxes(paths[0], source, layout)
