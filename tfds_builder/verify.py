"""Is a published directory still what was published? Files, sizes, SHA-256, record CRCs."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tfds_builder import manifest as manifest_lib
from tfds_builder.errors import ManifestError, MissingFileError

if TYPE_CHECKING:
    from tfds_builder.manifest import File, Manifest

_CHUNK = 8 * 1024 * 1024
_HEADER, _FOOTER = 12, 4
MASK_DELTA = 0xA282EAD8


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong: with which file, and what."""

    file: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


@dataclasses.dataclass(frozen=True)
class Report:
    """What `verify` looked at and found.

    Attributes:
      path: the version directory.
      files, bytes, records: how much was checked (records of TFRecord shards).
      problems: empty when the dataset is whole.
    """

    path: str
    files: int
    bytes: int
    records: int
    problems: list[Problem]


def verify(path: str | os.PathLike[str], on_bytes: Callable[[int], Any] = lambda count: None) -> Report:
    """Checks a published version directory, byte for byte.

    >>> tfds_builder.verify("/data/digits/1.0.0").problems        # doctest: +SKIP
    []

    Every file the manifest lists must be there with its size and SHA-256; every TFRecord record
    must have its length and valid CRCs (a bad one is named by its number, from 0); the manifest must
    agree with its directory. Files the manifest does not list are no concern of it.

    Args:
      path: `<data_dir>/<name>/<version>`.
      on_bytes: called with the number of bytes read, for a progress bar.

    Returns:
      A report; `.problems` is empty when the dataset is whole.

    Raises:
      MissingFileError: `path` is no directory (a missing manifest is a problem in the report).
    """
    directory = pathlib.Path(path)
    if not directory.is_dir():
        raise MissingFileError(f"{directory} is not a directory; pass <data_dir>/<name>/<version>")
    try:
        manifest = manifest_lib.read(directory)
    except (ManifestError, MissingFileError) as error:
        return Report(os.fspath(path), 1, 0, 0, [Problem(manifest_lib.FILENAME, str(error))])
    problems = list(_check_directory(directory, manifest))
    records = total = 0
    for file in manifest.files:
        found, reads = _check_file(directory, file, on_bytes)
        total += reads
        problems += found
    if manifest.format == "tfrecord":
        for split in manifest.splits.values():
            for shard in split.shards:
                records += shard.rows
                problems += _check_records(directory, shard)
    return Report(os.fspath(path), len(manifest.files) + 1, total, records, problems)


def _check_directory(directory: pathlib.Path, manifest: Manifest) -> Iterator[Problem]:
    """The manifest against the directory it lies in."""
    resolved = directory.resolve()
    if (resolved.parent.name, resolved.name) != (manifest.name, manifest.version):
        yield Problem(
            manifest_lib.FILENAME,
            f"describes {manifest.name}/{manifest.version} and lies in {resolved.parent.name}/{resolved.name}",
        )
    if manifest.format != "tfrecord" and (directory / "features.json").exists():
        yield Problem("features.json", f"makes stock TFDS read this {manifest.format} directory as TFRecord; remove it")


def _check_file(directory: pathlib.Path, file: File, on_bytes: Callable[[int], Any]) -> tuple[list[Problem], int]:
    """Presence, size and SHA-256 of one file; also how many bytes were read."""
    digest, size = hashlib.sha256(), 0
    try:
        with open(directory / file.file, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                on_bytes(len(chunk))
    except OSError as error:
        return [Problem(file.file, f"cannot be read: {error.strerror or error}")], size
    if size != file.bytes:
        return [Problem(file.file, f"has {size} bytes, the manifest says {file.bytes}")], size
    if digest.hexdigest() != file.sha256:
        return [Problem(file.file, f"has SHA-256 {digest.hexdigest()}, the manifest says {file.sha256}")], size
    return [], size


def masked_crc32c(crc: int) -> int:
    """TFRecord's masking of a CRC-32C (tensorflow/tsl/lib/hash/crc32c.h)."""
    return (((crc >> 15) | (crc << 17)) + MASK_DELTA) & 0xFFFFFFFF


def _check_records(directory: pathlib.Path, shard: manifest_lib.Shard) -> list[Problem]:
    """Walks a TFRecord file record by record; stops at the first whose length cannot be trusted."""
    import mmap

    import google_crc32c

    name = shard.data.file
    try:
        with open(directory / name, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            data: Any = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
    except OSError:
        return []  # already reported as unreadable
    problems, position, number = [], 0, 0
    while position < size:
        header = data[position : position + _HEADER]
        length = int.from_bytes(header[:8], "little")
        if len(header) < _HEADER or int.from_bytes(header[8:], "little") != masked_crc32c(google_crc32c.value(header[:8])):
            problems.append(Problem(name, f"record {number} (byte {position}): the CRC of its length is wrong"))
            return problems
        start = position + _HEADER
        end = start + length + _FOOTER
        if end > size:
            problems.append(Problem(name, f"record {number} (byte {position}): is cut off"))
            return problems
        crc = int.from_bytes(data[end - _FOOTER : end], "little")
        if crc != masked_crc32c(google_crc32c.value(data[start : end - _FOOTER])):
            problems.append(Problem(name, f"record {number} (byte {position}): the CRC of its data is wrong"))
        position, number = end, number + 1
    if number != shard.rows:
        problems.append(Problem(name, f"has {number} records, the manifest says {shard.rows}"))
    return problems
