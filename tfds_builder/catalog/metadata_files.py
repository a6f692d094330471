"""Do the files of a version directory agree with its manifest? TFDS's metadata, and what it would read besides.

TFDS opens some files by their name alone (`dataset_info.json`, `features.json`, `*.labels.txt`), whether
anybody published them or not, and follows links to do so. So these are compared with the manifest,
value by value, before TFDS sees them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Literal

from tfds_builder import formats
from tfds_builder.aliases import Json, JsonObject
from tfds_builder.contract.directory import Directory
from tfds_builder.contract.manifest import FILENAME, File, Manifest, Split
from tfds_builder.contract.untrusted import expect_shallow, parse_json, show
from tfds_builder.errors import (
    DamagedFileError,
    DatasetError,
    ManifestError,
    MissingFileError,
    UnreadableFileError,
    UnsupportedVersionError,
)

_INFO, FEATURES, _LABELS = "dataset_info.json", "features.json", ".labels.txt"
_MAX_BYTES = 64 * 1024 * 1024
_MAX_VALUES = 3_000_000
_Kind = Literal["damaged", "missing", "unreadable", "unsupported"]
_KINDS: Mapping[_Kind, type[DatasetError]] = {
    "missing": MissingFileError,
    "unreadable": UnreadableFileError,
    "unsupported": UnsupportedVersionError,
}


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong: with which file, and what.

    Attributes:
      kind: `"missing"` if the file is not there at all, `"unreadable"` if this user may not read it,
        `"unsupported"` if it is of a newer format version; `"damaged"` otherwise.
    """

    file: str
    message: str
    kind: _Kind = "damaged"

    @classmethod
    def of(cls, file: str, error: DatasetError, directory: Directory) -> Problem:
        """An error as a problem; what it says of that file of a directory then begins with the file's name."""
        kind: _Kind = next((kind for kind, errors in _KINDS.items() if isinstance(error, errors)), "damaged")
        return cls(file, str(error).replace(f"{directory.path_of(file)} ", ""), kind)

    def to_error(self, directory: Directory) -> DatasetError:
        """The problem as an error about a version directory."""
        return _KINDS.get(self.kind, DamagedFileError)(f"{directory.path_of(self.file)}: {self.message}")

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


def check(directory: Directory, manifest: Manifest) -> Iterator[Problem]:
    """What of a version directory disagrees with its manifest; shards are not read.

    Args:
      directory: the version directory.
      manifest: its manifest.
    """
    for file in manifest.metadata:
        try:
            _check_metadata(file.file, _read(directory, file), manifest)
        except DatasetError as error:
            yield Problem.of(file.file, error, directory)
    listed = {file.file for file in manifest.metadata}
    required = [_INFO] if formats.find(manifest.format).tfds_name is None else [_INFO, FEATURES]
    yield from (Problem(FILENAME, f"does not list {name}") for name in required if name not in listed)
    yield from _check_strangers(directory, manifest)


def _check_metadata(name: str, text: bytes, manifest: Manifest) -> None:
    """Raises ManifestError unless a file of TFDS's metadata says what the manifest says."""
    if name == _INFO:
        _check_info(text, manifest)
    elif name == FEATURES:
        _check_features(text, manifest)
    elif name.endswith(_LABELS):
        _check_labels(name, text, manifest)


def _read(directory: Directory, file: File) -> bytes:
    """The content of a metadata file. Raises DatasetError if it is not what was published."""
    text = directory.read(file.file, _MAX_BYTES)
    if len(text) != file.bytes:
        raise ManifestError(f"has {len(text)} bytes, the manifest says {file.bytes}")
    if (digest := hashlib.sha256(text).hexdigest()) != file.sha256:
        raise ManifestError(f"is not what was published: its SHA-256 is {digest}, the manifest says {file.sha256}")
    return text


def _parse(text: bytes, where: str) -> Json:
    content = parse_json(text, _MAX_VALUES, where)
    expect_shallow(content, 100, where)
    return content


def _check_info(text: bytes, manifest: Manifest) -> None:
    """Raises ManifestError unless dataset_info.json has the manifest's name, version, config, notes, splits and keys."""
    content = _parse(text, _INFO)
    if not isinstance(content, dict):
        raise ManifestError("must be an object")
    stored = formats.find(manifest.format)
    keys = manifest.supervised_keys
    names = None if keys is None else {"tuple": {"items": [{"featureKey": key} for key in keys]}}
    splits = [_describe_split(name, split, stored.template) for name, split in manifest.splits.items()]
    for key, expected in (
        ("name", manifest.name),
        ("version", manifest.version),
        ("configName", manifest.config_name or None),
        ("configDescription", manifest.config_description or None),
        ("releaseNotes", manifest.release_notes or None),
        ("fileFormat", stored.tfds_name),
        ("supervisedKeys", names),
        ("splits", splits or None),
    ):
        if content.get(key) != expected:
            raise ManifestError(f"says {key} is {show(content.get(key))}, and the manifest {show(expected)}")
    for name, split in manifest.splits.items():
        count = len(split.shards)
        for number, shard in enumerate(split.shards):
            expected = stored.file_name(manifest.name, name, number, count)
            if shard.data.file != expected:
                raise ManifestError(f"TFDS looks for {expected}, and the manifest lists {show(shard.data.file)} in its place")


def _describe_split(name: str, split: Split, template: str) -> JsonObject:
    """A split as dataset_info.json has it: no key for what is empty, numbers of 64 bits as text."""
    content: JsonObject = {"name": name, "filepathTemplate": template}
    if split.shards:
        content["shardLengths"] = [str(shard.rows) for shard in split.shards]
    if size := sum(shard.data.bytes for shard in split.shards):
        content["numBytes"] = str(size)
    return content


def _check_features(text: bytes, manifest: Manifest) -> None:
    if _parse(text, FEATURES) != manifest.features:
        raise ManifestError("differs from the features in the manifest")


def _check_labels(file: str, text: bytes, manifest: Manifest) -> None:
    for name, labels in manifest.labels.items():
        if file == f"{name.replace('/', '-')}{_LABELS}" and text != ("\n".join(labels) + "\n").encode():
            raise ManifestError(f"differs from the labels of {show(name)} in the manifest")


def _check_strangers(directory: Directory, manifest: Manifest) -> Iterator[Problem]:
    """Files nobody published that TFDS would read by their name. What else lies there is no concern of a reader."""
    listed = {file.file for file in manifest.metadata}
    try:
        strangers = sorted(name for name in directory.names() if _is_metadata(name) and name not in listed)
    except UnreadableFileError as error:
        yield Problem(FILENAME, str(error), "unreadable")
        return
    for name in strangers:
        if name == FEATURES and formats.find(manifest.format).tfds_name is None:
            yield Problem(name, f"makes stock TFDS read this {manifest.format} directory as TFRecord; remove it")
        else:
            yield Problem(name, "is not in the manifest, and TFDS would read it; remove it")


def check_lookalikes(directory: Directory, manifest: Manifest) -> Iterator[Problem]:
    """Files nobody published that are named like shards: no reader takes them, and somebody meant them to be."""
    listed = {file.file for file in manifest.files}
    prefix = f"{manifest.name}-"
    try:
        strangers = sorted(name for name in directory.names() if name.startswith(prefix) and name not in listed)
    except UnreadableFileError:
        return  # `check` has said so
    for name in strangers:
        if not _is_metadata(name):
            yield Problem(name, "is named like a shard and is not in the manifest; remove it")


def _is_metadata(name: str) -> bool:
    return name in (_INFO, FEATURES, "metadata.json") or name.endswith(_LABELS)
