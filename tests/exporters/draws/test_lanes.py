"""Streams in lanes: what each gives, the same bytes whoever reads them, what is refused, and going on after a stop."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import multiprocessing
import os
import pathlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from engines_kit import PNG, Parts, Rows, fixed, picture, text, told
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from torch.utils.data.datapipes.iter import IterableWrapper

import exporters
from exporters.draws.apart import Part
from exporters.draws.lanes import LaneDraws, Lanes, has_lanes
from exporters.hazards.repeats import find_repeating
from exporters.loaders import facts
from tfds_builder.table.table import Table

pytestmark = [
    pytest.mark.once,
    pytest.mark.filterwarnings("ignore::exporters.HazardWarning", "ignore:This DataLoader will create"),
]
FORK = {"engine": "processes", "engine_options": {"workers": 2, "start_method": "fork"}}
SPAWN = {"engine": "processes", "engine_options": {"workers": 2, "start_method": "spawn"}}
ALONE = {"engine": "processes", "engine_options": {"workers": 1, "start_method": "fork"}}


class Stream(IterableDataset):
    """Rows made of their numbers, of which each worker gives those that are its own. Used up, it gives none."""

    def __init__(self, make=fixed, count=70, log=None):
        self.make, self.count, self.log, self.is_used = make, count, log, False

    def numbers(self, worker, workers):
        return range(worker, self.count, workers)

    def __iter__(self):
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        numbers = [] if self.is_used else self.numbers(worker, workers)
        self.is_used = True
        for number in numbers:
            if self.log is not None:
                with open(self.log, "a") as stream:
                    stream.write(f"{worker} {number}\n")
            if os.environ.get("STOP_AT") == str(number):
                raise RuntimeError("stopped")
            yield self.make(number)


class Naive(Stream):
    """Every worker gives everything."""

    def numbers(self, worker, workers):
        return range(self.count)


class Paired(Stream):
    """Workers 0 and 2 give the same, and so do workers 1 and 3."""

    def numbers(self, worker, workers):
        return range(worker % 2, self.count, 2)


class Late(Stream):
    """Worker 0 gives nothing, and neither does worker 2."""

    def numbers(self, worker, workers):
        return range(worker, self.count, 2) if worker % 2 else []


def drawn(number):
    return {"number": number, "x": torch.rand(5), "y": torch.randint(9, (2,))}


def divide(worker):
    """A `worker_init_fn` that gives each worker its part, as PyTorch's documentation of IterableDataset shows it."""
    info = get_worker_info()
    assert worker == info.id
    info.dataset.own = range(worker, 60, info.num_workers)


class Told(IterableDataset):
    def __iter__(self):
        return map(drawn, self.own)


def stateful(**options):
    return pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader(Stream(drawn, 60), 3, **options)


KINDS = {
    "stream": lambda **options: DataLoader(Stream(drawn, 60), 3, **options),
    "without batches": lambda **options: DataLoader(Stream(drawn, 60), None, **options),
    "worker_init_fn": lambda **options: DataLoader(Told(), 3, worker_init_fn=divide, **options),
    "datapipe": lambda **options: DataLoader(IterableWrapper(range(60)).sharding_filter().map(drawn), 3, **options),
    "persistent": lambda **options: DataLoader(Stream(drawn, 60), 3, persistent_workers=True, **options),
    "stateful": stateful,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_lane_is_a_worker(kind):
    """Lane i gives what worker i of the loader would give, drawn numbers included."""
    one, other = (KINDS[kind](num_workers=3, generator=torch.Generator().manual_seed(11)) for _ in range(2))
    assert has_lanes(one)
    lanes = Lanes.of(one)
    found = dict(batch for lane in range(3) for batch in lanes.drain(one, lane))
    assert sorted(found) == list(range(60 if one.batch_size is None else 21))
    for number, batch in enumerate(other):
        assert facts.is_same(found[number], batch)


def read_here(kind, results):
    """Lanes read one after the other by this process itself, of a dataset that comes pickled."""
    loader = KINDS[kind](num_workers=3, generator=torch.Generator().manual_seed(11))
    lanes, part = Lanes.of(loader), Part.pickled_of(loader, "train")
    found = {number: batch for lane in (1, 2, 0) for number, batch in LaneDraws(part, lanes).drain(lane)}
    expected = list(loader_of_the_same(kind))
    results.put((len(found), [facts.is_same(found[number], batch) for number, batch in enumerate(expected)]))


def loader_of_the_same(kind):
    return KINDS[kind](num_workers=3, generator=torch.Generator().manual_seed(11))


@pytest.mark.parametrize("kind", KINDS)
def test_a_lane_that_is_read_here(kind):
    """Where the dataset came pickled, the process that does the task is that worker, with a dataset of its own for each lane."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=read_here, args=(kind, results))
    process.start()
    count, are_same = results.get()
    process.join()
    assert count == len(are_same) > 15
    assert all(are_same)


def test_one_lane_at_a_time_is_read_here():
    """A process that gets several at a time, as those of a runner may, reads one after the other."""
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=read_at_once, args=(results,))
    process.start()
    assert results.get() == [list(range(lane, 60, 3)) for lane in range(3)]
    process.join()


def read_at_once(results):
    loader = DataLoader(Stream(slowly, 60), None, num_workers=3)
    draws = LaneDraws(Part.pickled_of(loader, "train"), Lanes(3, 1))
    with ThreadPoolExecutor(3) as threads:
        found = threads.map(lambda lane: [int(batch["number"]) for _, batch in draws.drain(lane)], range(3))
        results.put(list(found))


def slowly(number):
    time.sleep(0.002)
    return {"number": number}


def test_the_lanes_of_a_shuffled_datapipe():
    """It is shuffled before it is divided: in every lane alike, so each example is in one lane."""
    piped = IterableWrapper(range(60)).shuffle().sharding_filter()
    loader = DataLoader(piped, 3, num_workers=3)
    lanes = Lanes.of(loader)
    found = [number for lane in range(3) for _, batch in lanes.drain(loader, lane) for number in batch.tolist()]
    assert found != sorted(found) == list(range(60))


def loaders(make, count=70, workers=4):
    torch.manual_seed(1)
    train = DataLoader(Parts(make, count), 4, num_workers=workers, generator=torch.Generator().manual_seed(3))
    return {"train": train, "test": DataLoader([make(number) for number in range(200, 209)], 4)}


def export(loaders, data_dir, **options):
    return exporters.export(loaders, data_dir, **{"name": "ds", "progress": False, "shard_bytes": 200, **options})


def numbers_in(path, split="train"):
    """The column `number` of a published split."""
    return Table.of_split(pathlib.Path(path), split).read(slice(None))["number"].tolist()


@pytest.mark.parametrize(("kind", "format"), [("text", "hdf5"), ("png", "tfrecord"), ("random", "tfrecord")])
def test_the_same_bytes(kind, format, tmp_path, tree):
    """Whoever reads the lanes, and however many at a time."""
    make, features = {"text": (text, None), "png": (picture, PNG), "random": (drawn, None)}[kind]
    ways = {"alone": ALONE, "fork": FORK} | ({"spawn": SPAWN} if kind == "text" else {})
    results = {
        way: export(loaders(make), tmp_path / way, format=format, features=features, **options) for way, options in ways.items()
    }
    for result in results.values():
        assert tree(result.path) == tree(results["alone"].path)
        assert told(result) == told(results["alone"])
    assert results["fork"].examples == {"train": 70, "test": 9}
    assert results["fork"].shards["train"] > 4


def test_lane_follows_lane(tmp_path):
    """The rows of a split are those of lane 0, then those of lane 1, and so on; each example once."""
    result = export(loaders(text), tmp_path, **FORK)
    assert numbers_in(result.path) == [number for lane in range(4) for number in range(lane, 70, 4)]


@pytest.mark.parametrize(("dataset", "workers"), [(Late, 4), (Stream, 5)])
def test_lanes_without_rows(dataset, workers, tmp_path):
    """A lane may give nothing: the first one, the last one, one between."""
    loader = DataLoader(dataset(text, 3), 4, num_workers=workers)
    result = export(loader, tmp_path, **FORK)
    assert sorted(numbers_in(result.path)) == sorted(itertools.chain(*(
        dataset(text, 3).numbers(worker, workers) for worker in range(workers)
    )))  # fmt: skip


@pytest.mark.parametrize(("dataset", "count", "words"), [
    (Naive, 70, "the stream is read in 4 parts, .*, and parts 0 and 1 begin with the same 16 examples"),
    (Naive, 3, "parts 0 and 1 begin with the same 3 examples"),
    (Paired, 70, "parts 0 and 2 begin with the same 16 examples"),
])  # fmt: skip
def test_what_does_not_divide_itself_is_refused(dataset, count, words, tmp_path):
    """Before the first byte, whatever comes before it; the line that mends it is there. It can be accepted."""
    loaders = {
        "train": DataLoader([text(number) for number in range(9)], 2),
        "test": DataLoader(dataset(text, count), 4, num_workers=4),
    }
    with pytest.raises(exporters.HazardError, match=rf"split 'test': .*{words}.*workers_repeat.*get_worker_info\(\)"):
        export(loaders, tmp_path / "data", **FORK)
    assert not list(tmp_path.rglob("*.data"))
    assert not (tmp_path / "data" / "ds").exists()
    result = export(loaders, tmp_path / "data", on_hazard={"default": "warn", "workers_repeat": "ignore"}, **FORK)
    assert result.examples["test"] == sum(len(dataset(text, count).numbers(worker, 4)) for worker in range(4))


def test_one_lane_is_looked_at_at_a_time(monkeypatch, tmp_path):
    """However many there are: whoever reads the one before has ended."""
    running = []

    class Watched(Stream):
        def __iter__(self):
            (tmp_path / f"{get_worker_info().id}-{os.getpid()}").touch()
            return super().__iter__()

    lanes, loader = Lanes(5, 1), DataLoader(Watched(text, 900), 4, num_workers=5)
    for _ in find_repeating([watching(lanes.drain(loader, lane), tmp_path, running) for lane in range(5)]):
        pytest.fail("they differ")
    assert running == [1] * 5


def watching(raws, directory, running):
    """Columns of a lane's batches; notes how many readers there are, at each lane's first one."""
    with contextlib.closing(raws):
        for place, (_, raw) in enumerate(raws):
            if not place:
                running.append(sum(is_running(path.name.split("-")[1]) for path in directory.iterdir()))
            yield {"number": raw["number"].numpy()}


def is_running(pid):
    try:
        return ") Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_what_is_alike_is_not_refused(tmp_path):
    """Rows that are all alike tell nothing."""
    loader = DataLoader(Stream(lambda number: {"x": 1}, 70), 4, num_workers=4)
    assert export(loader, tmp_path, **FORK).examples == {"train": 70}


def going_on(tmp_path, monkeypatch, make=text, **options):
    """Exports into `tmp_path / "data"`, is stopped in a lane, and gives the stream's log."""
    log = tmp_path / "log"
    monkeypatch.setenv("STOP_AT", "182")  # in lane 2, after shards of its own
    loader = DataLoader(Stream(make, 200, os.fspath(log)), 4, num_workers=4, generator=torch.Generator().manual_seed(3))
    with pytest.raises(RuntimeError, match="stopped"):
        export(loader, tmp_path / "data", **{**ALONE, **options})
    monkeypatch.delenv("STOP_AT")
    log.write_text("")
    return log


@pytest.mark.parametrize(("switch", "make", "format"), [
    ("processes", drawn, "tfrecord"), ("local", text, "hdf5"), ("local without workers", drawn, "hdf5"),
])  # fmt: skip
def test_goes_on_lane_by_lane(switch, make, format, tmp_path, monkeypatch, tree):
    """Lanes that are finished are not read again, but for the first batch of one; whoever goes on writes the same bytes."""
    log = going_on(tmp_path, monkeypatch, make, format=format)
    notes = sorted((tmp_path / "data/ds/1.0.0.resume").glob("*.shard.json"))
    assert [note.name for note in notes] == ["train-00000.shard.json", "train-00001.shard.json"]
    assert all(len(json.loads(note.read_bytes())) > 1 for note in notes)
    make_loader = lambda workers: DataLoader(  # noqa: E731
        Stream(make, 200, os.fspath(log)), 4, num_workers=workers, generator=torch.Generator().manual_seed(3)
    )
    options = FORK if switch == "processes" else {"engine": "local"}
    result = export(make_loader(0 if switch.endswith("without workers") else 4), tmp_path / "data", format=format, **options)
    read = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    assert {lane for lane, number in read if number > 100} == {2, 3}
    whole = export(make_loader(4), tmp_path / "whole", format=format, **ALONE)
    assert tree(result.path) == tree(whole.path)
    assert told(result) == told(whole)


def brittle(number):
    if os.environ.get("STOP_AT") == str(number):
        raise RuntimeError("stopped")
    return text(number)


def test_what_comes_after_a_stream_is_stopped(tmp_path, monkeypatch, tree):
    """A stream that is finished is passed over as a whole, with what was seen of it."""
    both = lambda: {"train": loaders(text)["train"], "test": DataLoader(Rows(brittle, 90), 4)}  # noqa: E731
    monkeypatch.setenv("STOP_AT", "85")  # which the stream has not
    with pytest.raises(RuntimeError, match="stopped"):
        export(both(), tmp_path / "data", **FORK)
    monkeypatch.delenv("STOP_AT")
    result = export(both(), tmp_path / "data", **FORK)
    whole = export(both(), tmp_path / "whole", **ALONE)
    assert tree(result.path) == tree(whole.path)
    assert told(result) == told(whole)


def test_other_data_is_refused(tmp_path, monkeypatch):
    """What a finished lane begins with is compared; a lane that has become empty differs too."""
    going_on(tmp_path, monkeypatch)
    for other, words in [
        (lambda number: text(number + 1), "batch 0, feature 'number', row 0"),
        (None, "batch 0, which has no rows now"),
    ]:
        dataset = Late(text, 200) if other is None else Stream(other, 200)
        with pytest.raises(exporters.ResumeError, match=f"{words}: the loader gives other data"):
            export(DataLoader(dataset, 4, num_workers=4), tmp_path / "data", **ALONE)


class Fickle(Stream):
    """Gives other numbers each time it is read."""

    def __init__(self, *args):
        super().__init__(*args)
        self.make = lambda number: {"number": number, "x": int.from_bytes(os.urandom(4))}


def test_random_data_goes_on(tmp_path, monkeypatch):
    """What differs each time it is read has not changed."""
    log = tmp_path / "log"
    monkeypatch.setenv("STOP_AT", "182")
    with pytest.raises(RuntimeError, match="stopped"):
        export(DataLoader(Fickle(None, 200, os.fspath(log)), 4, num_workers=4), tmp_path / "data", **ALONE)
    monkeypatch.delenv("STOP_AT")
    result = export(DataLoader(Fickle(None, 200), 4, num_workers=4), tmp_path / "data", **ALONE)
    assert sorted(numbers_in(result.path)) == list(range(200))


def test_a_lane_whose_note_is_gone_is_written_again(tmp_path, monkeypatch, tree):
    """Whatever comes behind it stays."""
    going_on(tmp_path, monkeypatch)
    os.unlink(tmp_path / "data/ds/1.0.0.resume/train-00000.shard.json")
    result = export(loaders(text, 200)["train"], tmp_path / "data", **FORK)
    assert tree(result.path) == tree(export(loaders(text, 200)["train"], tmp_path / "whole", **FORK).path)


def test_damaged_notes_of_lanes(tmp_path, monkeypatch):
    """They are refused in words."""
    going_on(tmp_path, monkeypatch)
    for content in ("{}", "[1]", '[{"rows": 3}]', "3"):
        (tmp_path / "data/ds/1.0.0.resume/train-00000.shard.json").write_text(content)
        with pytest.raises(exporters.ResumeError, match="cut short or changed"):
            export(loaders(text, 200)["train"], tmp_path / "data", **ALONE)


def test_a_local_export_keeps_its_order(tmp_path, tree):
    """Begun by one process in the loader's own order, it is gone on with in that order, whatever engine is asked for."""

    class Stopping(Stream):
        def numbers(self, worker, workers):
            return range(worker, 200 if os.environ.get("STOP_AT") is None else 60, workers)

    whole = export(DataLoader(Stream(text, 200), 4, num_workers=2), tmp_path / "whole")
    assert numbers_in(whole.path)[:8] == [0, 2, 4, 6, 1, 3, 5, 7]
    os.environ["STOP_AT"] = "40"
    try:
        with pytest.raises(RuntimeError, match="stopped"):
            export(DataLoader(Stream(text, 200), 4, num_workers=2), tmp_path / "data")
    finally:
        del os.environ["STOP_AT"]
    with pytest.warns(exporters.ExportWarning, match="drained by this process alone"):
        result = export(DataLoader(Stream(text, 200), 4, num_workers=2), tmp_path / "data", **FORK)
    assert tree(result.path) == tree(whole.path)


class StreamingDataset(Stream):
    """Called as that of MosaicML's."""

    __module__ = "streaming.base.dataset"


class OwnWay(DataLoader):
    def __iter__(self):
        return super().__iter__()


@pytest.mark.parametrize(("make", "words"), [
    (lambda: DataLoader(Stream(text, 9), 4), r"DataLoader\(..., num_workers=4\) has it read in 4 parts"),
    (lambda: DataLoader(Stream(text, 9), 4, num_workers=1), r"DataLoader\(..., num_workers=4\) has it read in 4 parts"),
    (lambda: OwnWay(Stream(text, 9), 4, num_workers=2), "OwnWay iterates in a way of its own"),
    (lambda: DataLoader(StreamingDataset(text, 9), 4, num_workers=2), r"wait for one another; .*Subset\(dataset, range"),
])  # fmt: skip
def test_what_has_no_lanes_is_drained_here(make, words, tmp_path, tree):
    """A warning says why, and what gives it some; the bytes are those of an export without an engine."""
    with pytest.warns(exporters.ExportWarning, match=words):
        shared = export(make(), tmp_path / "shared", **FORK)
    assert tree(shared.path) == tree(export(make(), tmp_path / "whole").path)


def test_what_cannot_be_pickled_is_named(tmp_path):
    """To processes that are forked it needs not be."""
    dataset = Stream(text, 9)
    dataset.lock = threading.Lock()
    loader = DataLoader(dataset, 4, num_workers=2)
    with pytest.raises(exporters.LoaderError, match=r"dataset\.lock \(of type lock\) cannot be pickled"):
        export(loader, tmp_path / "data", **SPAWN)
    assert not (tmp_path / "data").exists()
    assert export(loader, tmp_path / "data", **FORK).examples == {"train": 9}


def test_plain_values():
    """Lanes go into the plan as JSON, and come back."""
    lanes = Lanes.of(DataLoader(Stream(), 4, num_workers=2))
    assert Lanes(**json.loads(json.dumps(dataclasses.asdict(lanes)))) == lanes
    assert not any(map(has_lanes, [DataLoader(Stream(), 4), DataLoader([1, 2], 1, num_workers=2)]))


def test_nothing_is_left(tmp_path, monkeypatch):
    """Of a lane that was stopped, what it had written goes with the next run."""
    going_on(tmp_path, monkeypatch)
    result = export(loaders(text, 200)["train"], tmp_path / "data", **FORK)
    names = {path.name for path in pathlib.Path(result.path).iterdir()}
    assert not [name for name in names if name.endswith((".data", ".index"))]
    assert not (tmp_path / "data/ds/1.0.0.resume").exists()
