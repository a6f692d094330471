"""Faults that were found by trying to break it: each a kind of loader, mask or note that once published something else."""

from __future__ import annotations

import os
import re

import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_collate,
)

import exporters
import tfds_builder
from exporters import ResumeError, SchemaError

pytestmark = pytest.mark.once

ROWS = 60


class Boom(Exception):
    """What stops an export in these tests."""


class Rows(Dataset):
    def __init__(self, stop=None, shift=0):
        self.stop, self.shift, self.asked = stop, shift, 0

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        self.asked += 1
        if self.asked - 1 == self.stop:
            raise Boom
        return {"x": torch.arange(300) * (index + self.shift), "i": index}


def run(data_dir, loader, **options):
    return exporters.export(loader, data_dir, name="ds", shard_bytes=20_000, progress=False, on_hazard="ignore", **options)


def stopped(data_dir, make, **options):
    with pytest.raises(Boom):
        run(data_dir, make(Rows(20)), **options)


A, B = list(range(30)), list(range(30, 60))
OTHERS = {
    "a list of others": (lambda: {"sampler": A}, lambda: {"sampler": B}),
    "a list with another tail": (lambda: {"sampler": A}, lambda: {"sampler": A[:20] + B[:10]}),
    "a list turned round": (lambda: {"sampler": A}, lambda: {"sampler": A[::-1]}),
    "a random subset of others": (lambda: {"sampler": SubsetRandomSampler(A)}, lambda: {"sampler": SubsetRandomSampler(B)}),
    "batches of others": (
        lambda: {"batch_sampler": [A[i : i + 5] for i in range(0, 30, 5)]},
        lambda: {"batch_sampler": [B[i : i + 5] for i in range(0, 30, 5)]},
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_another_sampler_is_told(case, tmp_path):
    """An export does not go on with the recorded order of a sampler whose place another has taken; overwrite=True begins anew."""
    before, after = OTHERS[case]
    size = lambda options: {} if "batch_sampler" in options else {"batch_size": 5}  # noqa: E731
    stopped(tmp_path, lambda data: DataLoader(data, **size(before()), **before()))
    with pytest.raises(ResumeError, match=r"split 'train': the sampler \(.*overwrite=True to begin anew"):
        run(tmp_path, DataLoader(Rows(), **size(after()), **after()))
    result = run(tmp_path, DataLoader(Rows(), **size(after()), **after()), overwrite=True)
    wanted = [int(i) for batch in DataLoader(Rows(), **size(after()), **after()) for i in batch["i"]]
    got = [int(example["i"]) for example in tfds_builder.as_torch(result.path, "train")]
    assert got == wanted or ("random" in case and sorted(got) == sorted(wanted))


SAME = {
    "unseeded shuffle": lambda: {"shuffle": True},
    "seeded shuffle": lambda: {"shuffle": True, "generator": torch.Generator().manual_seed(3)},
    "with replacement": lambda: {"sampler": RandomSampler(range(ROWS), True, 40)},
    "weighted": lambda: {"sampler": WeightedRandomSampler([1.0] * ROWS, 40)},
    "a list": lambda: {"sampler": A},
}


@pytest.mark.parametrize("case", SAME)
def test_the_same_sampler_goes_on(case, tmp_path):
    """A sampler that draws anew each time goes on in the order that was recorded; being asked moves no generator."""
    make = lambda data: DataLoader(data, batch_size=5, **SAME[case]())  # noqa: E731
    with pytest.raises(Boom):
        run(tmp_path, make(Rows(29)))
    loader = make(Rows())
    state = torch.get_rng_state()
    run(tmp_path, loader)
    assert loader.dataset.asked < len(loader.sampler)  # but for the batches that are compared, what is done is not asked for
    if case != "seeded shuffle":
        assert torch.equal(state, torch.get_rng_state())


def test_overwrite_always_begins_anew(tmp_path):
    """What was stopped is never gone on with when a version may be overwritten: data that changed in between is not mixed."""
    stopped(tmp_path, lambda data: DataLoader(data, batch_size=5))
    result = run(tmp_path, DataLoader(Rows(shift=100), batch_size=5), overwrite=True)
    assert [int(example["x"][1]) for example in tfds_builder.as_torch(result.path, "train")] == list(range(100, 100 + ROWS))


@pytest.mark.parametrize("size", [1, 8])
def test_notes_of_what_was_seen_that_are_cut(size, tmp_path):
    """A note of what hazards saw that is cut short is a ResumeError, and overwrite=True begins anew."""
    with pytest.raises(Boom):
        exporters.export(DataLoader(Rows(20), batch_size=5), tmp_path, name="ds", shard_bytes=20_000, progress=False)
    note = next((tmp_path / "ds" / "1.0.0.resume").glob("*.seen"))
    os.truncate(note, size)
    with pytest.raises(ResumeError, match=r"cut short or changed.*overwrite=True"):
        run(tmp_path, DataLoader(Rows(), batch_size=5))
    assert run(tmp_path, DataLoader(Rows(), batch_size=5), overwrite=True).examples == {"train": ROWS}


def test_what_lies_in_a_folder_among_the_notes(tmp_path):
    """A folder that is called like one of ours, and holds what no export wrote, is refused and kept."""
    stopped(tmp_path, lambda data: DataLoader(data, batch_size=5))
    folder = tmp_path / "ds" / "1.0.0.resume" / "tmpabcdefgh"
    folder.mkdir()
    (folder / "precious").write_text("x")
    with pytest.raises(exporters.DataDirError, match="tmpabcdefgh was written by no export"):
        run(tmp_path, DataLoader(Rows(), batch_size=5))
    assert (folder / "precious").read_text() == "x"


TOKENS = [torch.arange(1, 2 + n) for n in (3, 7, 1, 5, 2, 6, 4, 7)]


def padded(rows, in_front):
    longest = max(map(len, rows))
    pads = [torch.zeros(longest - len(row), dtype=torch.int64) for row in rows]
    return torch.stack([torch.cat([pad, row] if in_front else [row, pad]) for row, pad in zip(rows, pads, strict=True)])


def test_lengths_of_rows_padded_in_front(tmp_path):
    """Lengths say nothing of rows that are padded in front: cutting behind them would drop values. A mask works."""
    mask = lambda ids: ids > 0  # noqa: E731
    collate = lambda rows: {"ids": padded(rows, True), "n": torch.tensor(list(map(len, rows)))}  # noqa: E731
    with pytest.raises(SchemaError, match=r"feature 'ids': 'n' would cut off values.*give a mask"):
        run(tmp_path / "refused", DataLoader(TOKENS, batch_size=4, collate_fn=collate), unpad={"ids": "n"})
    assert not (tmp_path / "refused").exists()
    collate = lambda rows: {"ids": padded(rows, True), "m": mask(padded(rows, True))}  # noqa: E731
    result = run(tmp_path / "data", DataLoader(TOKENS, batch_size=4, collate_fn=collate), unpad={"ids": "m"})
    rows = tfds_builder.as_torch(result.path, "train")
    assert all(torch.equal(rows[n]["ids"], TOKENS[n]) for n in range(len(TOKENS)))


def test_a_mask_of_the_padding(tmp_path):
    """A mask that is 1 where there is padding, as key_padding_mask is, is refused; its contrary works, as the error says."""
    for name, turn in (("refused", lambda mask: mask), ("data", lambda mask: ~mask)):
        collate = lambda rows, turn=turn: {"ids": padded(rows, False), "m": turn(padded(rows, False) == 0)}  # noqa: E731
        loader = DataLoader(TOKENS, batch_size=4, collate_fn=collate)
        if name == "refused":
            with pytest.raises(SchemaError, match=r"'m' would cut off values.*give the contrary, ~mask"):
                run(tmp_path / name, loader, unpad={"ids": "m"})
            continue
        rows = tfds_builder.as_torch(run(tmp_path / name, loader, unpad={"ids": "m"}).path, "train")
        assert all(torch.equal(rows[n]["ids"], TOKENS[n]) for n in range(len(TOKENS)))


def test_positions_that_go_on_behind_the_rows(tmp_path):
    """Columns that are not padded with one value, as positions, are cut where a mask says."""
    collate = lambda rows: {  # noqa: E731
        "ids": padded(rows, False),
        "positions": torch.arange(max(map(len, rows))).repeat(len(rows), 1),
        "m": padded(rows, False) > 0,
    }
    unpad = {"ids": "m", "positions": "m"}
    result = run(tmp_path, DataLoader(TOKENS, batch_size=4, collate_fn=collate), unpad=unpad)
    rows = tfds_builder.as_torch(result.path, "train")
    assert all(rows[n]["positions"].tolist() == list(range(len(TOKENS[n]))) for n in range(len(TOKENS)))


def test_batch_samplers_that_can_be_asked_once(tmp_path):
    """A batch sampler of a RandomSampler is asked with its generator put back."""
    generator = torch.Generator().manual_seed(5)
    make = lambda data: DataLoader(  # noqa: E731
        data, batch_sampler=BatchSampler(RandomSampler(range(ROWS), generator=generator), 5, False)
    )
    stopped(tmp_path, make)
    state = generator.get_state()
    assert run(tmp_path, make(Rows())).examples == {"train": ROWS}
    assert torch.equal(state, generator.get_state())


def keyed(number, missing):
    return {"a": torch.arange(3) + number, "b": number, **({} if number in missing else {"c": 10 * number})}


class Stream(IterableDataset):
    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


LOADERS = {
    "a list": lambda rows: DataLoader(rows, batch_size=4, collate_fn=list),
    "a tuple": lambda rows: DataLoader(rows, batch_size=4, collate_fn=tuple),
    "no batch size": lambda rows: DataLoader(rows, batch_size=None),
    "a stream": lambda rows: DataLoader(Stream(rows), batch_size=4, collate_fn=list),
}


@pytest.mark.parametrize("missing", [{1}, {0, 2}, {1, 2, 3}, {5}])
@pytest.mark.parametrize("case", LOADERS)
def test_rows_without_a_key(case, missing, tmp_path):
    """Rows that are dicts with unlike keys are told as that, in a first batch too, and the lines that mend it work."""
    rows = [keyed(number, missing) for number in range(8)]
    with pytest.raises(SchemaError) as caught:
        run(tmp_path, LOADERS[case](rows))
    message = str(caught.value)
    assert re.search(r"row \d of 'the batch' has the parts \['a', 'b'.*\], row 0 has the parts \['a', 'b'", message)
    fill, keep = re.findall(r"lambda rows: \[.*?\} for row in rows\]", message)
    for number, (line, wanted) in enumerate(((fill.replace("...", "-1"), ["a", "b", "c"]), (keep, ["a", "b"]))):
        result = run(tmp_path / str(number), DataLoader(rows, batch_size=4, collate_fn=eval(line)))
        found = list(tfds_builder.as_torch(result.path, "train"))
        assert [sorted(example) for example in found] == [wanted] * 8
        assert [int(example["b"]) for example in found] == list(range(8))
        assert number or [int(row["c"]) for row in found] == [-1 if i in missing else 10 * i for i in range(8)]


def test_parts_that_are_dicts_with_unlike_keys(tmp_path):
    """A batch of two dicts, each with columns of its own, is a structure as ever."""
    pairs = [({"a": torch.arange(3) + i}, {"b": torch.tensor(i)}) for i in range(6)]
    for name, dataset in (("map", pairs), ("stream", Stream(pairs))):
        result = run(tmp_path / name, DataLoader(dataset, batch_size=2, collate_fn=lambda rows: default_collate(rows)))
        assert [int(row[1]["b"]) for row in tfds_builder.as_torch(result.path, "train")] == list(range(6))


def test_targets_without_a_key(tmp_path):
    """Dicts beside other columns are rows too, and the error names their feature."""
    rows = [(torch.arange(3), keyed(number, {1})) for number in range(4)]
    for collate in (
        lambda rows: tuple(zip(*rows, strict=True)),
        lambda rows: [torch.stack([x for x, _ in rows]), [y for _, y in rows]],
    ):
        with pytest.raises(SchemaError, match=r"'label': its dicts have different keys, \['a', 'b', 'c'\] and \['a', 'b'\]"):
            run(tmp_path, DataLoader(rows, batch_size=4, collate_fn=collate))


ONE_PAD = {
    "ends differ": [[5, 6, 7], [8, 9], [4, 4]],
    "an end token": [[5, 6, 2], [8, 2], [4, 2]],
    "an end token, one row": [[5, 6, 2], [8, 2]],
    "a start token": [[1, 6, 7], [1, 9], [1, 4]],
    "no end in common": [[5, 6, 7], [8, 9], [4, 9]],
}


@pytest.mark.parametrize("case", ONE_PAD)
def test_rows_of_one_pad_in_front(case, tmp_path):
    """Lengths beside rows padded in front are refused where each padded row has one pad; behind the values they are stored, start
    and end tokens or not."""
    rows = [torch.tensor(row) for row in ONE_PAD[case]]
    for in_front in (True, False):
        collate = lambda rows, side=in_front: {"ids": padded(rows, side), "n": torch.tensor(list(map(len, rows)))}  # noqa: E731
        loader = DataLoader(rows, batch_size=len(rows), collate_fn=collate)
        if in_front:
            with pytest.raises(SchemaError, match=r"feature 'ids': 'n' would cut off values.*padded in front; give a mask"):
                run(tmp_path, loader, unpad={"ids": "n"})
            continue
        found = tfds_builder.as_torch(run(tmp_path, loader, unpad={"ids": "n"}).path, "train")
        assert [found[n]["ids"].tolist() for n in range(len(rows))] == ONE_PAD[case]


def test_rows_that_begin_with_zero_and_have_one_pad_behind(tmp_path):
    """Rows that begin with a start token of 0 and are padded with 1, as RoBERTa's, are no rows padded in front."""
    batch = {"ids": torch.tensor([[0, 5, 6], [0, 7, 1], [0, 8, 1]]), "n": torch.tensor([3, 2, 2])}
    result = run(tmp_path, DataLoader([batch], batch_size=1, collate_fn=lambda rows: rows[0]), unpad={"ids": "n"})
    assert [row["ids"].tolist() for row in tfds_builder.as_torch(result.path, "train")] == [[0, 5, 6], [0, 7], [0, 8]]
