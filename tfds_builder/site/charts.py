"""Statistics as a page draws them: balance of classes, and the values of every feature with what they are of.

>>> charts_of(statistics)["values"]["image"]["text"]                   # doctest: +SKIP
'mean 77.7, std 95.9, 0 to 255'

Plain JSON, kept beside the examples. Numbers of a sample say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfds_builder.pages.figures import Classes
from tfds_builder.pages.statistics import FeatureStatistics, Statistics
from tfds_builder.pages.texts import cap

CLASSES, SPLITS, FEATURES, LABELS = 40, 4, 150, 3
"""Classes, splits, features and labels that are drawn at most."""
SPARK = 60
_NAME, _LACKING = 60, 10


def charts_of(statistics: Statistics) -> dict[str, Any]:
    """What a page draws of statistics.

    Returns:
      `balance`: of each label, counts and shares by class and split; `values`: of each feature, bins and words; `spark`: counts
      of the classes of the first label in the split that `values` are of, for the index.
    """
    splits = dict(list(statistics.splits.items())[:SPLITS])
    names = list(dict.fromkeys(name for split in splits.values() for name in split.features))[:FEATURES]
    main = next((name for name in ("train", *splits) if name in splits and splits[name].examples), None)
    by_split = {name: {key: split.features[name] for key, split in splits.items()} for name in names}
    balance = [] if main is None else [found for name in names if (found := _balance(name, by_split[name], main))]
    values = {} if main is None else {name: _values(splits[main].features[name]) for name in names}
    return {
        "split": main and str(cap(main, _NAME)),
        "balance": balance[:LABELS],
        "spark": balance[0]["spark"] if balance else [],
        "values": {str(cap(name, 120)): found for name, found in values.items() if found is not None},
    }


def _balance(name: str, features: Mapping[str, FeatureStatistics], main: str) -> dict[str, Any] | None:
    """How often each class of a label occurs, in each split; None of what is no label. `main` is the split that comes first."""
    found = {split: feature.classes for split, feature in features.items() if feature.classes is not None}
    if not found:
        return None
    main = main if main in found else next(iter(found))
    first = found[main]
    totals: dict[int, int] = {}
    for classes in found.values():
        for number, count in classes.counts.items():
            totals[number] = totals.get(number, 0) + count
    if not totals:
        return None
    shown = sorted(totals)
    if len(shown) > CLASSES:
        often = sorted(totals, key=lambda number: (-totals[number], number))
        shown = often[: CLASSES // 2] + often[-(CLASSES - CLASSES // 2) :]
    rows = [
        {
            "name": str(cap(first.name(number), _NAME)),
            "counts": [classes.counts.get(number, 0) for classes in found.values()],
            "shares": [_share(number, classes) for classes in found.values()],
        }
        for number in shown
    ]
    of = first.num_classes or len(totals)
    lacking = sorted(totals.keys() - {number for number, count in first.counts.items() if count})
    return {
        "feature": str(cap(name, 120)),
        "splits": [str(cap(split, _NAME)) for split in found],
        "rows": rows,
        "left_out": len(totals) - len(shown),
        "text": f"{cap(main, _NAME)}: {_tell_balance(first, of)}" if len(found) > 1 else _tell_balance(first, of),
        "lacking": {
            "split": str(cap(main, _NAME)),
            "names": [str(cap(first.name(number), _NAME)) for number in lacking[:_LACKING]],
            "cut": max(0, len(lacking) - _LACKING),
        },
        "unlabelled": ", ".join(
            f"{classes.unlabelled:,}{f' of {cap(split, _NAME)}' if len(found) > 1 else ''}"
            for split, classes in found.items()
            if classes.unlabelled
        ),
        "spark": _bins([first.counts.get(number, 0) for number in sorted(totals)]),
    }


def _share(number: int, classes: Classes) -> str:
    """How much of the labels of a split a class is."""
    total = sum(classes.counts.values())
    return f"{100 * classes.counts.get(number, 0) / total:.1f} %" if total else "-"


def _tell_balance(found: Classes, classes: int) -> str:
    """How even the classes of a split are, in words."""
    counts = [count for count in found.counts.values() if count]
    if not counts:
        return f"none of {classes:,} classes occurs"
    least, most = min(counts), max(counts)
    occur = f"{len(counts):,} of {classes:,} classes {'occurs' if len(counts) == 1 else 'occur'}"
    parts = [occur if len(counts) < classes else f"{classes:,} classes"]
    if len(counts) > 1:
        ratio = most / least
        parts.append("all of them as often" if least == most else f"the most frequent {ratio:,.1f} times as often as the rarest")
    return ", ".join(parts)


def _bins(counts: Sequence[int]) -> list[int]:
    """Counts for a small drawing: the largest of neighbours, where there are very many."""
    step = -(-len(counts) // SPARK)
    return [max(counts[start : start + step]) for start in range(0, len(counts), step)]


def _values(feature: FeatureStatistics) -> dict[str, Any] | None:
    """The values of a feature: bins, and words that say what they are of; None if there is nothing to say."""
    words: list[str] = []
    bins: Sequence[int] = ()
    numbers, lengths = feature.values, feature.lengths
    sample = ""
    if numbers is not None and numbers.count:
        if numbers.mean is not None and numbers.std is not None:
            words.append(f"mean {numbers.mean:.4g}, std {numbers.std:.4g}")
        words.append(f"{numbers.minimum:.6g} to {numbers.maximum:.6g}")
        bins = numbers.histogram.counts if numbers.histogram is not None else ()
        sample = f"a sample of {numbers.rows:,} examples" if numbers.is_sample else ""
    if lengths is not None and lengths.mean is not None:
        words.append(f"{lengths.minimum:,} to {lengths.maximum:,} {lengths.unit}, mean {lengths.mean:,.1f}")
        bins = bins or (lengths.histogram.counts if lengths.histogram is not None else ())
    if feature.strings is not None and feature.strings.distinct is not None:
        words.append(f"{feature.strings.distinct:,} different")
    if feature.not_finite is not None and (feature.not_finite.nan or feature.not_finite.infinite):
        words.append(f"{feature.not_finite.nan:,} NaN, {feature.not_finite.infinite:,} infinite")
    if feature.absent:
        words.append(f"{feature.absent:,} have none")
    if feature.note:
        words.append(str(cap(feature.note, 160)))
    if not words:
        return None
    return {"bins": list(bins)[:64] if len(bins) > 1 else [], "text": ", ".join(words), "sample": sample}
