"""Flat names, "target/boxes", of what TFDS nests in dicts."""

from __future__ import annotations

from collections.abc import Mapping

from tfds_builder.aliases import Leaf, Nested


def join(*parts: str) -> str:
    """A flat name of its parts, of which any may be empty.

    >>> join("target", "", "boxes")
    'target/boxes'
    """
    return "/".join(filter(None, parts))


def nest(flat: Mapping[str, Leaf]) -> Nested:
    """Flat names to the nested dict that TFDS yields.

    >>> nest({"a": 1, "b/c": 2})
    {'a': 1, 'b': {'c': 2}}
    """
    nested: Nested = {}
    for name, value in flat.items():
        *parents, leaf = name.split("/")
        level = nested
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = value
    return nested


def flatten_nested(example: Mapping[str, Leaf], prefix: str = "") -> list[tuple[str, Leaf]]:
    """A nested dict as (flat name, value), in its own order.

    >>> flatten_nested({"a": 1, "b": {"c": 2}})
    [('a', 1), ('b/c', 2)]
    """
    flat: list[tuple[str, Leaf]] = []
    for name, value in example.items():
        flat += flatten_nested(value, f"{prefix}{name}/") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return flat


def presence_name(name: str) -> str:
    """The column (bool) that says whether an optional feature of that name has a value in a row.

    TFDS leaves what is None out of an Example, and gives a default value for it; that value may have been given too.
    """
    return f"{name}.is_present"
