"""What the features of a batch are called, and which of them are input and target."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from exporters import wording
from exporters.batches.flatten import Parts
from exporters.errors import ArgumentError
from exporters.options.checks import NAME_BYTES
from exporters.options.features import Options
from exporters.tensors import layout as layout_lib

_UNSAFE_FEATURE = re.compile(r"[/\x00-\x1f\x7f\ud800-\udfff]")


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
    if not part or part in (".", "..", "tfds_id") or _UNSAFE_FEATURE.search(part) or len(part.encode()) > NAME_BYTES:
        raise ArgumentError(
            f"feature name {part!r:.80} cannot be stored: it must not be empty, '.', '..', 'tfds_id' or longer than "
            f"{NAME_BYTES} bytes, nor hold '/', control characters or surrogates; "
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
