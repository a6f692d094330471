"""Features to TFDS's own JSON and back, with the names of their classes, which that leaves out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import tensorflow_datasets as tfds

from tfds_builder.aliases import Features, Json, JsonObject
from tfds_builder.contract.manifest import Manifest
from tfds_builder.contract.untrusted import show
from tfds_builder.errors import ManifestError, MissingPackageError
from tfds_builder.features.kinds import is_known_class, kind_of
from tfds_builder.features.specs import flatten_features, serialized_specs
from tfds_builder.install import how_to_install


def features_to_json(features: Features) -> JsonObject:
    """A FeaturesDict as the content of TFDS's `features.json`."""
    from google.protobuf import json_format

    content: JsonObject = json_format.MessageToDict(features.to_proto())
    return content


def parse_features(content: Json, labels: Mapping[str, Sequence[str]], where: str) -> Features:
    """The FeaturesDict of TFDS's JSON and of the names of its classes.

    TFDS imports the module of any class that features name. What a directory holds must not choose
    what is imported, so only classes this process already knows are taken: those of `tfds.features`,
    and custom ones whose module the user has imported.

    Raises:
      ManifestError: TFDS cannot make sense of it, or it names a class nobody has imported; it begins with `where`.
      MissingPackageError: it has an `Audio` or a `Video`, of which TFDS makes none without TensorFlow.
    """
    try:
        for name in _class_names(content):
            if not is_known_class(name):
                raise ManifestError(f"class {show(name)} is none of tfds.features; import the module that defines it first")
        features = tfds.features.FeaturesDict.from_json(content)
        found = dict(kind_of(features).labels())
        for name, names in labels.items():
            if name not in found:
                raise ManifestError(f"labels of {show(name)}, which is no ClassLabel")
            found[name].feature.names = list(names)
    except Exception as error:  # TFDS raises whatever its parsers raise
        if _lacks_tensorflow(error):
            names = ", ".join(sorted({name.rpartition(".")[2] for name in _class_names(content)} & {"Audio", "Video"}))
            raise MissingPackageError(
                f"{where} have {names or 'one'} among them, which TFDS makes of TensorFlow: {how_to_install('tensorflow-cpu')}"
            ) from error
        raise ManifestError(f"{where} are not TFDS features: {error!s:.300}") from error
    return features


def _lacks_tensorflow(error: BaseException | None) -> bool:
    """Whether an error came of TensorFlow not being installed."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name == "tensorflow":
            return True
        error = error.__cause__ or error.__context__
    return False


def features_of(manifest: Manifest) -> Features:
    """The FeaturesDict of a manifest, class names included (`parse_features` says which classes are taken).

    Raises:
      ManifestError: TFDS cannot make sense of it, or it names a class nobody has imported.
    """
    features = parse_features(manifest.features, manifest.labels, f"{manifest.name}: the manifest's features")
    stored = {column.name for column in manifest.columns}
    missing = {key for name, feature in flatten_features(features) for key in serialized_specs(name, feature)} - stored
    if missing:
        raise ManifestError(f"{manifest.name}: features without a stored column: {sorted(missing)}")
    return features


def _class_names(content: Json) -> Iterator[str]:
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


def labels_of(features: Features) -> dict[str, list[str]]:
    """Class names by flat feature name, for every ClassLabel that was given names."""
    return {name: label.class_names for name, label in kind_of(features).labels() if label.class_names is not None}
