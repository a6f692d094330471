"""What `torch2tfds stats` prints. A number that is of a sample is marked with ~, whichever it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from exporters import wording
from exporters.command.arguments import Json, ShowProgress, VersionDir
from tfds_builder.contract.untrusted import printable
from tfds_builder.install import check_tfds

_CLASSES_SHOWN, _STRINGS_SHOWN, _CHANNELS_SHOWN = 12, 5, 4
_BAR = 24
_BLOCKS = "▏▎▍▌▋▊▉█"
_HEIGHTS = "▁▂▃▄▅▆▇█"


EPILOG = (
    "Counts of labels, lengths, NaN and strings are of every example. Images and other arrays of many values are looked "
    "at in at most 1,000 examples a split, evenly spaced, unless --exact is given; numbers of such a sample are marked with ~ "
    "(in JSON: is_sample). What was found is kept in DATA_DIR/.catalog, so that the second time is quick.\n\n"
    "In Python: tfds_builder.statistics('NAME') has the mean and variance that Keras' Normalization and torchvision's "
    "Normalize take."
)


def stats(
    path: VersionDir,
    exact: Annotated[bool, typer.Option("--exact", help="Look at every example, however long that takes.")] = False,
    progress: ShowProgress = None,
    as_json: Json = False,
) -> None:
    """Count what a published version holds: balance of classes, ranges, means, lengths, NaN, most common strings."""
    check_tfds()
    from exporters.progress import Progress
    from tfds_builder.pages.statistics import statistics_of

    with Progress(progress, None, "stats", unit="B") as bar:
        found = statistics_of(path, exact=exact, on_bytes=bar.add)
    if as_json:
        print(json.dumps(found.to_json(), indent=2, allow_nan=False))
        return
    print(printable(f"{found.name}  {path}"))
    for name, split in found.splits.items():
        print(printable(f"{name}: {wording.plural(split.examples, 'example')}, {split.bytes:,} bytes"))
        for feature in split.features.values():
            for line in _describe(feature):
                print(f"  {printable(line)}")
    if not found.is_exact:
        rows = max(numbers.rows for numbers in _samples(found))
        print(
            f"~ is an estimate from {rows:,} examples of a split, evenly spaced; --exact looks at every one. All other numbers "
            "are exact."
        )


def _samples(found: Any) -> Iterator[Any]:
    for split in found.splits.values():
        for feature in split.features.values():
            yield from (part for part in (feature.values, feature.shapes) if part is not None and part.is_sample)


def _describe(feature: Any) -> Iterator[str]:
    """The lines about one feature."""
    shape = f" {feature.shape}" if feature.shape else ""
    yield f"{feature.name}: {feature.kind}{shape} {feature.dtype}"
    if feature.note:
        yield f"  {feature.note}"
    if feature.absent:
        yield f"  {wording.plural(feature.absent, 'example')} without a value"
    if feature.lengths is not None and feature.lengths.minimum is not None:
        lengths = feature.lengths
        yield f"  {lengths.unit}: {lengths.minimum:,} to {lengths.maximum:,}, mean {lengths.mean:,.6g}"
    if feature.shapes is not None:
        mark = "~" if feature.shapes.is_sample else ""
        yield f"  shapes: {mark}{feature.shapes.smallest} to {mark}{feature.shapes.largest}"
    if feature.classes is not None:
        yield from _describe_classes(feature.classes)
    if feature.strings is not None:
        yield from _describe_strings(feature.strings)
    if feature.values is not None:
        yield f"  {_numbers(feature.values)}"
        if 1 < len(feature.channels) <= _CHANNELS_SHOWN:
            for number, channel in enumerate(feature.channels):
                yield f"    channel {number}: {_numbers(channel)}"
    if feature.not_finite is not None and (feature.not_finite.nan or feature.not_finite.infinite):
        yield f"  {feature.not_finite.nan:,} NaN, {feature.not_finite.infinite:,} infinite"


def _numbers(numbers: Any) -> str:
    if numbers.minimum is None:
        return "no finite value"
    mark = "~" if numbers.is_sample else ""
    mean, std = ("too large" if value is None else f"{mark}{value:.6g}" for value in (numbers.mean, numbers.std))
    text = f"{mark}{numbers.minimum:.6g} to {mark}{numbers.maximum:.6g}, mean {mean}, std {std}"
    drawn = _sparkline(numbers.histogram.counts) if numbers.histogram is not None else ""
    return f"{text}  {mark}{drawn}" if drawn else text


def _sparkline(counts: tuple[int, ...]) -> str:
    """A histogram in one line; nothing where the output has no letters for it.

    >>> _sparkline((0, 1, 8))
    '▁▁█'
    """
    if not _can_draw():
        return ""
    highest = max(counts) or 1
    return "".join(_HEIGHTS[min(len(_HEIGHTS) - 1, count * len(_HEIGHTS) // highest)] for count in counts)


def _describe_classes(classes: Any) -> Iterator[str]:
    there = sorted(classes.counts.items())
    total = f"{classes.num_classes:,} classes" if classes.num_classes else f"{len(there):,} different labels"
    if there:
        counts = sorted(classes.counts.values())
        total += f", {counts[0]:,} to {counts[-1]:,} of a class that occurs"
    missing = (classes.num_classes or len(there)) - len(there)
    if missing > 0:
        total += f"; {missing:,} never {'occurs' if missing == 1 else 'occur'}"
    if classes.unlabelled:
        total += f"; {classes.unlabelled:,} without a label (-1)"
    yield f"  {total}"
    shown = there if len(there) <= _CLASSES_SHOWN else sorted(there, key=lambda item: -item[1])
    highest = max((count for _, count in there), default=1)
    width = max((len(classes.name(number)) for number, _ in shown[:_CLASSES_SHOWN]), default=0)
    for number, count in shown[:_CLASSES_SHOWN]:
        yield f"    {classes.name(number)[:32]:<{min(width, 32)}}  {_bar(count / highest)} {count:,}"
    if len(shown) > _CLASSES_SHOWN:
        yield f"    ... {len(shown) - _CLASSES_SHOWN:,} more, each {shown[_CLASSES_SHOWN][1]:,} at most; --json has all"


def _can_draw() -> bool:
    """Whether standard output has block characters."""
    try:
        (_BLOCKS + _HEIGHTS).encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _bar(share: float) -> str:
    if not _can_draw():
        return "#" * max(1, round(share * _BAR))
    eighths = round(share * _BAR * len(_BLOCKS))
    full, rest = divmod(eighths, len(_BLOCKS))
    return (_BLOCKS[-1] * full + (_BLOCKS[rest - 1] if rest else "")) or _BLOCKS[0]


def _describe_strings(strings: Any) -> Iterator[str]:
    if strings.distinct is None:
        yield f"  too many different ones to count (more than {strings.limit:,}, or long ones)"
        return
    yield f"  {strings.distinct:,} different"
    for text, count in strings.most_common[:_STRINGS_SHOWN]:
        if count > 1:
            yield f"    {count:,} times {text[:60]!r}"
