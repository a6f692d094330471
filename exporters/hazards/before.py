"""What a loader itself shows before it is drained: its sampler, its `drop_last`, its random transforms.

Transforms are known by what they are called and by their attributes, whichever library they come from.
"""

from __future__ import annotations

import contextlib
import functools
import inspect as inspect_lib
from collections.abc import Iterable, Iterator

from exporters import wording
from exporters.aliases import Collate, Component, Dataset, Examples, Loader, Sampler
from exporters.hazards.base import BEFORE, Finding, HazardKind
from exporters.loaders import facts as loader_lib
from exporters.loaders import items as items_lib
from exporters.loaders.datasets import datasets_of, transforms_of
from exporters.loaders.random_state import random_state_kept
from exporters.tensors.copies import copy_example

_RANDOM_WORDS = (
    "AutoAugment",
    "RandAugment",
    "TrivialAugment",
    "AugMix",
    "MixUp",
    "Mixup",
    "CutMix",
    "Jitter",
    "ElasticTransform",
)
"""In the name of a transform that draws at random, though the name does not begin with `Random`."""
_COLLATED, _AGAIN = 16, 2
"""Examples that `collate_fn` is given, at most, to see whether it draws at random, and how often after the first time."""


class DropLast(HazardKind[None, None]):
    """The last, short batch is left out, by the loader or by a stage of the pipeline that it reads."""

    name, found = "drop_last", BEFORE
    meaning = "`drop_last=True` leaves out the last, short batch"
    remedy = "DataLoader(..., drop_last=False)"

    @classmethod
    def before(cls, loader: Loader, loaders: Iterable[Loader], *, reads: bool, seeded: bool) -> Iterator[Finding]:
        yield from _find_dropped(loader)


class SamplerRepeats(HazardKind[None, None]):
    """The sampler has `replacement=True`."""

    name, found = "sampler_repeats", BEFORE
    meaning = "the sampler draws with replacement: examples repeat, others are missing"
    remedy = "DataLoader(..., shuffle=True)"

    @classmethod
    def before(cls, loader: Loader, loaders: Iterable[Loader], *, reads: bool, seeded: bool) -> Iterator[Finding]:
        sampler = _sampler_of(loader)
        if getattr(sampler, "replacement", False) is True:
            drawn, total = loader_lib.length_of(sampler), loader_lib.length_of(loader.dataset)
            count = "" if drawn is None or total is None else f": {drawn:,} draws from {wording.plural(total, 'example')}"
            yield Finding("sampler_repeats", drawn, f"{type(sampler).__name__} draws with replacement{count}")


class SamplerShorter(HazardKind[None, None]):
    """The samplers of all splits of one dataset together are shorter than it."""

    name, found = "sampler_shorter", BEFORE
    meaning = "the samplers of all splits together draw fewer examples than their dataset has"
    remedy = "DataLoader(dataset, sampler=None)"

    @classmethod
    def before(cls, loader: Loader, loaders: Iterable[Loader], *, reads: bool, seeded: bool) -> Iterator[Finding]:
        sampler, total = _sampler_of(loader), loader_lib.length_of(loader.dataset)
        if sampler is None or total is None:
            return
        samplers = [loader_lib.sampler_of(other) for other in loaders if other.dataset is loader.dataset]
        sizes = [loader_lib.length_of(item) for item in {id(item): item for item in samplers}.values()]
        if None not in sizes and (missing := total - sum(size or 0 for size in sizes)) > 0:
            text = f"the sampler ({type(sampler).__name__}) leaves out {missing:,} of {total:,} examples"
            yield Finding("sampler_shorter", missing, text)


class RandomTransform(HazardKind[None, None]):
    """A transform draws at random, or the dataset or `collate_fn` give something else each time."""

    name, found = "random_transform", BEFORE
    meaning = "a random transform: the export freezes one draw of it for ever"
    remedy = "dataset.transform = None  # and no such collate_fn: export what is fixed, augment where you train"

    @classmethod
    def before(cls, loader: Loader, loaders: Iterable[Loader], *, reads: bool, seeded: bool) -> Iterator[Finding]:
        names = list(dict.fromkeys(type(item).__name__ for item in transforms_of(loader) if _is_random(item)))
        if names:
            text = f"{', '.join(names)} draws at random, and the export freezes one draw"
        elif reads and loader_lib.reads_differ(loader):
            text = "dataset[0] read twice gives two different examples, and the export freezes one"
        elif reads and _batches_differ(loader):
            name = getattr(items_lib.collate_of(loader), "__qualname__", type(items_lib.collate_of(loader)).__name__)
            text = f"collate_fn ({name}) gives different batches of the same examples, and the export freezes one"
        else:
            return
        if not seeded:
            text += f"; which one depends on the engine and its workers ({wording.passing('seed', 0)} and it does not)"
        yield Finding("random_transform", None, text)


def _find_dropped(loader: Loader, parts: int = 1) -> Iterator[Finding]:
    """Last batches that are left out: the loader's own, and those of stages of the pipeline that it reads.

    Args:
      loader: a DataLoader.
      parts: how many processes run it, and leave out a batch each.
    """
    workers = max(1, loader.num_workers)
    if loader.drop_last and loader.batch_size:
        is_stream = loader_lib.is_iterable(loader)
        total = loader_lib.length_of(loader.dataset) if is_stream else loader_lib.length_of(loader.sampler)
        if is_stream and (total is None or workers > 1):
            yield from _find_cut(loader.batch_size, parts * workers, "drop_last=True", "")
        elif total is not None and (missing := total % loader.batch_size):
            yield Finding("drop_last", missing, f"drop_last=True leaves out {missing:,} of {total:,} examples")
    for stage in datasets_of(loader.dataset):
        if items_lib.is_pipeline(stage):
            yield from _find_dropped_by(stage, parts * workers)
        elif getattr(stage, "drop_last", False) is True and isinstance(size := getattr(stage, "batch_size", None), int):
            name = type(stage).__name__  # a datapipe of PyTorch's, or what has its terms
            yield from _find_cut(size, parts * workers, f"drop_last=True of {name}", f"{name}(..., drop_last=False)")


def _find_dropped_by(pipeline: Dataset, parts: int) -> Iterator[Finding]:
    """Last batches that the stages of a pipeline of webdataset's leave out."""
    for stage in pipeline.pipeline:
        if items_lib.is_pipeline(stage):
            yield from _find_dropped_by(stage, parts)
        elif items_lib.is_loader(stage):
            yield from _find_dropped(stage, parts)
        elif getattr(getattr(stage, "f", None), "__name__", "") == "_batched":
            given = inspect_lib.signature(stage.f).bind(None, *stage.args, **stage.kw)
            given.apply_defaults()
            size = given.arguments["batchsize"]
            if not given.arguments["partial"]:
                yield from _find_cut(size, parts, "partial=False of .batched()", f".batched({size}), without partial=False")


def _find_cut(size: int, parts: int, what: str, remedy: str) -> Iterator[Finding]:
    """What is left out at most where nothing tells how many examples there are."""
    if most := (size - 1) * parts:
        yield Finding("drop_last", None, f"{what} leaves out up to {wording.plural(most, 'example')}", remedy)


def _sampler_of(loader: Loader) -> Sampler | None:
    """The sampler of a loader whose draws are examples; None if there is none, or it draws lists of them."""
    sampler = loader_lib.sampler_of(loader)
    draws_lists = sampler is loader.sampler and loader.batch_sampler is None and items_lib.draws_lists(loader)
    return None if draws_lists else sampler


def _batches_differ(loader: Loader) -> bool:
    """Whether `collate_fn` makes different batches, bit for bit, of copies of the same examples; with workers, in one of them.

    False where it is one of PyTorch's own, or cannot be asked. The state of every random generator is put back.
    """
    if not items_lib.has_own_collate(loader) or not loader_lib.is_drawn_by_index(loader):
        return False
    with random_state_kept(loader), contextlib.suppress(Exception):  # whatever it is, the drain will meet it too
        index = next(iter(loader.batch_sampler if loader.batch_sampler is not None else loader.sampler))
        index = index[:_COLLATED] if isinstance(index, list) else index
        return bool(next(loader_lib.draw(loader, functools.partial(_results_differ, loader.collate_fn), [index])))
    return False


def _results_differ(collate: Collate, examples: Examples) -> bool:
    first = collate(copy_example(examples))
    return not all(loader_lib.is_same(first, collate(copy_example(examples))) for _ in range(_AGAIN))


def _is_random(transform: Component) -> bool:
    """Whether a transform draws: by its name, as dropout in training mode, or with a probability between 0 and 1."""
    name, chance = type(transform).__name__, getattr(transform, "p", None)
    if isinstance(chance, bool) or not isinstance(chance, int | float):
        chance = None
    if chance == 0:
        return False
    if "Dropout" in name:
        return bool(getattr(transform, "training", True))
    if name.startswith("Random") or any(word in name for word in _RANDOM_WORDS):
        return True
    return chance is not None and 0 < chance < 1
