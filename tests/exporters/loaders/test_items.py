"""Without a batch size, what an item of a dataset is, an example or a batch of them, is shown or asked, and never guessed."""

from __future__ import annotations

import io
import operator
import re
import tarfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler, TensorDataset
from torchdata.stateful_dataloader import StatefulDataLoader

import exporters
from exporters import LoaderError
from exporters.loaders import items

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (70, 3, 8, 9), np.uint8))
LABELS = torch.arange(70) % 3
PAIRS = list(zip(IMAGES, LABELS.tolist(), strict=True))
LOADERS = {"torch": DataLoader, "torchdata": StatefulDataLoader}


class Stream(IterableDataset):
    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


class ForeignLoader:
    """Gives batches, and is no DataLoader."""

    def __iter__(self):
        return iter([torch.zeros(2, 3), torch.ones(1, 3)])


SINGLE = {
    "images": (list(IMAGES), {"image": IMAGES.permute(0, 2, 3, 1)}),
    "pairs": (PAIRS, {"image": IMAGES.permute(0, 2, 3, 1), "label": LABELS}),
    "images and vectors as long as they have channels": (
        list(zip(IMAGES, torch.eye(3)[LABELS], strict=True)),
        {"image": IMAGES.permute(0, 2, 3, 1), "label": torch.eye(3)[LABELS]},
    ),
    "dicts": (
        [{"x": row.numpy(), "n": n} for n, row in enumerate(IMAGES)],
        {"x": IMAGES.permute(0, 2, 3, 1), "n": torch.arange(70)},
    ),
    "vectors": (list(IMAGES.reshape(70, -1)), {"features": IMAGES.reshape(70, -1)}),
    "numbers": (LABELS.tolist(), {"features": LABELS}),
    "tensors of no axes": (list(LABELS), {"features": LABELS}),
    "parts that agree once": (
        [{"a": torch.zeros(3 + n % 2), "b": torch.zeros(3)} for n in range(70)],
        {"b": torch.zeros(70, 3)},
    ),
}


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("case", SINGLE)
def test_single_examples(case, workers, kind, publish, read_back):
    """The items of a map-style dataset are examples: as many rows as it is long, in its order, and the decisions say so."""
    rows, expected = SINGLE[case]
    result = publish(
        LOADERS[kind](rows, batch_size=None, num_workers=workers),
        on_hazard={"default": "error", "duplicates": "ignore", "one_hot": "ignore"},
    )
    assert result.examples == {"train": 70}
    assert result.counts["train"].expected == 70
    assert result.decisions[0] == "split train: batch_size=None, each item of the dataset is one example"
    found = read_back(result)
    for name, values in expected.items():
        assert np.array_equal(found[name], values.numpy()), name


def test_single_examples_are_as_the_loader_gives_them(publish, read_back):
    """Sampler and collate_fn of a loader without a batch size are heeded, and examples may differ in shape."""
    loader = DataLoader(PAIRS, batch_size=None, sampler=[5, 5, 1], collate_fn=lambda pair: {"x": pair[0][:, : pair[1] + 1] + 1})
    found = read_back(publish(loader, on_hazard="ignore"))["x"]
    expected = [IMAGES[n, :, : int(LABELS[n]) + 1].permute(1, 2, 0) + 1 for n in (5, 5, 1)]
    assert np.array_equal(found.values, torch.cat(expected).numpy())
    assert np.diff(found.row_splits).tolist() == [len(rows) for rows in expected]


def test_a_shuffled_loader_of_single_examples(publish, read_back):
    """The order of an export is that of a loop over the same loader."""

    def loader():
        return DataLoader(
            LABELS * 100 + torch.arange(70), batch_size=None, shuffle=True, generator=torch.Generator().manual_seed(5)
        )

    assert read_back(publish(loader()))["features"].tolist() == [int(value) for value in loader()]


def test_single_examples_go_on_where_they_stopped(publish, tmp_path, tree):
    """An export of single examples that was stopped ends with the bytes of one that was not."""

    class Failing(list):
        fails = True

        def __getitem__(self, index):
            if self.fails and index == 60:
                raise KeyboardInterrupt
            return super().__getitem__(index)

    data = Failing(PAIRS)
    with pytest.raises(KeyboardInterrupt):
        publish(DataLoader(data, batch_size=None), data_dir=tmp_path / "a", shard_bytes=1000)
    data.fails = False
    again = publish(DataLoader(data, batch_size=None), data_dir=tmp_path / "a", shard_bytes=1000)
    whole = publish(DataLoader(data, batch_size=None), data_dir=tmp_path / "b", shard_bytes=1000)
    assert tree(again.path) == tree(whole.path)


BATCHES = {
    "a sampler of batches": lambda: DataLoader(
        TensorDataset(IMAGES, LABELS), batch_size=None, sampler=BatchSampler(SequentialSampler(LABELS), 8, False)
    ),
    "a sampler of lists": lambda: DataLoader(
        TensorDataset(IMAGES, LABELS), batch_size=None, sampler=[list(range(40)), list(range(40, 70))]
    ),
    "a sampler of slices": lambda: DataLoader(
        TensorDataset(IMAGES, LABELS), batch_size=None, sampler=[slice(0, 40), slice(40, 70)]
    ),
    "images with labels, of a stream": lambda: DataLoader(
        Stream([(IMAGES[:40], LABELS[:40]), (IMAGES[40:], LABELS[40:])]), batch_size=None
    ),
    "images with a list, of a stream": lambda: DataLoader(
        Stream([(IMAGES[:40], LABELS[:40].tolist()), (IMAGES[40:], LABELS[40:].tolist())]), batch_size=None
    ),
}


@pytest.mark.parametrize("case", BATCHES)
def test_batches_that_are_shown(case, format, publish, read_back):
    """Batches that the sampler asks for, or that look like images with a label each, are taken as batches."""
    result = publish(BATCHES[case](), format, on_hazard="error")
    assert result.decisions[0] == "split train: batch_size=None, each item is a batch of examples"
    found = read_back(result)
    assert np.array_equal(found["image"], IMAGES.permute(0, 2, 3, 1).numpy())
    assert np.array_equal(found["label"], LABELS.numpy())


POINTS = [(torch.rand(9, 3), torch.arange(9)) for _ in range(4)]
UNSHOWN = {
    "points with labels": (POINTS, 9),
    "tokens with a mask": ([{"ids": torch.arange(6) + n, "mask": torch.ones(6)} for n in range(4)], 6),
    "lists": ([{"ids": [1, 2], "names": ["a", "b"]}] * 3, 2),
    "clips": ([IMAGES[:9], IMAGES[9:18]], 9),
    "a list of dicts": ([[{"a": torch.zeros(3)}] * 2] * 5, 2),
}
UNSHOWN_STREAMS = UNSHOWN | {"images": (list(IMAGES[:6]), 3), "vectors": (list(LABELS.reshape(10, 7)), 7)}
CASES = [("dataset", name) for name in UNSHOWN] + [("stream", name) for name in UNSHOWN_STREAMS]


def lines_of(error):
    """The lines of code that an error names."""
    return re.findall(r"torch\.utils\.data\.DataLoader\(dataset, [^()]*(?:\(0\))?\)", str(error))


@pytest.mark.parametrize(("kind", "case"), CASES)
def test_what_is_not_shown_is_asked(kind, case, publish, refuses):
    """Where nothing tells, the error has a line for either case, and each of them gives what it says."""
    rows, size = UNSHOWN_STREAMS[case]
    dataset = Stream(rows) if kind == "stream" else rows
    error = refuses(DataLoader(dataset, batch_size=None), LoaderError, "split 'train'", "an example or a batch of examples")
    example, batch = [eval(line, {"torch": torch, "operator": operator, "dataset": dataset}) for line in lines_of(error)]
    layouts = {"features": "NTCHW"} if case == "clips" else None
    assert publish(example, on_hazard="ignore", layouts=layouts).examples == {"train": len(rows)}
    assert publish(batch, on_hazard="ignore").examples == {"train": len(rows) * size}


@pytest.mark.parametrize("rows", [PAIRS, [{"text": "a"}] * 3])
def test_examples_of_a_stream(rows, refuses):
    """A stream that shows single examples is refused with the line that makes batches of them."""
    refuses(DataLoader(Stream(rows), batch_size=None), LoaderError, "is one example", "DataLoader(dataset, batch_size=64)")


def test_every_split_is_looked_at(refuses):
    """What the first split is says nothing of the others."""
    loaders = {"train": DataLoader(PAIRS, 10), "test": DataLoader(Stream(list(IMAGES)), batch_size=None)}
    refuses(loaders, LoaderError, "split 'test'")


@pytest.mark.parametrize("collate", [operator.itemgetter(0), lambda items: items[0], lambda anything: anything[0]])
def test_a_collate_fn_that_hands_on(collate, publish):
    """With a batch size of 1, a collate_fn that hands on its item says that it is a batch: nothing is promised, nothing asked."""
    result = publish(DataLoader(POINTS, collate_fn=collate), on_hazard="error")
    assert result.examples == {"train": 36}
    assert result.counts["train"].expected is None


@pytest.mark.parametrize(
    ("options", "hands_on"),
    [
        ({"batch_size": 1, "collate_fn": operator.itemgetter(1)}, False),
        ({"batch_size": 1, "collate_fn": lambda items: items[1]}, False),
        ({"batch_size": 1, "collate_fn": lambda items: items[0][0]}, False),
        ({"batch_size": 1, "collate_fn": torch.stack}, False),
        ({"batch_size": 1}, False),
        ({"batch_size": 2, "collate_fn": operator.itemgetter(0)}, False),
        ({"batch_size": 1, "collate_fn": operator.itemgetter(0)}, True),
    ],
)
def test_hands_on(options, hands_on):
    """Only the first item, as it is, counts as handed on, and no collate_fn is called to tell."""
    from exporters.loaders.facts import hands_on as tells

    assert tells(DataLoader(POINTS, **options)) is hands_on


@given(
    st.lists(st.tuples(*[st.lists(st.integers(0, 5), max_size=3)] * 2), min_size=1, max_size=3),
    st.sampled_from([torch.zeros, np.zeros]),
)
@settings(max_examples=80, deadline=None)
def test_rows_are_never_cut_out_of_items_unasked(shapes, make):
    """Whatever the shapes of the items: a map-style dataset gives as many examples as it is long, or batches of images, or is
    asked about."""
    dataset = [{"a": make(tuple(a)), "b": make(tuple(b))} for a, b in shapes]
    loader = DataLoader(dataset, batch_size=None)
    could_be_batches = all(a[:1] == b[:1] and a for a, b in shapes[:3])
    try:
        settled = items.settle(loader, "train")
    except LoaderError:
        assert could_be_batches
        return
    if settled is loader:
        assert could_be_batches
        assert all(4 in (len(a), len(b)) for a, b in shapes[:3])
    else:
        assert sum(len(batch) for batch in settled) == len(dataset)


@pytest.mark.needs_tensorflow
def test_live():
    """in_memory and stream treat single examples as export does."""
    for live in (exporters.in_memory, exporters.stream):
        found = live(DataLoader(PAIRS, batch_size=None)).as_numpy_iterator()
        assert [int(row["label"]) for row in found] == LABELS.tolist()
        with pytest.raises(LoaderError, match="an example or a batch"):
            live(DataLoader(POINTS, batch_size=None))
        with pytest.raises(LoaderError, match="an example or a batch"):
            live(DataLoader(Stream(POINTS), batch_size=None))


def test_a_loader_of_another_library(publish, refuses):
    """A loader that is none of PyTorch's is named with its module, and the line that takes it works."""
    error = str(refuses(ForeignLoader(), LoaderError, f"got {__name__}.ForeignLoader"))
    line = error.partition("wrap it: ")[2]
    loader = eval(line, {"torch": torch, "operator": operator, "loader": ForeignLoader()})
    assert publish(loader, on_hazard="error").examples == {"train": 3}


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """A tar file of 14 arrays (4, 3) with a class each."""
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    with tarfile.open(path, "w") as tar:
        for number in range(14):
            array = io.BytesIO()
            np.save(array, np.full((4, 3), number, np.float32))
            for name, content in (("npy", array.getvalue()), ("cls", str(number % 3).encode())):
                info = tarfile.TarInfo(f"{number:03}.{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return str(path)


def pipelines(shard):
    webdataset = pytest.importorskip("webdataset")

    def singles():
        return webdataset.WebDataset(shard, shardshuffle=False).decode().to_tuple("npy", "cls")

    return {
        "WebLoader": lambda: webdataset.WebLoader(singles(), batch_size=5),
        "WebLoader of batches": lambda: webdataset.WebLoader(singles().batched(5), batch_size=None),
        "WebLoader, batched again": lambda: webdataset.WebLoader(singles(), batch_size=3).unbatched().batched(5),
        "WebDataset": lambda: singles().batched(5),
        "DataLoader of it": lambda: DataLoader(singles().batched(5), batch_size=None),
        "DataLoader of single examples": lambda: DataLoader(singles(), batch_size=5),
    }


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves files open
@pytest.mark.parametrize(
    "case",
    [
        "WebLoader",
        "WebLoader of batches",
        "WebLoader, batched again",
        "WebDataset",
        "DataLoader of it",
        "DataLoader of single examples",
    ],
)
def test_webdataset(case, shard, publish, read_back):
    """A pipeline of webdataset's that makes batches is taken as it is: its rows are the examples."""
    found = read_back(publish(pipelines(shard)[case](), on_hazard="error"))
    assert found["features"][:, 0, 0].tolist() == list(range(14))
    assert found["label"].tolist() == [number % 3 for number in range(14)]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves files open
def test_the_loader_within_a_web_loader(shard):
    """A WebLoader that is nothing but a DataLoader is that one, with its workers; any other remains what it is."""
    made = pipelines(shard)
    for case in ("WebLoader", "WebLoader of batches"):
        loader = made[case]()
        assert items.settle(loader, "train") is loader.pipeline[0]
    for loader in (made["WebLoader, batched again"](), made["WebLoader"]().with_epoch(2), made["WebLoader"]().repeat(2)):
        assert items.settle(loader, "train").dataset is loader


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves files open
def test_batches_of_batches(shard, refuses, publish):
    """A DataLoader that would make batches of a WebLoader's batches is refused, and the line that it is told works."""
    dataset = pipelines(shard)["WebLoader"]()
    error = str(refuses(DataLoader(dataset, batch_size=64), LoaderError, "gives batches", "webdataset.compat.WebLoader"))
    (line,) = re.findall(r"torch\.utils\.data\.DataLoader\(dataset, batch_size=None\)", error)
    assert publish(eval(line, {"torch": torch, "dataset": dataset})).examples == {"train": 14}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves files open
def test_single_examples_of_webdataset(shard, refuses, publish):
    """A pipeline of single examples is refused, and the line that it is told works: it makes batches by a stage of its own."""
    webdataset = pytest.importorskip("webdataset")
    dataset = webdataset.WebDataset(shard, shardshuffle=False).decode().to_tuple("npy", "cls")
    cases = {
        "dataset.batched(64)": (dataset, dataset),
        "torch.utils.data.DataLoader(dataset.batched(64), batch_size=None)": (DataLoader(dataset, batch_size=None), dataset),
        "dataset.compose(webdataset.batched(64))": (plain := webdataset.DataPipeline(*dataset.pipeline), plain),
    }
    for line, (refused, part) in cases.items():
        error = str(refuses(refused, LoaderError, "is one example", f"let the pipeline make batches: {line} ("))
        for way in (line, line.replace("(64", "(64, collation_fn=None")):
            loader = eval(way, {"torch": torch, "webdataset": webdataset, "dataset": part})
            assert publish(loader).examples == {"train": 14}, error


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # it leaves files open
def test_last_batches_of_a_pipeline(shard, publish):
    """A last batch that a stage of a pipeline leaves out is a drop_last, at whichever stage, and the line mends it."""
    webdataset = pytest.importorskip("webdataset")
    single = lambda: webdataset.WebDataset(shard, shardshuffle=False).decode().to_tuple("npy", "cls")  # noqa: E731
    pipe = torch.utils.data.datapipes.iter.IterableWrapper(PAIRS)
    cases = [
        (single().batched(5, partial=False), "up to 4 examples", ".batched(5), without partial=False"),
        (single().batched(5, webdataset.filters.default_collation_fn, False), "up to 4 examples", ".batched(5), without"),
        (DataLoader(single().batched(5, partial=False), batch_size=None), "up to 4 examples", ".batched(5), without"),
        (webdataset.WebLoader(single().batched(6, partial=False), batch_size=None, num_workers=2), "up to 10 ", ".batched(6)"),
        (webdataset.WebLoader(single(), batch_size=5, drop_last=True), "up to 4 examples", "drop_last=False"),
        (webdataset.WebLoader(single(), batch_size=4).unbatched().batched(3, partial=False), "up to 2 examples", ".batched(3)"),
        (DataLoader(single().batched(4, partial=False).unbatched(), batch_size=3), "up to 3 examples", ".batched(4)"),
        (DataLoader(pipe.batch(5, drop_last=True).unbatch(), batch_size=2), "up to 4 examples", "drop_last=False"),
    ]
    for loader, words, line in cases:
        with pytest.raises(exporters.HazardError, match=r"\(drop_last\)") as caught:
            publish(loader, on_hazard={"default": "ignore", "drop_last": "error"})
        assert words in str(caught.value)
        assert line in str(caught.value)
    for loader in (single().batched(5), single().batched(1, partial=False), DataLoader(pipe.batch(5).unbatch(), batch_size=2)):
        assert publish(loader, on_hazard={"default": "ignore", "drop_last": "error"}).counts["train"].written >= 12
