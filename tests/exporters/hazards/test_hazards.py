"""Every hazard is found in a loader that has it, by its name and with the right count; near-misses stay silent."""

from __future__ import annotations

import ast
import pathlib
import random
import re
import warnings
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
)  # fmt: skip

from exporters import ExportError, HazardError, HazardWarning, wording
from exporters.command import arguments
from exporters.hazards.digests import Tally
from exporters.hazards.observers import SplitObserver
from exporters.hazards.registry import HAZARDS
from exporters.hazards.watch import Watch
from exporters.outcome import Counts

NUMBERS = torch.arange(40 * 100, dtype=torch.int32).reshape(40, 100)
LABELS = torch.arange(40) % 3
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), np.uint8))
CLEAN = TensorDataset(NUMBERS, LABELS)
ONE_HOT = torch.nn.functional.one_hot(LABELS).float()
MASKS = IMAGES[:, :1] > 200
LARGE_MASKS = torch.arange(128).expand(40, 128, 128) > torch.arange(40).reshape(40, 1, 1)


class Stream(IterableDataset):
    """Rows that workers share, or that each of them gives in full."""

    def __init__(self, rows, *, shared=True, length=None):
        self.rows, self.shared, self.length = rows, shared, length

    def __iter__(self):
        info = get_worker_info()
        return iter(self.rows[info.id :: info.num_workers] if info and self.shared else self.rows)


class SizedStream(Stream):
    def __len__(self):
        return self.length


class Transformed(Dataset):
    """A map-style dataset as torchvision makes them."""

    def __init__(self, transform=None, **attributes):
        self.transform = transform
        vars(self).update(attributes)

    def __len__(self):
        return len(NUMBERS)

    def __getitem__(self, index):
        return NUMBERS[index]


class Noisy(Transformed):
    """Draws at random without telling in any attribute."""

    def __getitem__(self, index):
        return NUMBERS[index] + torch.rand(100)


class Fixed:
    """A transform that draws nothing."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def __call__(self, value):
        return value


class RandomCrop(Fixed):
    pass


class ColorJitter(Fixed):
    pass


CROP = RandomCrop()


def names_a_global(rows):
    return CROP(default_collate(rows))


def names_another(rows):
    return [names_a_global(rows)][0]


def holds(transform):
    return lambda rows: transform(default_collate(rows))


def takes(rows, transform=None):
    return transform(default_collate(rows))


def nests(rows):
    def inner(batch):
        return CROP(batch)

    return inner(default_collate(rows))


class Collator:
    """A collate_fn that is an object."""

    def __init__(self, mixer):
        self.mixer = mixer

    def __call__(self, rows):
        return self.mixer(default_collate(rows))

    def method(self, rows):
        return self.mixer(default_collate(rows))


def draws(generator):
    """A collate_fn that draws, and names nothing that is called so."""

    def collate(rows):
        x, y = default_collate(rows)
        return x + int(generator() * 1000), y

    return collate


def writes_into_its_rows(rows):
    for x, _ in rows:
        x += 1
    return default_collate(rows)


def named(*rows):
    """A collate_fn of the user's own."""
    return {"tokens": torch.stack(rows)} if isinstance(rows[0], torch.Tensor) else {"tokens": torch.stack(list(rows[0]))}


def padded(pad, *, lengths=(5, 9, 3, 7, 12), width=12, first=1):
    rows = torch.full((len(lengths), width), pad)
    for row, length in enumerate(lengths):
        rows[row, :length] = torch.arange(length) + first + 20 * row
    return rows


def normalised(images):
    return (images / 255 - torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).reshape(
        3, 1, 1
    )


def with_values(*values):
    data = NUMBERS.float()
    data[3, : len(values)] = torch.tensor(values)
    return TensorDataset(data, LABELS)


def batches(dataset, **options):
    return DataLoader(dataset, **{"batch_size": 8, **options})


def splits(train, test):
    return {"train": train, "test": test}


def drawing(length, **options):
    return RandomSampler(CLEAN, num_samples=length, generator=torch.Generator().manual_seed(0), **options)


TWICE = TensorDataset(torch.cat([NUMBERS, NUMBERS[:5], NUMBERS[:2]]), torch.cat([LABELS, LABELS[:5], LABELS[:2]]))
ITEMS = list(NUMBERS)

# name of the case -> (hazard, split, count, a word of the message, loaders)
FOUND: dict[str, tuple[str, str, int | None, str, Any]] = {
    "drop_last": ("drop_last", "train", 4, "4 of 40", lambda: batches(CLEAN, batch_size=9, drop_last=True)),
    "drop_last of a sized stream": (
        "drop_last",
        "train",
        4,
        "4 of 40",
        lambda: batches(SizedStream(ITEMS, length=40), batch_size=9, drop_last=True),
    ),
    "drop_last of a stream": (
        "drop_last",
        "train",
        None,
        "up to 8",
        lambda: batches(Stream(ITEMS), batch_size=9, drop_last=True),
    ),
    "replacement": (
        "sampler_repeats",
        "train",
        60,
        "RandomSampler",
        lambda: batches(CLEAN, sampler=drawing(60, replacement=True)),
    ),
    "weights": (
        "sampler_repeats",
        "train",
        40,
        "WeightedRandomSampler",
        lambda: batches(CLEAN, sampler=WeightedRandomSampler([1.0] * 40, 40, generator=torch.Generator().manual_seed(0))),
    ),
    "short sampler": ("sampler_shorter", "train", 30, "30 of 40", lambda: batches(CLEAN, sampler=drawing(10))),
    "short batch sampler": (
        "sampler_shorter",
        "train",
        37,
        "37 of 40",
        lambda: DataLoader(CLEAN, batch_sampler=BatchSampler([1, 2, 3], 2, False)),
    ),
    "short sampler, single examples": (
        "sampler_shorter",
        "train",
        39,
        "39 of 40",
        lambda: DataLoader(list(zip(NUMBERS, LABELS, strict=True)), batch_size=None, sampler=[3]),
    ),
    "two rows an example": (
        "more_examples",
        "train",
        None,
        "more than the 40",
        lambda: batches(ITEMS, collate_fn=lambda rows: torch.cat([torch.stack(rows), torch.stack(rows) + 9000])),
    ),
    "batches as examples": (
        "more_examples",
        "train",
        None,
        "more than the 2",
        lambda: DataLoader([(IMAGES[:20], LABELS[:20]), (IMAGES[20:], LABELS[20:])], batch_size=None),
    ),
    "a stream longer than it says": (
        "more_examples",
        "train",
        None,
        "more than the 39",
        lambda: batches(SizedStream(list(NUMBERS), length=39)),
    ),
    "Random": ("random_transform", "train", None, "RandomCrop", lambda: batches(Transformed(RandomCrop()))),
    "Random, composed": (
        "random_transform",
        "train",
        None,
        "ColorJitter, RandomCrop",
        lambda: batches(Subset(ConcatDataset([Transformed(Fixed(transforms=[ColorJitter(), RandomCrop()]))]), range(40))),
    ),
    "a probability": ("random_transform", "train", None, "Fixed", lambda: batches(Transformed(None, augmentation=Fixed(p=0.3)))),
    "dropout": (
        "random_transform",
        "train",
        None,
        "Dropout1d",
        lambda: batches(Transformed(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Dropout1d(0.2)))),
    ),
    "a target": (
        "random_transform",
        "train",
        None,
        "RandomCrop",
        lambda: batches(Transformed(target_transform={"y": RandomCrop()})),
    ),
    "two reads": ("random_transform", "train", None, "dataset[0]", lambda: batches(Noisy())),
    "workers": ("workers_repeat", "train", None, "2 workers", lambda: batches(Stream(ITEMS, shared=False), num_workers=2)),
    "workers, few rows": (
        "workers_repeat",
        "train",
        None,
        "2 workers",
        lambda: batches(Stream(ITEMS[:3], shared=False), num_workers=2),
    ),
    **{
        f"collate_fn, {name}": (
            "random_transform",
            "train",
            None,
            "RandomCrop",
            partial(lambda f: batches(CLEAN, collate_fn=f), collate),
        )
        for name, collate in {
            "a global": names_a_global,
            "a global of a global": names_another,
            "a closure": holds(CROP),
            "a partial": partial(takes, transform=CROP),
            "a partial of a lambda": partial(takes, transform=lambda batch: CROP(batch)),
            "a function within": nests,
            "an object": Collator(CROP),
            "a method": Collator(CROP).method,
            "a default": lambda rows, crop=CROP: crop(default_collate(rows)),
        }.items()
    },
    **{
        f"collate_fn that draws, {name}": (
            "random_transform",
            "train",
            None,
            "different batches of the same examples",
            partial(lambda f, n: batches(CLEAN, collate_fn=draws(f), num_workers=n), generator, workers),
        )
        for name, generator, workers in (
            ("torch", lambda: torch.rand(()), 0),
            ("NumPy", np.random.rand, 0),
            ("Python", random.random, 0),
            ("torch, in a worker", lambda: torch.rand(()), 1),
        )
    },
    "collate_fn of single examples": (
        "random_transform",
        "train",
        None,
        "different batches",
        lambda: DataLoader(CLEAN, batch_size=None, collate_fn=lambda pair: (pair[0] + torch.randint(9, ()), pair[1])),
    ),
    "another axis as channels": (
        "layout_doubtful",
        "train",
        None,
        "16 channels, and H of 3",
        lambda: batches(TensorDataset(IMAGES)),
    ),
    "ToTensor, of many sizes": (
        "float_images",
        "train",
        None,
        "'image' has",
        lambda: batches([(image[:, : 9 + n % 4] / 255, n) for n, image in enumerate(IMAGES)], collate_fn=list),
    ),
    "ToTensor, of many sizes both ways": (
        "float_images",
        "train",
        None,
        "'image' has",
        lambda: batches([(image[:, : 13 + n % 4, : 13 + n % 3] / 255, n) for n, image in enumerate(IMAGES)], collate_fn=list),
    ),
    "ToTensor": ("float_images", "train", None, "'image'", lambda: batches(TensorDataset(IMAGES / 255), batch_size=40)),
    "Normalize": ("float_images", "train", None, "4 times less", lambda: batches(TensorDataset(normalised(IMAGES), LABELS))),
    "half": ("float_images", "train", None, "2 times less", lambda: batches(TensorDataset((IMAGES / 255).half(), LABELS))),
    "one-hot targets": ("one_hot", "train", None, "3 classes in float32", lambda: batches(TensorDataset(NUMBERS, ONE_HOT))),
    "a float mask": ("wide_mask", "train", None, "4 times less", lambda: batches(TensorDataset(IMAGES, MASKS.float()))),
    "a large mask": ("wide_mask", "train", None, "as PNG", lambda: batches(TensorDataset(NUMBERS, LARGE_MASKS))),
    "padding": (
        "padding",
        "train",
        None,
        "'tokens' ends in 0s, as if rows of 3 to 12",
        lambda: batches(padded(0), collate_fn=named),
    ),
    "padding of labels": ("padding", "train", None, "-100s", lambda: batches(padded(-100, width=15), collate_fn=named)),
    "padding of boxes": (
        "padding",
        "train",
        None,
        "-1s",
        lambda: batches(padded(-1)[..., None].expand(-1, -1, 4), collate_fn=named),
    ),
    "NaN and Inf": (
        "not_finite",
        "train",
        4,
        "2 NaN and 2 inf",
        lambda: batches(with_values(np.nan, np.inf, -np.inf, np.nan)),
    ),
    "NaN in complex": (
        "not_finite",
        "train",
        2,
        "2 NaN",
        lambda: batches(torch.complex(with_values(np.nan).tensors[0], with_values(np.nan).tensors[0])),
    ),
    "duplicates": ("duplicates", "train", 7, "7 of 47", lambda: batches(TWICE)),
    "duplicates, wide": ("duplicates", "train", 1, "1 of 41", lambda: batches(torch.cat([NUMBERS, NUMBERS[9:10]]).repeat(1, 9))),
    "duplicate texts": ("duplicates", "train", 1, "1 of 3", lambda: DataLoader(["a" * 99, "b" * 99, "a" * 99], batch_size=3)),
    "shared": (
        "shared_examples",
        "test",
        5,
        "5 are also in split 'train'",
        lambda: splits(batches(CLEAN), batches(Subset(CLEAN, range(5)))),
    ),
    "single class": (
        "single_class",
        "train",
        40,
        "'label' is 7 in all 40",
        lambda: batches(TensorDataset(NUMBERS, LABELS * 0 + 7)),
    ),
    "missing": (
        "examples_missing",
        "train",
        5,
        "5 of the 40",
        lambda: batches(ITEMS, collate_fn=lambda rows: torch.stack(rows[:7])),
    ),
    "missing of a stream": ("examples_missing", "train", 2, "2 of the 42", lambda: batches(SizedStream(ITEMS, length=42))),
}

SILENT = {
    "clean": lambda: batches(CLEAN),
    "shuffled": lambda: batches(CLEAN, shuffle=True),
    "drop_last, nothing dropped": lambda: batches(CLEAN, drop_last=True),
    "drop_last of a sized stream, nothing dropped": lambda: batches(SizedStream(ITEMS, length=40), drop_last=True),
    "single rows with drop_last": lambda: batches(Stream(ITEMS), batch_size=1, drop_last=True),
    "samplers that share a dataset": lambda: splits(
        batches(CLEAN, sampler=SubsetRandomSampler(range(30))), batches(CLEAN, sampler=SubsetRandomSampler(range(30, 40)))
    ),
    "classes that are integers": lambda: batches(TensorDataset(NUMBERS, ONE_HOT.long())),
    "probabilities": lambda: batches(TensorDataset(NUMBERS, ONE_HOT * 0.9 + 0.1 / 3)),
    "one class, all in one place": lambda: batches(TensorDataset(NUMBERS[:9], torch.eye(4)[:1].expand(9, 4), LABELS[:9])),
    "a small mask": lambda: batches(TensorDataset(IMAGES, MASKS)),
    "a mask that PNG makes no smaller": lambda: batches(TensorDataset(NUMBERS, torch.rand(40, 80, 80) > 0.5)),
    "images of integers": lambda: batches(TensorDataset(IMAGES, LABELS)),
    "a batch sampler of one's own": lambda: DataLoader(CLEAN, batch_sampler=[[3, 1], [2]]),
    "a random transform that never acts": lambda: batches(Transformed(RandomCrop(p=0))),
    "a transform that always acts": lambda: batches(Transformed(Fixed(p=1.0, transforms=[Fixed(p=True), str]))),
    "dropout in evaluation": lambda: batches(Transformed(torch.nn.Dropout(0.5).eval())),
    "a transform that holds itself": lambda: batches(Transformed((lambda t: vars(t).update(transform=t) or t)(Fixed()))),
    "a dataset that holds itself": lambda: batches((lambda d: vars(d).update(dataset=d) or d)(Transformed())),
    "workers that share": lambda: batches(Stream(ITEMS), num_workers=2),
    "workers with equal rows": lambda: batches(Stream([torch.zeros(4)] * 40), num_workers=2),
    "uint8 images": lambda: batches(TensorDataset(IMAGES, LABELS)),
    "float images": lambda: batches(TensorDataset(torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0)), LABELS)),
    "a collate_fn that draws nothing": lambda: batches(CLEAN, collate_fn=Collator(Fixed())),
    "a collate_fn that writes into its rows": lambda: batches(
        [(row.clone(), 0) for row in NUMBERS[:31]], collate_fn=writes_into_its_rows
    ),
    "float images of many sizes": lambda: batches(
        [(torch.rand(3, 9 + n % 4, 16, generator=torch.Generator().manual_seed(n)), n) for n in range(40)], collate_fn=list
    ),
    "images of two values": lambda: batches(TensorDataset((IMAGES > 99) * 0.5, LABELS)),
    "counted floats": lambda: batches(torch.arange(40 * 3 * 8 * 8.0).reshape(40, 3, 8, 8)[:2]),
    "black images": lambda: batches(TensorDataset(torch.zeros(40, 3, 16, 16), torch.arange(40))),
    "padding without a collate_fn": lambda: batches(TensorDataset(padded(0, width=40))),
    "rows of one length": lambda: batches(padded(0, lengths=(7, 7, 7, 7)), collate_fn=named),
    "zeros within": lambda: batches(padded(0, first=-20), collate_fn=named),
    "one-hot": lambda: batches(torch.eye(40, dtype=torch.int64), collate_fn=named),
    "zeros that tell the length of nothing": lambda: batches(
        torch.ones(31, 5, dtype=torch.int32),
        collate_fn=lambda rows: {"x": torch.stack(rows), "label": torch.zeros(len(rows)).int()},
    ),
    "large and small floats": lambda: batches(TensorDataset(NUMBERS.float() * 1e33, LABELS)),
    "float16 whose sum overflows": lambda: batches(TensorDataset(NUMBERS.half() + 30_000, torch.arange(40))),
    "narrow duplicates": lambda: batches(TensorDataset(LABELS.repeat(3))),
    "the same image with two labels": lambda: batches(TensorDataset(IMAGES[:1].repeat(40, 1, 1, 1), torch.arange(40))),
    "splits of their own": lambda: splits(batches(Subset(CLEAN, range(30))), batches(Subset(CLEAN, range(30, 40)))),
    "few of one class": lambda: batches(TensorDataset(NUMBERS[:31], LABELS[:31] * 0)),
    "one class last": lambda: batches(TensorDataset(NUMBERS, (torch.arange(40) == 39).long())),
    "a constant that is no label": lambda: batches([{"x": row, "size": 3} for row in NUMBERS]),
    "batches of the dataset": lambda: DataLoader(
        [(NUMBERS[:20], LABELS[:20]), (NUMBERS[20:], LABELS[20:])], collate_fn=itemgetter(0)
    ),
    "batches of a sampler": lambda: DataLoader(CLEAN, batch_size=None, sampler=BatchSampler(range(40), 7, False)),
    "single examples": lambda: DataLoader(CLEAN, batch_size=None),
    "batches of a stream without a batch size": lambda: DataLoader(
        SizedStream([(IMAGES[:20], LABELS[:20]), (IMAGES[20:], LABELS[20:])], length=2), batch_size=None
    ),
}

OPTIONS: dict[str, dict[str, Any]] = {"another axis as channels": {"layouts": {"image": "NHWC"}}}
ALONE = {"default": "ignore"}


@pytest.mark.parametrize("case", FOUND)
def test_found(case, publish):
    """A loader with a hazard is warned of, once, by the hazard's name and split, with its count; the export goes on."""
    name, split, count, words, make = FOUND[case]
    with pytest.warns(HazardWarning) as caught:
        result = publish(make(), **OPTIONS.get(case, {}), on_hazard=ALONE | {name: "warn"})
    assert [(hazard.name, hazard.split) for hazard in result.hazards] == [(name, split)]
    (hazard,) = result.hazards
    if name != "workers_repeat":
        assert hazard.count == count
    assert words in hazard.message
    assert f"split {split!r}" in hazard.message
    assert HAZARDS[name].remedy in hazard.message
    assert [str(warning.message) for warning in caught] == [hazard.message]


@pytest.mark.parametrize("case", FOUND)
def test_refused(case, refuses):
    """As an error the same hazard ends the export by our own error, and nothing is left behind."""
    name, split, _, _, make = FOUND[case]
    options = {**OPTIONS.get(case, {}), "on_hazard": ALONE | {name: "error"}}
    error = refuses(make(), HazardError, f"split {split!r}", name, "nothing was published", **options)
    assert isinstance(error, ExportError)
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("case", FOUND)
def test_ignored(case, publish):
    """Ignored, it is neither warned of nor reported."""
    assert publish(FOUND[case][-1](), on_hazard={FOUND[case][0]: "ignore", "default": "ignore"}).hazards == ()


def test_float_images_advice(tmp_path, publish):
    """The line of `float_images` works when it is followed, in Python and on the command line, be the integers known or not."""
    known, asked = IMAGES.clone(), IMAGES.clamp(20, 200)
    known[:, :, 0, :2] = torch.tensor([0, 255])
    for number, images in enumerate((known, asked)):
        for scaled in (images / 255, normalised(images)):
            loader = batches(TensorDataset(scaled, LABELS))
            with pytest.warns(HazardWarning, match=r"float_images") as caught:
                publish(loader)
            line = re.search(r"to mend it: say integers=(.*): uint8 is stored", str(caught[0].message))[1]
            assert isinstance(ast.literal_eval(line), (list, dict)[number])
            result = publish(batches(TensorDataset(scaled, LABELS)), integers=ast.literal_eval(line))
            assert result.hazards == ()
            assert "stored as the uint8 they came from" in result.decisions[0]
            with wording.command_line(), pytest.warns(HazardWarning, match=r"float_images") as caught:
                publish(batches(TensorDataset(scaled, LABELS)))
            option, text = re.search(r"say (--integers) (\S+): uint8", str(caught[0].message)).groups()
            assert option == "--integers"
            assert publish(batches(TensorDataset(scaled, LABELS)), integers=arguments.integers([text])).hazards == ()


@pytest.mark.parametrize("case", SILENT)
def test_silent(case, publish):
    """A near-miss gives no warning with every hazard looked for: pytest turns one into an error."""
    assert publish(SILENT[case]()).hazards == ()


@pytest.mark.filterwarnings("ignore::exporters.HazardWarning")
def test_a_collate_fn_leaves_no_trace(publish, read_back):
    """A collate_fn that is tried draws, for the export, what it would have drawn; nothing of its rows is changed."""

    def loader():
        torch.manual_seed(3)
        return batches(CLEAN, collate_fn=draws(lambda: torch.rand(())))

    expected = torch.cat([x for x, _ in loader()])
    found = read_back(publish(loader(), on_hazard={"random_transform": "warn", "default": "ignore"}))["features"]
    assert np.array_equal(found, expected.numpy())


def test_an_error_before_the_first_byte(refuses):
    """What a loader itself shows is refused before the dataset is drained."""
    asked = []
    data = batches(ITEMS, batch_size=9, drop_last=True, collate_fn=asked.append)
    refuses(data, HazardError, "drop_last", on_hazard="error")
    assert asked == []


def test_an_error_leaves_the_published_version(publish, tmp_path, tree):
    """An export that a hazard ends leaves the version it was to replace as it was."""
    version = tmp_path / "ds" / "1.0.0"
    publish(batches(CLEAN), data_dir=tmp_path)
    before = tree(version)
    with pytest.raises(HazardError, match="duplicates"):
        publish(batches(TWICE), data_dir=tmp_path, overwrite=True, on_hazard="error")
    assert tree(version) == before


def test_not_finite_ends_at_once(refuses):
    """As an error, a NaN ends the export at its batch and not at the end of the split."""
    rows = [torch.full((4,), np.nan), *torch.zeros(100, 4)]
    drained = []
    data = DataLoader(rows, batch_size=1, collate_fn=lambda items: drained.append(1) or torch.stack(items))
    refuses(data, HazardError, "4 NaN", on_hazard={"default": "ignore", "not_finite": "error"})
    assert len(drained) == 1


def test_the_warning_points_at_the_caller(publish):
    """The warning's file is that of the code that called the package."""
    with pytest.warns(HazardWarning) as caught:
        publish(batches(TWICE))
    assert pathlib.Path(caught[0].filename).name == "conftest.py"  # whose `publish` calls export


def test_counts(publish, capsys):
    """Examples expected, read and written are returned by split, and printed with the hazards found."""
    with pytest.warns(HazardWarning):
        result = publish({"b": batches(CLEAN, batch_size=9, drop_last=True)}, progress=None)
    assert result.counts == {"b": Counts(36, 36, 36)}
    assert capsys.readouterr().err.splitlines()[-1] == "b: 36 examples expected, 36 read, 36 written; hazards: drop_last"
    result = publish({"a": batches(Stream(ITEMS))}, progress=None)
    assert result.counts == {"a": Counts(None, 40, 40)}
    assert capsys.readouterr().err.splitlines()[-1] == "a: an unknown number of examples expected, 40 read, 40 written"


def test_two_reads_leave_no_trace(publish, read_back):
    """Reading an example twice puts every random generator back: the export holds what a bare loop would give."""
    loaders = [DataLoader(Noisy(), batch_size=8, shuffle=True) for _ in range(2)]
    torch.manual_seed(5)
    expected = torch.cat(list(loaders[0]))
    torch.manual_seed(5)
    result = publish(loaders[1], on_hazard={"random_transform": "ignore"})
    assert np.array_equal(read_back(result)["features"], expected.numpy())
    torch.manual_seed(5)
    with pytest.warns(HazardWarning, match="dataset\\[0\\]"):
        result = publish(loaders[1])
    assert np.array_equal(read_back(result)["features"], expected.numpy())


def test_command_line(tmp_path, monkeypatch, capsys):
    """`--on-hazard` takes an action, or a hazard and its action; a warning is one line on stderr."""
    from exporters import cli

    (tmp_path / "risky.py").write_text(
        "import torch\nfrom torch.utils.data import DataLoader\n"
        "def make(): return DataLoader(torch.arange(700.).reshape(7, 100), batch_size=2, drop_last=True)\n"
    )
    monkeypatch.chdir(tmp_path)

    def run(*options):
        command = ["torch2tfds", "export", "risky:make", "data", "--name", "ds", "--overwrite", *options]
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code, capsys.readouterr().err

    code, told = run()
    assert code == 0
    assert told.splitlines()[0].startswith("torch2tfds: warning: split 'train': drop_last=True leaves out 1 of 7 examples")
    assert "warning" not in run("--on-hazard", "drop_last=ignore", "--on-hazard", "error")[1]
    code, told = run("--on-hazard", "error")
    assert code == 2
    assert told.startswith("torch2tfds: split 'train': drop_last=True")
    assert run("--on-hazard", "drop_first=error")[0] == 2


# --- digests -------------------------------------------------------------------------------------


def test_estimates_are_said_to_be():
    """A count from a sample is told with "about"."""
    watch = Watch({"default": "ignore", "duplicates": "warn"})
    watch.tally = Tally(kept=30)
    observer = SplitObserver(watch, "train", batches(CLEAN), None)
    for number in range(2):
        shard = observer.start_shard()
        shard.add({"x": NUMBERS.numpy()}, number)
        observer.merge(shard.take())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        observer.finish(80)
    assert "about " in str(caught[0].message)


def test_every_hazard_has_a_case():
    """No hazard is without a loader that has it."""
    assert {case[0] for case in FOUND.values()} == set(HAZARDS)
