"""What things are called: dataset, version and splits as TFDS accepts them, and the features of a batch."""

from __future__ import annotations

import dataclasses
import keyword
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from exporters import wording
from exporters.batches.flatten import Parts
from exporters.errors import ArgumentError
from exporters.tensors import layout as layout_lib

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)
_SPLIT = re.compile(r"\w+(-\w+)*")
_UNSAFE_FEATURE = re.compile(r"[/\x00-\x1f\x7f\ud800-\udfff]")
_NAME_BYTES = 200
"""Longest name, in bytes of UTF-8: with what is put around them, file names must stay below 255."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What the caller of `export` says about the features; see there.

    Attributes:
      source_dtypes: by column, what a stopped export found them to be, for batches that do not tell.
      source_layouts: by feature, what it found there, None for no layout: a batch alone might be read in another way.

    Raises:
      ArgumentError: `features`, `layouts` or `unpad` is no mapping.
    """

    names: Sequence[str] | Mapping[str, str] | None = None
    features: Mapping[str, Any] | None = None
    layouts: Mapping[str, str] | None = None
    supervised_keys: Sequence[str] | None = None
    unpad: Mapping[str, str] | None = None
    source_dtypes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    source_layouts: Mapping[str, str | None] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("features", "layouts", "unpad"):
            value = getattr(self, key)
            if value is not None and not hasattr(value, "items"):
                raise ArgumentError(
                    f'{wording.argument(key)} must be a mapping of feature names, {{"image": ...}} (got {value!r:.80})'
                )


def check_dataset(name: str, version: str, shard_bytes: int) -> None:
    """Raises ArgumentError unless TFDS can find a dataset of that name and version again.

    TFDS turns a name into snake_case before it looks it up (`naming.camelcase_to_snakecase`), and the generated module
    is named after it, so it must be lower_snake_case and no Python keyword.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > _NAME_BYTES // 2:
        raise ArgumentError(
            f"{wording.called('name')} must be lower_snake_case, begin with a letter, be no Python keyword and at "
            f"most {_NAME_BYTES // 2} long (got {name!r:.120})"
            + (f"; for example {wording.argument('name', suggestion)}" if (suggestion := _suggest(name)) else "")
        )
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ArgumentError(
            f'{wording.called("version")} must be "x.y.z", three numbers without leading zeros (got {version!r}); for example '
            f"{wording.argument('version', '1.0.0')}"
        )
    if isinstance(shard_bytes, bool) or not isinstance(shard_bytes, int) or shard_bytes < 1:
        raise ArgumentError(f"{wording.called('shard_bytes')} must be a positive number of bytes (got {shard_bytes!r})")


def check_data_dir(data_dir: Any) -> None:
    """Raises ArgumentError unless `data_dir` can be a directory of a local file system."""
    if not isinstance(data_dir, str | os.PathLike) or not isinstance(os.fspath(data_dir), str) or "\0" in os.fspath(data_dir):
        raise ArgumentError(f"{wording.called('data_dir')} must be a path (got {data_dir!r:.120})")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", os.fspath(data_dir)):  # also after pathlib has made one slash of two
        raise ArgumentError(
            f"{wording.called('data_dir')} must be in a local file system, where a rename is atomic (got {data_dir!r:.120}); "
            "export, then copy"
        )


def check_splits(loaders: Any) -> dict[str, Any]:
    """The loaders by split name; a single loader is the split `train`.

    Raises:
      ArgumentError: no split, or a split name that TFDS rejects.
    """
    if not isinstance(loaders, Mapping):
        return {"train": loaders}
    if not loaders:
        raise ArgumentError('loaders has no split; pass a DataLoader, or {"train": train_loader}')
    for split in loaders:
        if not isinstance(split, str) or not _SPLIT.fullmatch(split) or split == "all" or len(split.encode()) > _NAME_BYTES // 2:
            raise ArgumentError(
                f"split name {split!r:.120} cannot be used in tfds.load(split=...): use letters, digits and '_', "
                f"{_NAME_BYTES // 2} at most, and not 'all', which TFDS keeps for all splits together"
            )
    return dict(loaders)


def _suggest(name: Any) -> str:
    """A name like the one given that would do, or ''."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name))
    candidate = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")
    return candidate if _NAME.fullmatch(candidate) and not keyword.iskeyword(candidate) else ""


def name_columns(columns: Parts, positions: Sequence[str], options: Options) -> dict[str, str]:
    """Structural name -> flat feature name, for every column of the first batch.

    A lone part, or the first of a pair, is `image` if it looks like one and `features` otherwise;
    the second of a pair is `label`; parts of longer tuples are `item_0`, `item_1`, ...

    Raises:
      ArgumentError: `names=` does not fit, or a name cannot be stored or is taken.
    """
    top = dict(zip(positions, _default_names(columns, positions, options), strict=True))
    renamed = options.names
    if isinstance(renamed, Mapping):
        pass
    elif renamed is not None:
        if isinstance(renamed, str) or len(renamed) != len(positions) or not all(isinstance(n, str) for n in renamed):
            raise ArgumentError(
                f"{wording.argument('names')} must have one name for each of the {len(positions)} parts of a batch "
                f"(got {renamed!r}); for a batch of named parts give a mapping: {wording.argument('names', {'old': 'new'})}"
            )
        for item in renamed:
            _check_feature_name(item, item)
        top = dict(zip(positions, renamed, strict=True))
    result = {}
    for source in columns:
        head, slash, rest = source.partition("/")
        result[source] = (top[head] + slash + rest) if head in top else source
    if isinstance(renamed, Mapping):
        result = _rename(result, renamed)
    for name in result.values():
        for part in name.split("/"):
            _check_feature_name(part, name)
    taken = list(result.values())
    for name in taken:
        if taken.count(name) > 1 or any(other.startswith(f"{name}/") for other in taken):
            raise ArgumentError(
                f"two parts of a batch would both be called {name!r}; rename one with {wording.argument('names')}"
            )
    return result


def _check_feature_name(part: str, name: str) -> None:
    if not part or part in (".", "..", "tfds_id") or _UNSAFE_FEATURE.search(part) or len(part.encode()) > _NAME_BYTES:
        raise ArgumentError(
            f"feature name {part!r:.80} cannot be stored: it must not be empty, '.', '..', 'tfds_id' or longer than "
            f"{_NAME_BYTES} bytes, nor hold '/', control characters or surrogates; "
            f"rename it: {wording.argument('names', {name: '...'})}"
        )


def _default_names(columns: Parts, positions: Sequence[str], options: Options) -> list[str]:
    if len(positions) > 2 or not positions:
        return [f"item_{position}" for position in positions]
    mentioned = {*(options.layouts or {}), *(options.features or {})}
    first = columns.get(positions[0])
    is_image = first is not None and layout_lib.looks_like_image(first.shape)
    if {"image", "features"} & mentioned:
        is_image = "image" in mentioned
    return (["image"] if is_image else ["features"]) + ["label"] * (len(positions) - 1)


def _rename(names: dict[str, str], renamed: Mapping[str, str]) -> dict[str, str]:
    """Applies `names={"old": "new"}`: `old` a flat name or the beginning of one."""
    result = dict(names)
    for old, new in renamed.items():
        hits = [source for source, name in names.items() if name == old or name.startswith(f"{old}/")]
        if not hits:
            raise ArgumentError(
                f"{wording.argument('names')} renames {old!r}, which is no feature of the data; "
                f"features: {sorted(names.values())}"
            )
        if not isinstance(new, str) or "/" in new:
            raise ArgumentError(f"{wording.argument('names')}: {old!r} must become a name without '/' (got {new!r})")
        parent = old.rpartition("/")[0]
        for source in hits:
            result[source] = (f"{parent}/" if parent else "") + new + names[source][len(old) :]
    return result


def pick_supervised_keys(names: Mapping[str, str], positions: Sequence[str], options: Options) -> tuple[str, ...] | None:
    """Input and target for `as_supervised=True`: as given, those of a pair, or None."""
    tops = list(dict.fromkeys(name.split("/")[0] for name in names.values()))
    if options.supervised_keys is not None:
        keys = tuple(options.supervised_keys)
        if isinstance(options.supervised_keys, str) or len(keys) not in (2, 3) or not all(key in tops for key in keys):
            raise ArgumentError(
                f"{wording.argument('supervised_keys')} must be 2 or 3 of {sorted(tops)} (got {options.supervised_keys!r})"
            )
        return keys
    if len(positions) != 2:
        return None
    first, second = (
        next(name for source, name in names.items() if source.split("/")[0] == position).split("/")[0] for position in positions
    )
    return first, second
