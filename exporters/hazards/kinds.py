"""The hazards by name, what an inspection finds, and what the caller wants done about each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

from exporters import wording
from exporters.errors import ArgumentError
from exporters.outcome import Action, HazardName

ACTIONS = get_args(Action)
DEFAULT = "default"


@dataclasses.dataclass(frozen=True)
class Kind:
    """One hazard: when it is found, what it means, and the line that mends it."""

    found: str
    meaning: str
    remedy: str


BEFORE, DRAINING, END = "before the first byte", "while draining", "at the end of the split"

HAZARDS: Mapping[HazardName, Kind] = {
    "drop_last": Kind(BEFORE, "`drop_last=True` leaves out the last, short batch", "DataLoader(..., drop_last=False)"),
    "sampler_repeats": Kind(
        BEFORE, "the sampler draws with replacement: examples repeat, others are missing", "DataLoader(..., shuffle=True)"
    ),
    "sampler_shorter": Kind(
        BEFORE,
        "the samplers of all splits together draw fewer examples than their dataset has",
        "DataLoader(dataset, sampler=None)",
    ),
    "random_transform": Kind(
        BEFORE,
        "a random transform: the export freezes one draw of it for ever",
        "dataset.transform = None  # and no such collate_fn: export what is fixed, augment where you train",
    ),
    "workers_repeat": Kind(
        DRAINING,
        "every worker of an iterable dataset gives the same rows",
        "shard in __iter__: itertools.islice(rows, info.id, None, info.num_workers) with torch.utils.data.get_worker_info()",
    ),
    "more_examples": Kind(
        DRAINING,
        "the loader gives more examples than its sampler or its dataset's length promised: examples may be cut into rows",
        "let each row be one example: DataLoader(dataset, batch_size=64); if each item of the dataset is a batch: "
        "DataLoader(dataset, batch_size=1, collate_fn=operator.itemgetter(0))",
    ),
    "layout_doubtful": Kind(
        DRAINING,
        "`layouts=` takes another axis for the channels than the shape shows: images would be stored on their side",
        'say where the channels are: layouts={"image": "NCHW"}',
    ),
    "float_images": Kind(
        DRAINING,
        "float images of evenly spaced values that 8 bits can hold: several times the size, and no viewer shows them",
        "leave ToTensor() and Normalize() out of the export: torchvision.transforms.v2.PILToTensor()",
    ),
    "padding": Kind(
        DRAINING,
        "collate_fn pads rows of different lengths: the padding is stored, and the lengths are not",
        'add the lengths to the batch in collate_fn, {"length": torch.tensor([len(row) for row in rows])}, '
        'and say unpad={"tokens": "length"}',
    ),
    "not_finite": Kind(DRAINING, "NaN or infinite values", "drop or fill them: torch.nan_to_num(x)"),
    "duplicates": Kind(END, "examples that equal an earlier one of the split, bit for bit", "drop them from the dataset"),
    "shared_examples": Kind(
        END, "examples that are in an earlier split too, bit for bit", "give each split its own part of the dataset"
    ),
    "single_class": Kind(END, "the label has one value in the whole split", "shuffle before you split the dataset"),
    "examples_missing": Kind(
        END,
        "the loader gave fewer examples than its sampler or its dataset's length promised",
        "let collate_fn keep every example",
    ),
}
"""Every hazard by its name. docs/hazards.md has the same table, and the rules."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What an inspection or observation says; `text` completes the sentence that begins with the split.

    `remedy` is what mends it, where that is more than the table says: it has the names of the features.
    """

    name: HazardName
    count: int | None
    text: str
    remedy: str = ""


def check_policy(on_hazard: Any) -> dict[str, str]:
    """What to do about each hazard.

    Args:
      on_hazard: "error", "warn" or "ignore" for all of them, or a mapping of hazard name to one of
        these; the key "default" stands for those not named, and is "warn" if it is not there.

    Raises:
      ArgumentError: an unknown hazard or action.
    """
    given = dict(on_hazard) if isinstance(on_hazard, Mapping) else {DEFAULT: on_hazard}
    for name, action in given.items():
        if name != DEFAULT and name not in HAZARDS:
            raise ArgumentError(
                f"{wording.argument('on_hazard')} names {name!r:.80}, which is no hazard; "
                f"hazards: {', '.join((*HAZARDS, DEFAULT))}"
            )
        if action not in ACTIONS:
            raise ArgumentError(
                f"{wording.called('on_hazard')} must be 'error', 'warn' or 'ignore', "
                f"or {wording.either('a mapping of hazards to those', 'HAZARD=ACTION')} "
                f"(got {action!r:.80}); for example {wording.argument('on_hazard', {'drop_last': 'ignore'})}"
            )
    return {name: given.get(name, given.get(DEFAULT, "warn")) for name in HAZARDS}
