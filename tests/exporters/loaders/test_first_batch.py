"""What the lists of a first batch are: told by what collate_fn makes of one example, or by the batch."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

MISREAD = {
    "as many rows as channels": (
        [torch.full((3, 4, 5), n, dtype=torch.uint8) for n in range(6)],
        {"batch_size": 3, "collate_fn": list},
        "image",
        (4, 5, 3),
    ),
    "as many rows as items": ([[1, 2], [3, 4]], {"batch_size": 2, "collate_fn": lambda rows: {"x": rows}}, "x", (2,)),
    "one row of one item": ([[5], [6]], {"batch_size": 1, "collate_fn": lambda rows: {"x": rows}}, "x", (1,)),
    "batches of unknown size": (
        [(torch.ones(2, 6, 6), n) for n in range(4)],
        {
            "batch_sampler": torch.utils.data.BatchSampler(range(4), 2, False),
            "collate_fn": lambda rows: {"x": [row[0] for row in rows], "y": torch.tensor([row[1] for row in rows])},
        },
        "x",
        (6, 6, 2),
    ),
    "rows joined": (
        [(torch.ones(4, 5), torch.zeros(4, 5))] * 2,
        {"batch_size": 2, "collate_fn": lambda rows: tuple(torch.cat(part) for part in zip(*rows, strict=True))},
        "features",
        (5,),
    ),
    "fewer rows than the batch size": (
        [[1, 2], [3, 4], [5, 6]],
        {"batch_size": 8, "sampler": [0, 2], "collate_fn": list},
        "x",
        (2,),
    ),
}


@pytest.mark.parametrize("case", MISREAD)
def test_lists_of_rows_are_told_from_lists_of_features(case, publish, read_back):
    """What has an item a row is told by batches of other sizes, where a batch alone could be read both ways."""
    rows, options, name, shape = MISREAD[case]
    names = ["x"] if case.startswith("fewer") else None
    result = publish(
        DataLoader(rows, **options), on_hazard="ignore", names=names, layouts={name: "NCHW"} if len(shape) == 3 else None
    )
    assert read_back(result)[name].shape[1:] == shape


ASKED = """
    import os, sys, torch, exporters
    from tfds_builder import Table

    class Opens(torch.utils.data.Dataset):
        main = None

        def __len__(self):
            return 6

        def __getitem__(self, index):
            if os.getpid() == self.main:
                sys.exit("read in the main process")
            return {"image": torch.full((3, 4, 5), index, dtype=torch.uint8)}

    if __name__ == "__main__":
        dataset = Opens()
        dataset.main = os.getpid()
        options = {"num_workers": 1, "multiprocessing_context": sys.argv[2], "collate_fn": list}
        loader = torch.utils.data.DataLoader(dataset, batch_size=3, **options)
        result = exporters.export(loader, sys.argv[1], name="ds", layouts={"image": "NCHW"}, on_hazard="ignore", progress=False)
        print(Table.of_split(result.path, "train").read(slice(None))["image"].shape)
"""


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_dataset_with_workers_is_asked_in_a_worker(context, run_python, tmp_path):
    """The main process reads no example of a dataset that has workers, as a file opened at the first read would be shared
    with its forked workers; lists of rows are told all the same."""
    assert run_python(ASKED, tmp_path / "data", context).stdout.strip() == "(6, 4, 5, 3)"


def test_an_iterable_dataset_is_not_asked(publish, read_back):
    """Of a stream, which cannot be read twice, the first batch alone tells."""

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from ({"x": torch.ones(n)} for n in (2, 0, 1))

    found = read_back(publish(DataLoader(Stream(), batch_size=2, collate_fn=list), on_hazard="ignore"))
    assert [len(row) for row in np.split(found["x"].values, found["x"].row_splits[1:-1])] == [2, 0, 1]


def numbered(number, as_dict=True):
    values = torch.arange(4) + 10 * number
    return {"x": values} if as_dict else (values, values)


KEPT = {
    "list of dicts": list,
    "dict of lists": lambda rows: {"x": [row["x"] for row in rows]},
    "list of pairs": list,
    "zip of pairs": lambda rows: tuple(zip(*rows, strict=True)),
    "stacks of pairs": lambda rows: [torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])],
    "pairs made of dicts": lambda rows: [[row["x"], row["x"]] for row in rows],
}


class Numbered(torch.utils.data.IterableDataset):
    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


def rows_in(found):
    return found["x" if "x" in found else "features"][:, 0].tolist()


@pytest.mark.parametrize("left_out", [(2, 5), (0, 5), (1, 2, 3), ()])
@pytest.mark.parametrize("case", KEPT)
@pytest.mark.parametrize("kind", ["map", "stream", "keys"])
def test_batches_with_fewer_rows_than_asked_for(kind, case, left_out, publish, read_back):
    """Rows stay rows where `collate_fn` leaves out broken ones, as many do, also in the first batch."""

    def collate(rows):
        values = [next(iter(row.values())) if isinstance(row, dict) else row[0] for row in rows]
        return KEPT[case]([row for row, value in zip(rows, values, strict=True) if int(value[0]) // 10 not in left_out])

    if kind == "stream" and "made of" in case:
        pytest.skip("an example cannot be told from its batch, and a stream is not asked for another")
    dataset, options = [numbered(number, "dict" in case) for number in range(8)], {}
    if kind == "keys":
        dataset, options = {f"k{number}": row for number, row in enumerate(dataset)}, {"sampler": [f"k{n}" for n in range(8)]}
    loader = DataLoader(Numbered(dataset) if kind == "stream" else dataset, batch_size=4, collate_fn=collate, **options)
    found = rows_in(read_back(publish(loader, on_hazard="ignore")))
    assert found == [number * 10 for number in range(8) if number not in left_out]


@pytest.mark.parametrize("case", [case for case in KEPT if "made of" not in case])
@pytest.mark.parametrize("batch_size", [4, 5, 8])
def test_a_stream_shorter_than_a_batch(batch_size, case, publish, read_back):
    """Three rows of a stream are three rows, whatever the batch size and however long they are."""
    dataset = Numbered([numbered(number, "dict" in case) for number in range(3)])
    loader = DataLoader(dataset, batch_size=batch_size, collate_fn=KEPT[case])
    assert rows_in(read_back(publish(loader, on_hazard="ignore"))) == [0, 10, 20]


def test_collate_fn_that_writes_into_examples(publish, read_back):
    """A `collate_fn` that changes the examples it is given has changed each once when it is exported."""

    def collate(rows):
        for row in rows:
            row["x"] += 1
        return rows

    found = read_back(publish(DataLoader([numbered(n) for n in range(4)], batch_size=4, collate_fn=collate), on_hazard="ignore"))
    assert rows_in(found) == [1, 11, 21, 31]


def test_a_list_of_dicts_in_a_stream_of_batches(publish, read_back):
    """Where batches come ready made, a list of dicts has a row each."""
    batches = [[numbered(3 * n), numbered(3 * n + 1), numbered(3 * n + 2)] for n in range(2)]
    loader = DataLoader(batches, batch_size=1, collate_fn=lambda items: items[0])
    assert rows_in(read_back(publish(loader, on_hazard="ignore"))) == [0, 10, 20, 30, 40, 50]
