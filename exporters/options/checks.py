"""Dataset, version, splits and data_dir as the caller of `export` names them: refused where TFDS could not find them again."""

from __future__ import annotations

import keyword
import os
import re
from collections.abc import Mapping

from exporters import wording
from exporters.aliases import Loader
from exporters.errors import ArgumentError

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)
_SPLIT = re.compile(r"\w+(-\w+)*")
NAME_BYTES = 200
"""Longest name, in bytes of UTF-8: with what is put around them, file names must stay below 255."""


def check_dataset(name: str, version: str, shard_bytes: int) -> None:
    """Raises ArgumentError unless TFDS can find a dataset of that name and version again.

    TFDS turns a name into snake_case before it looks it up (`naming.camelcase_to_snakecase`), and the generated module
    is named after it, so it must be lower_snake_case and no Python keyword.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > NAME_BYTES // 2:
        raise ArgumentError(
            f"{wording.called('name')} must be lower_snake_case, begin with a letter, be no Python keyword and at "
            f"most {NAME_BYTES // 2} long (got {name!r:.120})"
            + (f"; for example {wording.argument('name', suggestion)}" if (suggestion := _suggest(name)) else "")
        )
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ArgumentError(
            f'{wording.called("version")} must be "x.y.z", three numbers without leading zeros (got {version!r}); for example '
            f"{wording.argument('version', '1.0.0')}"
        )
    if isinstance(shard_bytes, bool) or not isinstance(shard_bytes, int) or shard_bytes < 1:
        raise ArgumentError(f"{wording.called('shard_bytes')} must be a positive number of bytes (got {shard_bytes!r})")


def check_seed(seed: object) -> None:
    """Raises ArgumentError unless `seed` is None or an integer."""
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise ArgumentError(
            f"{wording.called('seed')} must be an integer (got {seed!r:.80}); for example {wording.argument('seed', 0)}"
        )


def check_data_dir(data_dir: object) -> None:
    """Raises ArgumentError unless `data_dir` can be a directory of a local file system."""
    if not isinstance(data_dir, str | os.PathLike) or not isinstance(os.fspath(data_dir), str) or "\0" in os.fspath(data_dir):
        raise ArgumentError(f"{wording.called('data_dir')} must be a path (got {data_dir!r:.120})")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", os.fspath(data_dir)):  # also after pathlib has made one slash of two
        raise ArgumentError(
            f"{wording.called('data_dir')} must be in a local file system, where a rename is atomic (got {data_dir!r:.120}); "
            "export, then copy"
        )


def check_splits(loaders: Loader) -> dict[str, Loader]:
    """The loaders by split name; a single loader is the split `train`.

    Raises:
      ArgumentError: no split, or a split name that TFDS rejects.
    """
    if not isinstance(loaders, Mapping):
        return {"train": loaders}
    if not loaders:
        raise ArgumentError('loaders has no split; pass a DataLoader, or {"train": train_loader}')
    for split in loaders:
        if not isinstance(split, str) or not _SPLIT.fullmatch(split) or split == "all" or len(split.encode()) > NAME_BYTES // 2:
            raise ArgumentError(
                f"split name {split!r:.120} cannot be used in tfds.load(split=...): use letters, digits and '_', "
                f"{NAME_BYTES // 2} at most, and not 'all', which TFDS keeps for all splits together"
            )
    return dict(loaders)


def _suggest(name: object) -> str:
    """A name like the one given that would do, or ''."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name))
    candidate = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    return candidate if _NAME.fullmatch(candidate) and not keyword.iskeyword(candidate) else ""
