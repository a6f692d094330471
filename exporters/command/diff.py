"""What `torch2tfds diff` prints."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from exporters import wording
from exporters.command.arguments import Json, ShowProgress, to_path
from tfds_builder.contract.untrusted import printable
from tfds_builder.install import check_tfds

_CLASSES_SHOWN, _COLUMNS_SHOWN = 12, 6

EPILOG = (
    "Examples are told apart by the values of their stored columns, whatever the format: came is only in AFTER, went only in "
    "BEFORE, changed is what stands at the same place among those that are in both. Labels whose classes have other numbers are "
    "compared by class. Descriptions, notes, formats and shards are not compared. Where the manifests are the same, examples are "
    "not read; verify reads them.\n\n"
    "In a script: torch2tfds diff data/digits/1.0.0 data/digits/1.1.0 --quiet && echo nothing changed"
)


def diff(
    before: Annotated[pathlib.Path, typer.Argument(metavar="BEFORE", help="A published version.", parser=to_path)],
    after: Annotated[pathlib.Path, typer.Argument(metavar="AFTER", help="Another one, or of another dataset.", parser=to_path)],
    progress: ShowProgress = None,
    as_json: Json = False,
) -> None:
    """Show what changed between two versions: features, counts, classes, examples. Exits 0 if nothing, 1 if something did."""
    check_tfds()
    from exporters.progress import Progress
    from tfds_builder.checks.comparison import compare

    with Progress(progress, None, "diff", unit="B") as bar:
        found = compare(before, after, bar.add)
    if as_json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        for line in _describe(found, before, after):
            print(printable(line))
    raise typer.Exit(0 if found.is_same else 1)


def _describe(found: Any, before: pathlib.Path, after: pathlib.Path) -> Iterator[str]:
    yield f"{found.before} ({before}) -> {found.after} ({after})"
    if found.is_same:
        yield "the same features and examples, in the same order"
    if not found.is_read:
        yield "the manifests are the same; the files are there with their sizes, and were not read (torch2tfds verify reads them)"
    for change in found.features:
        if change.before is None:
            yield f"+ {change.name}: {change.after}"
        elif change.after is None:
            yield f"- {change.name}: {change.before}"
        else:
            yield f"~ {change.name}: {change.before} -> {change.after}"
    for name, split in found.splits.items():
        yield f"{name}: {_counts(split, found)}"
        yield from _details(split)
    if found.features and found.compared_by:
        without = f", and not by {', '.join(found.not_compared)}" if found.not_compared else ""
        yield f"examples were compared by {', '.join(found.compared_by)}{without}"
        for label in found.by_class_name:
            yield f"{label} was compared by the names of its classes, which have other numbers now"
    elif not found.compared_by:
        yield "examples could not be compared: no column is stored in the same way in both"


def _counts(split: Any, found: Any) -> str:
    if split.before is None:
        return f"a new split, {wording.plural(split.after, 'example')}"
    if split.after is None:
        return f"gone, {wording.plural(split.before, 'example')}"
    if not found.compared_by:
        before = "" if split.before == split.after else f"{split.before:,} -> "
        return f"{before}{wording.plural(split.after, 'example')}, which could not be compared"
    if split.is_same:
        return f"{wording.plural(split.after, 'example')}, the same{_alone(found)}"
    counts = {"came": split.came, "went": split.went, "changed": split.changed}
    parts = [f"{split.kept:,} kept", *(f"{count:,} {word}" for word, count in counts.items() if count)]
    order = "; those kept are in another order" if split.is_reordered else ""
    return f"{split.before:,} -> {wording.plural(split.after, 'example')}: {', '.join(parts)}{order}{_alone(found)}"


def _alone(found: Any) -> str:
    """What was compared of the examples, if that is not all of them."""
    are_all_shared = all(change.before is not None and change.after is not None for change in found.features)
    if are_all_shared and not found.not_compared:
        return ""
    more = len(found.compared_by) - _COLUMNS_SHOWN
    return f"; compared by {', '.join(found.compared_by[:_COLUMNS_SHOWN])}{f' and {more:,} more' if more > 0 else ''} alone"


def _details(split: Any) -> Iterator[str]:
    rows = {
        "came, by number in the new version": (split.came_rows, split.came),
        "went, by number in the old version": (split.went_rows, split.went),
        "changed, by number in the old version": (split.changed_rows, split.changed),
    }
    for word, (numbers, count) in rows.items():
        if numbers:
            yield f"  {word}: {', '.join(map(str, numbers))}{', ...' if count > len(numbers) else ''}"
    for other, count in split.moved_from.items():
        yield f"  {count:,} of what is new here {'was' if count == 1 else 'were'} in split {other!r} before"
    for label, classes in split.classes.items():
        ordered = sorted(classes.items(), key=lambda item: -abs(item[1][1] - item[1][0]))
        shown = [f"{name} {old:,} -> {new:,}" for name, (old, new) in ordered[:_CLASSES_SHOWN]]
        more = f", and {len(ordered) - _CLASSES_SHOWN:,} more classes" if len(ordered) > _CLASSES_SHOWN else ""
        yield f"  {label}: {', '.join(shown)}{more}"
