"""TFDS's own metadata of a version directory: `dataset_info.json`, `features.json`, label names.

TFDS writes and reads all of them without TensorFlow installed (tried with 4.9.10). An HDF5
directory gets no `features.json`: stock TFDS takes any directory that has one for TFRecord
(`read_only_builder._contains_dataset`), and would read nonsense.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import ml_dtypes  # noqa: F401  # NumPy knows "bfloat16" by name from now on; TFDS would ask TensorFlow
import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import dataset_info as dataset_info_lib
from tensorflow_datasets.core import naming
from tensorflow_datasets.core import splits as splits_lib

from tfds_builder.catalog import metadata_files
from tfds_builder.contract.manifest import Manifest
from tfds_builder.contract.untrusted import show
from tfds_builder.errors import DatasetError, ManifestError, UnsupportedReadError
from tfds_builder.table.table import Segment

TEMPLATES: Mapping[str, str] = {
    "tfrecord": naming.DEFAULT_FILENAME_TEMPLATE,
    "hdf5": "{DATASET}-{SPLIT}-{SHARD_X_OF_Y}.h5",
    "index": "{DATASET}-{SPLIT}.index-{SHARD_X_OF_Y}",
}
"""Shard file names by format, and of a TFRecord shard's index, in TFDS's template language (`filepathTemplate`)."""

_DIRECT = (
    tfds.features.Tensor,
    tfds.features.Scalar,
    tfds.features.ClassLabel,
    tfds.features.Text,
    tfds.features.BBoxFeature,
)


def shard_file_name(format: str, name: str, split: str, index: int, count: int) -> str:
    """The published name of a shard's data file.

    >>> shard_file_name("tfrecord", "digits", "train", 0, 2)
    'digits-train.tfrecord-00000-of-00002'
    """
    template = naming.ShardedFileTemplate(
        data_dir="", dataset_name=name, split=split, filetype_suffix="tfrecord", template=TEMPLATES[format]
    )
    return str(template.sharded_filepath(shard_index=index, num_shards=count).name)


def is_direct(feature: Any) -> bool:
    """Whether a column holds the feature's very value; otherwise its columns hold what
    `feature.encode_example` made of it, and reading goes through `feature.decode_example`.

    Of rows of different shapes those are direct that differ along the first axis only: they are runs of items. A
    sequence is one of them, if its items are.
    """
    if type(feature) is tfds.features.Sequence:
        inner = feature.feature
        return type(inner) in _DIRECT and not getattr(inner, "_encoded_to_bytes", False) and None not in inner.shape
    zlib = getattr(feature, "_encoding", None) == tfds.features.Encoding.ZLIB
    return type(feature) in _DIRECT and not zlib and None not in feature.shape[1:]


def is_optional(feature: Any) -> bool:
    """Whether a row of a feature may be None."""
    return isinstance(feature, tfds.features.Tensor) and bool(getattr(feature, "_optional", False))


def presence_name(name: str) -> str:
    """The column (bool) that says whether an optional feature of that name has a value in a row.

    TFDS leaves what is None out of an Example, and gives a default value for it; that value may have been given too.
    """
    return f"{name}.is_present"


def box_paths(feature: Any, path: str = "") -> Iterator[str]:
    """Where in a feature boxes are in TFDS's own format: (ymin, xmin, ymax, xmax), between 0 and 1."""
    if isinstance(feature, tfds.features.BBoxFeature):
        if feature.bbox_format is not None and feature.bbox_format.value == "REL_YXYX":
            yield path
    elif isinstance(feature, tfds.features.Sequence):
        yield from box_paths(feature.feature, path)
    elif isinstance(feature, tfds.features.FeaturesDict):
        for key, item in feature.items():
            yield from box_paths(item, f"{path}/{key}" if path else key)


def flat_info(name: str, feature: Any) -> dict[str, Any]:
    """The `tfds.features.TensorInfo`s of what a feature is serialized to, by flat name."""
    return dict(_flatten_info(name, feature.get_serialized_info()))


def _flatten_info(name: str, info: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(info, Mapping):
        for key, item in info.items():
            yield from _flatten_info(f"{name}/{key}", item)
    else:
        yield name, info


def serialized_specs(name: str, feature: Any) -> dict[str, Any]:
    """The same as they are in an Example, where nested sequences are one list of values and one of lengths a level
    (`example_serializer._add_ragged_fields`)."""
    specs: dict[str, Any] = {}
    for key, info in flat_info(name, feature).items():
        if info.sequence_rank < 2:
            specs[key] = info
            continue
        lengths = tfds.features.TensorInfo(shape=(None,), dtype=np.int64)
        specs |= {f"{key}/ragged_row_lengths_{level}": lengths for level in range(info.sequence_rank - 1)}
        inner = tuple(info.shape[info.sequence_rank :])
        specs[f"{key}/ragged_flat_values"] = tfds.features.TensorInfo(shape=(None, *inner), dtype=info.np_dtype)
    return specs


def flatten_features(features: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a FeaturesDict as (flat name, feature), sorted by name at each level.

    >>> list(flatten_features(tfds.features.FeaturesDict({"b": {"c": np.int64}})))  # doctest: +SKIP
    [('b/c', int64)]
    """
    for name, feature in sorted(features.items()):
        if type(feature) is tfds.features.FeaturesDict:
            yield from flatten_features(feature, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", feature


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Flat names to the nested dict that TFDS yields.

    >>> nest({"a": 1, "b/c": 2})
    {'a': 1, 'b': {'c': 2}}
    """
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, leaf = name.split("/")
        level = nested
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = value
    return nested


def flatten_nested(example: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """A nested dict as (flat name, value), in its own order.

    >>> flatten_nested({"a": 1, "b": {"c": 2}})
    [('a', 1), ('b/c', 2)]
    """
    flat: list[tuple[str, Any]] = []
    for name, value in example.items():
        flat += flatten_nested(value, f"{prefix}{name}/") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return flat


def flatten_decoders(features: Any, decoders: Mapping[str, Any] | None) -> dict[str, Any]:
    """Decoders by flat feature name, those inside a sequence as a nested dict; None is no decoder, as it is to TFDS.

    Raises:
      ValueError: a decoder for a feature that is not there, or no dict of decoders.
      UnsupportedReadError: something that is no `tfds.decode.Decoder`.
    """
    if decoders and not isinstance(decoders, Mapping):  # TFDS takes any that is empty for none
        raise ValueError(f"decoders must be a dict of feature name to tfds.decode.Decoder (got {type(decoders).__name__})")
    known = dict(flatten_features(features))
    trees = [name for name, feature in known.items() if isinstance(feature, tfds.features.Sequence | tfds.features.FeaturesDict)]
    found: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, decoder in flatten_nested(decoders or {}):
        if decoder is None:
            continue
        owner = next((leaf for leaf in (name, *trees) if name == leaf in known or name.startswith(f"{leaf}/")), None)
        if owner is None:
            raise ValueError(f"decoders has {name!r}, which is no feature of the dataset; features: {sorted(known)}")
        if not isinstance(decoder, tfds.decode.Decoder):
            raise UnsupportedReadError(f"decoders[{name!r}] must be a tfds.decode.Decoder (got {type(decoder).__name__})")
        if owner == name:
            found[name] = decoder
        else:
            inner.setdefault(owner, {})[name[len(owner) + 1 :]] = decoder
    return found | {name: nest(parts) for name, parts in inner.items()}


def segments_of(manifest: Manifest, instructions: Sequence[Any]) -> list[Segment]:
    """TFDS's file instructions (`shard_utils.FileInstruction`: file, skip, take) as runs of rows of shards.

    Raises:
      DatasetError: the manifest has no such rows.
      ValueError: a slice such as `train[5:3]`.
    """
    shards = {shard.data.file: shard for split in manifest.splits.values() for shard in split.shards}
    segments = []
    for instruction in instructions:
        name = os.path.basename(instruction.filename)
        if name not in shards:
            raise DatasetError(f"dataset_info.json names {name}, which the manifest of {manifest.name} does not list")
        stop = instruction.skip + instruction.take
        if instruction.take < 0:
            raise ValueError(
                f"the split ends before it begins: rows {instruction.skip} to {stop} of {name}; turn the slice round"
            )
        if stop > shards[name].rows:
            raise DatasetError(
                f"dataset_info.json promises {stop} rows of {name}, which the manifest says has {shards[name].rows}"
            )
        segments.append(Segment(shards[name], instruction.skip, stop))
    return segments


def features_to_json(features: Any) -> dict[str, Any]:
    """A FeaturesDict as the content of TFDS's `features.json`."""
    from google.protobuf import json_format

    content: dict[str, Any] = json_format.MessageToDict(features.to_proto())
    return content


def parse_features(content: Any, labels: Mapping[str, Sequence[str]], where: str) -> Any:
    """The FeaturesDict of TFDS's JSON and of the names of its classes.

    TFDS imports the module of any class that features name. What a directory holds must not choose
    what is imported, so only classes this process already knows are taken: those of `tfds.features`,
    and custom ones whose module the user has imported.

    Raises:
      ManifestError: TFDS cannot make sense of it, or it names a class nobody has imported; it begins with `where`.
    """
    try:
        for name in _class_names(content):
            if name not in tfds.features.FeatureConnector._registered_features:
                raise ManifestError(f"class {show(name)} is none of tfds.features; import the module that defines it first")
        features = tfds.features.FeaturesDict.from_json(content)
        found = dict(class_labels(features))
        for name, names in labels.items():
            if name not in found:
                raise ManifestError(f"labels of {show(name)}, which is no ClassLabel")
            found[name].names = list(names)
    except Exception as error:  # TFDS raises whatever its parsers raise
        raise ManifestError(f"{where} are not TFDS features: {error!s:.300}") from error
    return features


def features_of(manifest: Manifest) -> Any:
    """The FeaturesDict of a manifest, class names included (`parse_features` says which classes are taken).

    Raises:
      ManifestError: TFDS cannot make sense of it, or it names a class nobody has imported.
    """
    features = parse_features(manifest.features, manifest.labels, f"{manifest.name}: the manifest's features")
    leaves = dict(flatten_features(features))
    missing = {name for leaf in leaves.items() for name in serialized_specs(*leaf)} - {column.name for column in manifest.columns}
    if missing:
        raise ManifestError(f"{manifest.name}: features without a stored column: {sorted(missing)}")
    return features


def _class_names(content: Any) -> Iterator[str]:
    """Every class that the JSON of features names, in any of the spellings TFDS reads, JSON inside of it included."""
    if isinstance(content, list):
        for item in content:
            yield from _class_names(item)
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        if key in ("proto_cls", "protoCls"):
            raise ManifestError(f"features name a class in {key}, which no export writes")
        if key in ("pythonClassName", "python_class_name", "type") and isinstance(value, str):
            yield value
        elif key == "json" and isinstance(value, str):
            yield from _class_names(json.loads(value))
        else:
            yield from _class_names(value)


def class_labels(feature: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every ClassLabel of a feature, inside sequences and labelled images too, by the flat name TFDS keeps its names under."""
    if isinstance(feature, tfds.features.ClassLabel):
        yield name, feature
    elif isinstance(feature, tfds.features.LabeledImage):
        yield name, feature._class_label
    elif isinstance(feature, tfds.features.Sequence):
        yield from class_labels(feature.feature, name)
    elif isinstance(feature, tfds.features.FeaturesDict):
        for key, item in sorted(feature.items()):
            yield from class_labels(item, f"{name}/{key}" if name else key)


def labels_of(features: Any) -> dict[str, list[str]]:
    """Class names by flat feature name, for every ClassLabel that was given names."""
    return {name: list(label.names) for name, label in class_labels(features) if label._str2int is not None}


class ExportedInfo(tfds.core.DatasetInfo):
    """A DatasetInfo that prints its true format (TFDS has no name for HDF5 and says tfrecord)."""

    exported_format = "tfrecord"

    def read_from_directory(self, dataset_info_dir: Any) -> None:
        """As TFDS's own.

        Raises:
          ManifestError: TFDS cannot make sense of what is there.
        """
        try:
            super().read_from_directory(dataset_info_dir)
        except Exception as error:  # TFDS raises whatever its parsers raise
            raise ManifestError(f"{dataset_info_dir}: TFDS cannot read its dataset_info.json: {error!s:.300}") from error

    def __repr__(self) -> str:
        return str(super().__repr__()).replace("file_format=tfrecord,", f"file_format={self.exported_format},", 1)


def dataset_info(builder: Any, manifest: Manifest, features: Any) -> ExportedInfo:
    """The `tfds.core.DatasetInfo` of a manifest; `builder` is a builder or a DatasetIdentity."""
    keys = manifest.supervised_keys
    info = ExportedInfo(
        builder=builder,
        description=manifest.card.get("description") or f"{manifest.name}, exported from a PyTorch DataLoader.",
        features=features,
        supervised_keys=None if keys is None else tuple(keys),
        homepage=manifest.card.get("homepage") or None,
        citation=manifest.card.get("citation") or None,
        license=manifest.card.get("license") or None,
    )
    info.exported_format = manifest.format
    return info


def _identity(manifest: Manifest, directory: str) -> Any:
    """What a manifest is called, as TFDS takes it in place of a builder."""
    return dataset_info_lib.DatasetIdentity(
        name=manifest.name,
        version=tfds.core.Version(manifest.version),
        data_dir=directory,
        module_name=f"{manifest.name}_dataset_builder",
        config_name=manifest.config_name or None,
        config_description=manifest.config_description or None,
        release_notes=dict(manifest.release_notes),
    )


def read_dataset_info(manifest: Manifest, directory: str) -> ExportedInfo:
    """The `tfds.core.DatasetInfo` of a version directory, as its builder has it.

    Raises:
      DatasetError: TFDS's files there are not what was published.
    """
    for problem in metadata_files.check(pathlib.Path(directory), manifest):
        raise problem.to_error(pathlib.Path(directory))
    info = dataset_info(_identity(manifest, directory), manifest, features_of(manifest))
    info.read_from_directory(directory)
    return info


def write(manifest: Manifest, directory: str | os.PathLike[str]) -> list[str]:
    """Writes TFDS's metadata files of a manifest into a directory that holds its shards.

    Returns:
      Names of the files written.
    """
    directory = os.fspath(directory)
    before = set(os.listdir(directory))
    identity = _identity(manifest, directory)
    info = dataset_info(identity, manifest, features_of(manifest))
    info.set_splits(
        splits_lib.SplitDict(
            [
                splits_lib.SplitInfo(
                    name=name,
                    shard_lengths=[shard.rows for shard in split.shards],
                    num_bytes=sum(shard.data.bytes for shard in split.shards),
                    filename_template=naming.ShardedFileTemplate(
                        data_dir=directory,
                        dataset_name=manifest.name,
                        split=name,
                        filetype_suffix="tfrecord",
                        template=TEMPLATES[manifest.format],
                    ),
                )
                for name, split in manifest.splits.items()
            ]
        )
    )
    is_tfrecord = manifest.format == "tfrecord"
    if is_tfrecord:
        info.set_file_format("tfrecord")
    else:
        info.features.save_metadata(directory, feature_name=None)
    info.write_to_directory(directory, all_metadata=is_tfrecord)
    return sorted(set(os.listdir(directory)) - before)
