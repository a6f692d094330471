"""Data that changed while an export was stopped is told, not published half old and half new; random data may go on."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

import exporters
from exporters import ResumeError
from exporters.jobs import comparison
from exporters.loaders import order
from exporters.plans.shard import ShardResult
from exporters.staging.files import StagedFiles
from tfds_builder.contract.manifest import File, Geometry
from tfds_builder.contract.ragged import Ragged

pytestmark = pytest.mark.once

ROWS = 48


class Stop(Exception):
    """What stops an export in these tests."""


class Data(Dataset):
    """Rows of many kinds, made of a number each, of which `changed` are other numbers than they were."""

    def __init__(self, make, changed=(), stop_at=None):
        self.make, self.changed, self.stop_at, self.asked = make, set(changed), stop_at, []

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        if index == self.stop_at:
            raise Stop
        self.asked.append(index)
        return self.make(index + 1003 * (index in self.changed))


def png(number):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), number % 256, np.uint8)).save(file, "PNG")
    return file.getvalue()


def rows_of(batch):
    return {name: [row[name] for row in batch] for name in batch[0]}


KINDS = {
    "a value": (lambda n: {"x": torch.tensor([0] * 20 + [n])}, {}),
    "an image": (lambda n: {"x": torch.full((3, 8, 8), n % 255, dtype=torch.uint8)}, {}),
    "bfloat16": (lambda n: {"x": torch.full((9,), n, dtype=torch.bfloat16), "id": 0}, {}),
    "a label": (lambda n: {"x": n % 7, "pad": torch.zeros(9)}, {}),
    "a bit of a NaN": (
        lambda n: {"x": torch.tensor([0x7FC00000 + n], dtype=torch.int32).view(torch.float32), "pad": torch.zeros(9)},
        {},
    ),
    "text": (lambda n: {"x": f"é{n}", "pad": torch.zeros(9)}, {}),
    "lengths": (lambda n: {"x": torch.zeros(n % 10), "pad": torch.zeros(9)}, {"collate_fn": rows_of}),
    "ragged": (lambda n: {"x": torch.full((n % 3,), n), "pad": torch.zeros(9)}, {"collate_fn": rows_of}),
    "lists of text": (lambda n: {"x": [str(n)] * (1 + n % 2), "pad": torch.zeros(9)}, {"collate_fn": rows_of}),
    "a file": (lambda n: {"x": png(n)}, {"collate_fn": rows_of}),
}


def run(data_dir, dataset, format="tfrecord", *, options=None, **arguments):
    options = {"batch_size": 4, **(options or {})}
    arguments = {"name": "ds", "shard_bytes": 400, "progress": False, "on_hazard": "ignore", **arguments}
    loaders = {split: DataLoader(data, **options) for split, data in dataset.items()} if type(dataset) is dict else None
    return exporters.export(loaders or DataLoader(dataset, **options), data_dir, format=format, **arguments)


def stop(data_dir, dataset, *args, **options):
    with pytest.raises(Stop):
        run(data_dir, dataset, *args, **options)


@pytest.mark.parametrize(("kind", "workers"), [*((kind, 0) for kind in KINDS), ("an image", 1)])
def test_changed_data(kind, workers, format, tmp_path, tree):
    """Whatever changed in a batch that is compared, the error names split, batch, feature and row; nothing is published;
    `overwrite=True` begins anew, with the new data alone."""
    make, options = KINDS[kind]
    options = {**options, "num_workers": workers}
    features = None
    if kind == "a file":
        import tensorflow_datasets as tfds

        features = {"x": tfds.features.Image(shape=(4, 4, 1))}
    arguments = {"options": options, "features": features}
    stop(tmp_path / "data", Data(make, stop_at=ROWS - 1), format, **arguments)
    with pytest.raises(ResumeError, match=r"split 'train', batch 0, feature 'x', row 2: .*other data.*overwrite=True"):
        run(tmp_path / "data", Data(make, changed=range(2, ROWS)), format, **arguments)
    assert not (tmp_path / "data/ds/1.0.0").exists()
    run(tmp_path / "data", Data(make, changed=range(2, ROWS)), format, overwrite=True, **arguments)
    run(tmp_path / "new", Data(make, changed=range(2, ROWS)), format, **arguments)
    assert tree(tmp_path / "data") == tree(tmp_path / "new")


@pytest.mark.parametrize("format", ["tfrecord"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_data(kind, format, tmp_path, tree):
    """Where nothing changed nothing is refused, and the bytes are those of an export in one go."""
    make, options = KINDS[kind]
    run(tmp_path / "whole", Data(make), format, options=options)
    stop(tmp_path / "data", Data(make, stop_at=ROWS - 1), format, options=options)
    run(tmp_path / "data", Data(make), format, options=options)
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")


def wide(number):
    return torch.full((30,), number)


def finished_batches(data_dir):
    import json

    notes = sorted(data_dir.glob("ds/1.0.0.resume/*.shard.json"))
    return json.loads(notes[-1].read_bytes())["stop"]


@pytest.mark.parametrize("which", ["first", "between", "last"])
def test_which_batches_are_compared(which, tmp_path):
    """The first and the last finished batch are compared, and the one half way; others are not asked for."""
    stop(tmp_path, Data(wide, stop_at=40))
    count = finished_batches(tmp_path)
    number = {"first": 0, "between": count // 2, "last": count - 1}[which]
    with pytest.raises(ResumeError, match=f"split 'train', batch {number}, feature 'features', row 3"):
        run(tmp_path, Data(wide, changed=[4 * number + 3]))
    compared = {0, count // 2, count - 1}
    others = set(range(count)) - compared
    again = Data(wide, changed=[row for other in others for row in range(4 * other, 4 * other + 4)])
    run(tmp_path, again)
    assert again.asked[:12] == [row for other in sorted(compared) for row in range(4 * other, 4 * other + 4)]
    assert again.asked[12:] == list(range(4 * count, ROWS))


def test_a_split_that_is_finished(tmp_path):
    """A split that was finished is compared as well, though nothing of it is pending."""
    stop(tmp_path, {"train": Data(wide), "test": Data(wide, stop_at=30)})
    with pytest.raises(ResumeError, match=r"split 'train', batch 11, feature 'features', row 3"):
        run(tmp_path, {"train": Data(wide, changed=[47]), "test": Data(wide)})
    with pytest.raises(ResumeError, match=r"split 'test', batch 0, feature 'features', row 0"):
        run(tmp_path, {"train": Data(wide), "test": Data(wide, changed=[0])})
    run(tmp_path, {"train": Data(wide), "test": Data(wide)})


@pytest.mark.parametrize("renamed", [False, True])
def test_all_is_finished(renamed, format, tmp_path, monkeypatch):
    """An export that was stopped when it had drained everything, its shards named or not, is compared all the same."""
    with monkeypatch.context() as patch:

        def leave(*_):
            raise Stop

        patch.setattr(StagedFiles, "keep_only" if renamed else "rename", leave)
        stop(tmp_path, Data(wide), format)
    with pytest.raises(ResumeError, match=r"split 'train', batch 0, feature 'features', row 1"):
        run(tmp_path, Data(wide, changed=[1]), format)
    run(tmp_path, Data(wide), format)


OTHER = {
    "dtype": lambda n: torch.full((30,), n, dtype=torch.int32),
    "shape": lambda n: torch.full((31,), n),
    "names": lambda n: {"y": torch.full((30,), n)},
    "fewer rows": lambda n: torch.full((30,), n) if n % 4 else None,
}


@pytest.mark.parametrize("what", OTHER)
def test_data_of_another_kind(what, tmp_path):
    """Data that could not be stored beside what is finished, or is less, is a ResumeError too."""

    def collate(rows):
        return torch.utils.data.default_collate([row for row in rows if row is not None])

    options = {"collate_fn": collate}
    stop(tmp_path, Data(wide, stop_at=40), options=options)
    with pytest.raises(ResumeError, match="overwrite=True"):
        run(tmp_path, Data(OTHER[what]), options=options)


class Own:
    """Rows drawn from a generator of one's own."""

    def __init__(self, seed=None):
        self.generator = np.random.default_rng(seed)

    def __call__(self, number):
        return torch.from_numpy(self.generator.random(30)) * 0 + float(self.generator.integers(10)) + number


def flip(number):
    return torch.arange(30).roll(int(torch.rand(()) < 0.5))


RANDOM = {
    "torch": lambda n: torch.rand(30) + n,
    "NumPy": lambda n: torch.from_numpy(np.random.random(30)),
    "its own": lambda n: OWN(n),
    "a flip": flip,
}
OWN = Own()


@pytest.mark.parametrize(("what", "workers"), [*((what, 0) for what in RANDOM), ("its own", 1), ("a flip", 1)])
def test_random_data_goes_on(what, workers, tmp_path):
    """Data that is drawn at random differs by right, even where only one in two draws does: the export goes on."""
    for seed in range(1 if workers else 4):
        torch.manual_seed(seed)
        np.random.seed(seed)
        data_dir = tmp_path / str(seed)
        options = {"batch_size": 1, "num_workers": workers}
        stop(data_dir, Data(RANDOM[what], stop_at=20), options=options)
        assert run(data_dir, Data(RANDOM[what]), options=options).examples == {"train": ROWS}


def test_random_state_is_kept(tmp_path):
    """Comparing moves no generator on: what is drawn after it is what would have been drawn without it."""

    class Shuffled(Data):
        def __init__(self, stop_at=None):
            super().__init__(self.draw, (), stop_at)
            self.generator = torch.Generator().manual_seed(9)

        def draw(self, number):
            torch.rand(1)
            return torch.rand(30, generator=self.generator)

    drawn = []
    stop(tmp_path, Shuffled(40))
    for compares in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not compares:
                patch.setattr(comparison.Comparison, "run", lambda *_: True)
            torch.manual_seed(5)
            dataset = Shuffled(40)
            stop(tmp_path, dataset)
            drawn.append((torch.rand(3).tolist(), torch.rand(3, generator=dataset.generator).tolist()))
    assert drawn[0] == drawn[1]


def columns(seed):
    """Columns of every kind, of 5 rows."""
    dice = np.random.default_rng(seed)
    lengths = dice.integers(0, 3, 5)
    splits = np.concatenate([[0], np.cumsum(lengths)])
    words = np.array([b"a" * int(n) for n in dice.integers(1, 5, 10)] + [None], object)[:-1]
    return {
        "fixed": dice.integers(0, 256, (5, 2, 3)).astype(np.uint8),
        "float": dice.random((5, 2)).astype(np.float32),
        "text": words[:5],
        "ragged": Ragged(dice.integers(0, 256, (splits[-1], 2)), splits),
        "words": Ragged(words[: splits[-1]].copy(), splits),
        "empty": np.empty((5, 0)),
    }


@given(st.integers(0, 10**6), st.data())
def test_any_bit_is_seen(seed, data):
    """Columns that are the same have no difference; one bit, one letter or one length that is other is found in its row."""
    one, other = columns(seed), columns(seed)
    assert comparison.find_difference(one, other) == ""
    name = data.draw(st.sampled_from([key for key in one if key != "empty"]))
    row = data.draw(st.integers(0, 4))
    column = other[name]
    if isinstance(column, Ragged):
        start, end = column.row_splits[row : row + 2]
        if start == end or data.draw(st.booleans()):  # another length
            splits = column.row_splits + (np.arange(6) > row)
            values = np.concatenate(
                [column.values[:start], [b"a" if name == "words" else np.zeros(2, int)], column.values[start:]]
            )
            other[name] = Ragged(values, splits)
        elif name == "words":
            column.values[start] += b"!"
        else:
            column.values[start, 1] ^= 1
    elif name == "text":
        column[row] += b"!"
    else:
        column[row : row + 1].view(np.uint8).reshape(-1)[data.draw(st.integers(0, 5))] ^= 1 << data.draw(st.integers(0, 7))
    assert comparison.find_difference(one, other) == f", feature {name!r}, row {row}"


def shard(rows, start, stop):
    return ShardResult(
        File(file="a", bytes=1, sha256="0"), None, rows, start, stop, Geometry(offsets=(), strides=(), row_splits=())
    )


def test_places():
    """Where every index became a row any batch can be found; elsewhere those that shards begin and end with."""
    batches = order.Order.of_range(100, 4, drop_last=False)
    exact = comparison.pick([shard(20, 0, 5), shard(20, 5, 10), shard(8, 10, 12)], batches)
    assert [(place.number, place.start, place.stop) for place in exact] == [(0, 0, 4), (6, 24, 28), (11, 44, 48)]
    fewer = comparison.pick([shard(20, 0, 5), shard(19, 5, 10), shard(7, 10, 12)], batches)
    assert [(place.number, place.start, place.stop) for place in fewer] == [(0, 0, 4), (5, 20, None), (11, None, 46)]
    assert [place.number for place in comparison.pick([shard(4, 0, 1)], batches)] == [0]
    gaps = comparison.pick([shard(20, 2, 7), shard(8, 12, 14), shard(8, 20, 22)], batches)
    assert [(place.number, place.start, place.stop) for place in gaps] == [(2, 0, 4), (12, 20, 24), (21, 32, 36)]
