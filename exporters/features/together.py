"""What the fields of a schema say together: names that would collide, and decisions in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exporters.batches.flatten import Batch
from exporters.errors import SchemaError
from exporters.features import encoders as encoding
from exporters.features.fields import AnyField, Field, RaggedField, TreeField
from exporters.features.leaves import leaves_of
from exporters.features.stored import merge_shapes, stored_shape
from exporters.tensors import layout as layout_lib
from exporters.wording import argument
from tfds_builder.contract.integers import Integers
from tfds_builder.features.kinds import kind_of
from tfds_builder.features.names import join


def check_label_files(fields: Sequence[AnyField]) -> None:
    """Raises SchemaError where TFDS would keep the class names of two features in one file."""
    files: dict[str, str] = {}
    for field in fields:
        for name, _ in kind_of(field.feature).labels(field.name):
            other = files.setdefault(name.replace("/", "-"), name)
            if other != name:
                raise SchemaError(
                    f"features {other!r} and {name!r} would share the file {name.replace('/', '-')}.labels.txt; "
                    f"rename one with {argument('names')}"
                )


def check_columns(fields: Sequence[AnyField]) -> None:
    """Raises SchemaError where what is stored of two features would have one name."""
    owners: dict[str, str] = {}
    for field in fields:
        for column in field.columns:
            if column.name in owners:
                raise SchemaError(
                    f"features {owners[column.name]!r} and {field.name!r} would both be stored as {column.name!r}; rename one: "
                    + argument("names", {field.name: "..."})
                )
            owners[column.name] = field.name


def describe(field: AnyField, batch: Batch, names: Mapping[str, str], tables: Mapping[str, Integers]) -> str:
    """What was decided about a feature, in words.

    Args:
      field: the feature.
      batch: the first one, with integers where floats are stored as such.
      names: flat names, by structural name.
      tables: of the floats that are stored as integers, by structural name.
    """
    found = [tables[source].described for source in field.sources if source in tables]
    return "; ".join([_describe(field, batch, names), *found])


def _describe(field: AnyField, batch: Batch, names: Mapping[str, str]) -> str:
    """What was decided about a feature, in words."""
    name, feature, column = field.name, field.feature, field.columns[-1]
    if isinstance(field, TreeField):
        return f"{name}: {_describe_tree(field, names)}"
    shape = stored_shape(batch.columns[field.sources[0]], field.layout)
    if isinstance(field, Field):
        shape = merge_shapes(feature.shape, shape)
    kind = kind_of(feature)
    if kind.is_label:
        what = kind.describe()
    elif kind.is_direct or isinstance(field, RaggedField):
        shape = tuple(feature.shape) if isinstance(field, RaggedField) else shape
        what = f"{kind.describe()} {column.dtype}" + (f" {shape}" if shape and not field.layout else "")
    else:
        lossy = " as JPEG, which loses detail" if kind.is_lossy else ""
        what = f"{kind.describe()}, encoded by {encoding.encoder_name(feature)}{lossy}"
    if field.layout is None:
        return f"{name}: {what}"
    return f"{layout_lib.describe(name, field.layout, shape)}, {what}"


def _describe_tree(field: TreeField, names: Mapping[str, str]) -> str:
    """What was decided about a feature with an encoder of its own, in words: what it is, and its images and boxes."""
    parts = [" ".join(f"{field.feature!r}".split())[:120]]
    for leaf in leaves_of(field.feature):
        if leaf.path in field.layouts:
            shape = (*leaf.sizes, *leaf.shape)
            layout = field.layouts[leaf.path].with_sequences(1 + len(shape))
            parts.append(layout_lib.describe(join(field.name, leaf.path), layout, shape))
    if field.boxes is not None:
        parts.append(
            f"{join(field.name, field.boxes.path)}: (x1, y1, x2, y2) in pixels -> (ymin, xmin, ymax, xmax) "
            f"over height and width of {names[field.boxes.image]!r}"
        )
    return "; ".join(parts)
