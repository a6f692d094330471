"""How a plan differs from the one of an export that was stopped, in words, each difference once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from exporters import wording
from exporters.plans.plan import Plan
from tfds_builder.aliases import Json, JsonMapping

_NONE = "none"
_KINDS: Mapping[str, str] = {
    "range": "indices in order",
    "indices": "indices that a sampler draws",
    "state": "a loader that has a state",
    "stream": "a stream",
}
"""The kinds of `order.Source` in words for a reader."""
_LONGEST = 80


def differences(before: Plan, now: Plan) -> list[str]:
    """What differs between two plans: arguments first, then loaders, then feature by feature.

    What follows from another difference is left out: decisions, stored columns, whatever a renamed feature brings with it.

    >>> differences(plan, dataclasses.replace(plan, shard_bytes=8))             # doctest: +SKIP
    ['shard_bytes: 268435456, now 8']
    """
    found = [*_arguments(before, now), *_loaders(before, now), *_features(before, now)]
    if not found:  # what usually follows from the rest
        found = list(_of_lists(before, now))
    if not found:
        old, new = (dict(_facts(json.loads(plan.to_json()))) for plan in (before, now))
        found = [f"{name}: {_short(old.get(name))}, now {_short(new.get(name))}" for name in _keys(old, new)]
    return found


def _arguments(before: Plan, now: Plan) -> Iterator[str]:
    for name in ("name", "version", "format", "shard_bytes", "seed", "config_description"):
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            yield f"{wording.called(name)}: {_argument(name, old)}, now {_argument(name, new)}"
    if before.config_name != now.config_name:
        yield f"{wording.called('config')}: {before.config_name or _NONE}, now {now.config_name or _NONE}"
    for field in _keys(before.card, now.card):
        name = wording.either(f"card {field}", wording.called(field))
        yield f"{name}: {_short(before.card.get(field, ''))}, now {_short(now.card.get(field, ''))}"
    for version in _keys(before.release_notes, now.release_notes):
        old, new = (plan.release_notes.get(version) for plan in (before, now))
        yield f"{wording.called('release_notes')} of {version}: {_short(old)}, now {_short(new)}"
    for library in _keys(before.codecs, now.codecs):
        yield f"version of {library}: {_short(before.codecs.get(library))}, now {_short(now.codecs.get(library))}"
    if before.producer != now.producer:
        yield f"written by: {before.producer}, now {now.producer}"


def _argument(name: str, value: object) -> str:
    return wording.amount(name, value) if name in ("format", "shard_bytes", "name", "version") else _short(value)


def _loaders(before: Plan, now: Plan) -> Iterator[str]:
    if before.splits != now.splits:
        yield f"splits: {', '.join(before.splits)}, now {', '.join(now.splits)}"
    for split in before.splits:
        old, new = before.sources.get(split, {}), now.sources.get(split, {})
        if not new:
            continue
        differing = _keys(old, new)
        if len(differing) > 1 and "kind" in differing:
            differing.remove("kind")  # it follows from the rest
        if differing:
            changes = [f"{name} {_fact(name, old)}, now {_fact(name, new)}" for name in differing]
            yield f"loader of split {split!r}: " + ", ".join(changes)


def _fact(name: str, source: JsonMapping) -> str:
    value = source.get(name)
    if name == "kind":
        return _KINDS.get(str(value), str(value))
    return _NONE if value is None else str(value)


def _features(before: Plan, now: Plan) -> Iterator[str]:
    old, new = dict(_leaves(before.features)), dict(_leaves(now.features))
    differing = _keys(old, new)
    for name in differing:
        yield f"feature {name!r}: {_change(old.get(name), new.get(name))}"
    for name in _keys(before.labels, now.labels):
        if name not in differing:
            yield f"feature {name!r}: {_labels(before.labels.get(name, []), now.labels.get(name, []))}"
    for name in old:
        if name not in differing:
            yield from _sources(name, before, now)
    rules, others = ({table["name"]: table["rule"] for table in plan.integers} for plan in (before, now))
    for name in _keys(rules, others):
        if name not in differing:
            yield f"feature {name!r}: {wording.called('integers')} {rules.get(name, _NONE)}, now {others.get(name, _NONE)}"
    if before.supervised_keys != now.supervised_keys and (_fits(before, old) == _fits(now, new) == _fits(before, new)):
        keys = (_short(plan.supervised_keys and ", ".join(plan.supervised_keys)) for plan in (before, now))
        yield f"{wording.called('supervised_keys')}: {', now '.join(keys)}"


def _fits(plan: Plan, leaves: JsonMapping) -> bool:
    tops = {name.split("/")[0] for name in leaves}
    return set(plan.supervised_keys or ()) <= tops


def _leaves(content: JsonMapping, prefix: str = "") -> Iterator[tuple[str, JsonMapping]]:
    """The leaves of TFDS's JSON of features, by flat name."""
    for name, feature in sorted(content.get("featuresDict", {}).get("features", {}).items()):
        if "featuresDict" in feature:
            yield from _leaves(feature, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", feature


def _change(old: JsonMapping | None, new: JsonMapping | None) -> str:
    before, now = (_describe(feature) if feature else _NONE for feature in (old, new))
    if before != now:
        return f"{before}, now {now}"
    facts, others = (dict(_facts(feature or {})) for feature in (old, new))
    words = [f"{name} {facts.get(name, _NONE)}, now {others.get(name, _NONE)}" for name in _keys(facts, others)]
    return f"{before}, {', '.join(words)}"


def _describe(feature: JsonMapping) -> str:
    """A feature in a few words: `Tensor uint8 (32, 32, 3)`."""
    kind = str(feature.get("pythonClassName", "feature")).rpartition(".")[2]
    if "classLabel" in feature:
        return f"{kind} of {feature['classLabel'].get('numClasses', 'unknown')} classes"
    if "sequence" in feature:
        length = int(feature["sequence"].get("length", -1))
        return f"{kind} of " + (f"{length} " if length >= 0 else "") + _describe(feature["sequence"].get("feature", {}))
    if "featuresDict" in feature:
        return "{" + ", ".join(f"{name}: {_describe(item)}" for name, item in _leaves(feature)) + "}"
    body = next((value for key, value in feature.items() if key != "pythonClassName" and isinstance(value, dict)), {})
    words = [kind, *([str(body["dtype"])] if "dtype" in body else [])]
    if "shape" in body:
        sizes = [_NONE.title() if int(size) < 0 else size for size in body["shape"].get("dimensions", [])]
        words.append(f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})")
    return " ".join(words)


def _facts(value: object, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every scalar and list of scalars in JSON, by the names and numbers on the way to it."""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _facts(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value))
    else:
        yield path, value


def _labels(old: Sequence[str], new: Sequence[str]) -> str:
    if not old or not new:
        return f"{'class names' if old else 'no class names'}, now {'class names' if new else 'none'}"
    number = next((i for i, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), None)
    if number is None:
        return f"{len(old)} class names, now {len(new)}"
    return f"class {number} {old[number]!r}, now {new[number]!r}"


def _sources(name: str, before: Plan, now: Plan) -> Iterator[str]:
    """What the loader gives of a feature that is declared as it was."""
    old, new = (
        {column["name"]: column for column in plan.columns if f"{column['name']}/".startswith(f"{name}/")}
        for plan in (before, now)
    )
    for column in old.keys() & new.keys():
        for fact, word in (("source_layout", "layout"), ("source_dtype", "dtype")):
            was, is_now = old[column].get(fact) or _NONE, new[column].get(fact) or _NONE
            if was != is_now:
                yield f"feature {column!r}: {word} of the loader {was}, now {is_now}"


def _of_lists(before: Plan, now: Plan) -> Iterator[str]:
    words = {"decisions": "decided", "row_lists": "lists that have an item a row", "sequences": "lists that are sequences"}
    for name, text in words.items():
        old, new = (list(getattr(plan, name)) for plan in (before, now))
        if old != new:
            gone, come = [item for item in old if item not in new], [item for item in new if item not in old]
            yield f"{text}: {_short('; '.join(gone) or _NONE)}, now {_short('; '.join(come) or _NONE)}"


def _keys(old: JsonMapping, new: JsonMapping) -> list[str]:
    """The keys whose values differ, in order."""
    return [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]


def _short(value: object) -> str:
    text = _NONE if value in (None, "") else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
