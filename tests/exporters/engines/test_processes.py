"""`engine="processes"`: the bytes of one process, from several; its errors; what it leaves, on disk and running, when it ends."""

from __future__ import annotations

import json
import multiprocessing
import operator
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from producer_kit import Images, raise_my_error, run
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

import exporters
from exporters.engines.processes import Processes
from tfds_builder.table.table import Table

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore::exporters.HazardWarning")]

FORK = {"engine": "processes", "engine_options": {"workers": 2, "start_method": "fork"}}
SPAWN = {"engine": "processes", "engine_options": {"workers": 2, "start_method": "spawn"}}


class Rows(Dataset):
    """Rows of many kinds, made of their numbers."""

    def __init__(self, make, count=90):
        self.make, self.count = make, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.make(index)


def fixed(index):
    return {"image": torch.full((3, 5, 6), index, dtype=torch.uint8), "label": index % 7, "x": torch.arange(4) * index}


def text(index):
    return {"text": "é" * (index % 9), "number": index, "words": ["a"] * 2}


def picture(index):
    return {"image": torch.full((3, 7, 6), index * 2, dtype=torch.uint8), "label": index % 3}


def episode(index):
    steps = [{"frame": torch.full((3, 4, 4), step, dtype=torch.uint8), "action": float(step)} for step in range(1 + index % 5)]
    return {"steps": steps, "id": index}


def floats(index):
    return {"image": ((torch.arange(3 * 8 * 8).reshape(3, 8, 8) + index) % 50 + 40).float() / 255, "label": index % 3}


def rows_of(examples):
    return {key: [example[key] for example in examples] for key in examples[0]}


def half(examples):
    """Batches that lose rows, all of them here and there."""
    return torch.utils.data.default_collate([row for row in examples if 10 <= row["number"] < 60] or examples[:0])


def shuffled(make, **options):
    return DataLoader(Rows(make), 4, shuffle=True, generator=torch.Generator().manual_seed(2), **options)


PNG = {"features": {"image": tfds.features.Image(shape=(7, 6, 3)), "label": tfds.features.ClassLabel(num_classes=3)}}
CASES = {
    "fixed": (lambda: {"train": shuffled(fixed), "test": DataLoader(Rows(fixed, 9), 4)}, {"shard_bytes": 2000}),
    "text": (lambda: shuffled(text), {"shard_bytes": 400}),
    "integers": (lambda: shuffled(floats), {"shard_bytes": 2000, "integers": {"image": (0, 1)}}),
    "png": (lambda: shuffled(picture, num_workers=1), {"shard_bytes": 900, **PNG}),
    "episodes": (
        lambda: DataLoader(Rows(episode), 5, collate_fn=rows_of),
        {"shard_bytes": 3000, "layouts": {"steps/frame": "NTCHW"}},
    ),
    "batches": (lambda: DataLoader([fixed_batch(n) for n in range(12)], collate_fn=operator.itemgetter(0)), {"shard_bytes": 300}),
}


def fixed_batch(number):
    return {"x": np.full((3 + number % 4, 6), number, np.float32), "label": np.arange(3 + number % 4)}


def export(loaders, data_dir, **options):
    return exporters.export(loaders, data_dir, **{"name": "ds", "progress": False, **options})


def told(result):
    """The hazards and counts that an export told."""
    return [(hazard.name, hazard.split, hazard.count) for hazard in result.hazards], result.counts


@pytest.mark.parametrize("case", CASES)
def test_the_same_bytes(case, format, tmp_path, tree):
    """Every file has the bytes that one process writes, and the same hazards and counts are told, whatever is stored."""
    make, options = CASES[case]
    whole = export(make(), tmp_path / "local", format=format, **options)
    shared = export(make(), tmp_path / "processes", format=format, **options, **FORK)
    assert whole.shards["train"] > 2
    assert tree(shared.path) == tree(whole.path)
    assert told(shared) == told(whole)


@pytest.fixture
def pickled_by_value():
    """What this module defines goes to another process as it is: none can import a module of tests."""
    cloudpickle = pytest.importorskip("cloudpickle")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


@pytest.mark.usefixtures("pickled_by_value")
def test_the_same_bytes_from_spawned_processes(tmp_path, tree):
    """So it is where the dataset is pickled; what only this test defines goes by cloudpickle."""
    make = lambda: shuffled(lambda index: {**text(index), "more": fixed(index)})  # noqa: E731
    whole = export(make(), tmp_path / "local", shard_bytes=9000)
    assert tree(export(make(), tmp_path / "processes", shard_bytes=9000, **SPAWN).path) == tree(whole.path)


def test_generators_end_as_after_one_process(tmp_path):
    """Whoever draws afterwards draws what it would have drawn."""
    states = []
    for options in ({}, FORK):
        torch.manual_seed(5)
        random.seed(5)
        loaders = {"train": shuffled(fixed), "test": DataLoader(Rows(fixed, 9), 4)}
        export(loaders, tmp_path / str(len(states)), **options)
        states.append((torch.get_rng_state().tolist(), loaders["train"].generator.get_state().tolist(), random.getstate()))
    assert states[0] == states[1]


class Whose(Rows):
    """Says of each row which process gave it, and what a worker of a DataLoader would know there."""

    def __getitem__(self, index):
        info = get_worker_info()
        time.sleep(0.01)  # so that both have some
        row = {"process": os.getpid(), "id": info.id, "count": info.num_workers, "seed": info.seed, "own": info.dataset is self}
        return row | {"begun": int(os.environ["BEGUN"]), "drawn": int(torch.initial_seed())}


def begin(worker):
    os.environ["BEGUN"] = str(worker)


def test_a_process_is_a_worker(tmp_path):
    """No row is read in this process; each other is to the dataset what a worker of a DataLoader is, worker_init_fn included."""
    loader = DataLoader(Whose(None, 60), 4, worker_init_fn=begin)
    export(loader, tmp_path, shard_bytes=400, on_hazard="ignore", **FORK)
    rows = Table.of_split(tmp_path / "ds/1.0.0", "train").read(slice(None))
    assert os.getpid() not in rows["process"]
    assert len(set(rows["process"].tolist())) == 2
    assert set(zip(rows["id"].tolist(), rows["begun"].tolist(), strict=True)) == {(0, 0), (1, 1)}
    assert set(rows["count"].tolist()) == {2}
    assert np.array_equal(rows["drawn"], rows["seed"])
    assert rows["own"].all()
    assert "BEGUN" not in os.environ


class Broken(Rows):
    """Goes wrong at a row, in some way."""

    def __init__(self, action):
        super().__init__(text)
        self.action = action

    def __getitem__(self, index):
        return self.action() if index == 70 else super().__getitem__(index)


class Odd(Exception):
    """An exception that cannot be made again of its arguments."""

    def __init__(self, one, two):
        super().__init__(one)


def raise_odd():
    raise Odd("odd one", 2)


ERRORS = {
    "a shape": lambda: {**text(3), "words": ["a"] * 3},
    "a type": lambda: {**text(3), "number": "seven"},
    "a key": lambda: {"text": "a", "number": 1},
    "its own": raise_my_error,
    "the disk's": lambda: os.listdir("/nowhere/at/all"),
    "an exit": lambda: sys.exit(3),
}


@pytest.mark.parametrize("name", ERRORS)
def test_the_same_errors(name, tmp_path):
    """What one process raises is raised here: the same class, the same words; nothing is published, finished shards are kept."""
    raised = []
    for place, options in (("local", {}), ("processes", FORK)):
        loader = DataLoader(Broken(ERRORS[name]), 4, collate_fn=rows_of)
        with pytest.raises(BaseException) as caught:
            export(loader, tmp_path / place, shard_bytes=60, **options)
        raised.append((type(caught.value), str(caught.value), getattr(caught.value, "code", None)))
        assert "finished shards are kept in" in caught.value.__notes__[-1]
        assert not (tmp_path / place / "ds/1.0.0").exists()
    assert raised[0] == raised[1]
    assert "Broken" in str(caught.value.__cause__) or "text" in str(caught.value.__cause__)


def test_an_error_that_cannot_be_made_again(tmp_path):
    """It becomes a RuntimeError that has its class, its words and its traceback."""
    with pytest.raises(RuntimeError, match="Odd: odd one") as caught:
        export(DataLoader(Broken(raise_odd), 4), tmp_path, shard_bytes=60, **FORK)
    assert "in raise_odd" in str(caught.value.__cause__)


def test_a_worker_init_fn_that_fails(tmp_path):
    """What it raises is raised here."""
    with pytest.raises(ZeroDivisionError):
        export(DataLoader(Rows(text), 4, worker_init_fn=lambda worker: 1 // (worker - worker)), tmp_path, **FORK)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed(tmp_path, tree):
    """The export ends with an error that says so; what is finished is kept, and the next run goes on to the same bytes."""
    with pytest.raises(exporters.EngineError, match=r'was killed .* engine_options=\{"workers": 1\}'):
        export(DataLoader(Broken(die), 4), tmp_path / "data", shard_bytes=60, **FORK)
    assert list((tmp_path / "data/ds/1.0.0.resume").glob("*.shard.json"))
    result = export(DataLoader(Rows(text), 4), tmp_path / "data", shard_bytes=60, **FORK)
    assert tree(result.path) == tree(export(DataLoader(Rows(text), 4), tmp_path / "whole", shard_bytes=60).path)


class Slow(Rows):
    """The first rows take long; those behind are counted in a file."""

    def __init__(self, log, waits=True):
        super().__init__(text)
        self.log, self.waits = log, waits

    def __getitem__(self, index):
        if index < 4 and self.waits and get_worker_info().num_workers == 2:
            while len(self.log.read_text()) < 60 * 4:
                time.sleep(0.01)
            raise RuntimeError("stopped")
        with open(self.log, "a") as stream:
            stream.write(f"{index:3}\n")
        return super().__getitem__(index)


@pytest.mark.parametrize("then", [{}, FORK], ids=["local", "processes"])
def test_shards_behind_a_gap_count(then, format, tmp_path, tree):
    """Shards that were finished before the first of all are kept after a stop, and whoever goes on does not draw them again."""
    log = tmp_path / "log"
    log.touch()
    loader = lambda waits: DataLoader(Slow(log, waits), 4)  # noqa: E731
    with pytest.raises(RuntimeError, match="stopped"):
        export(loader(True), tmp_path / "data", format=format, shard_bytes=60, on_hazard="ignore", **FORK)
    notes = [json.loads(path.read_bytes()) for path in (tmp_path / "data/ds/1.0.0.resume").glob("*.shard.json")]
    assert len(notes) > 4
    assert min(note["start"] for note in notes) > 0
    log.write_text("")
    result = export(loader(False), tmp_path / "data", format=format, shard_bytes=60, on_hazard="ignore", **then)
    drawn = {int(line) // 4 for line in log.read_text().split()}
    kept = {batch for note in notes for batch in range(note["start"], note["stop"])}
    assert len(kept) > 10
    assert len(drawn & kept) <= 4  # three are compared, and what follows the first that is pending is drawn ahead
    whole = export(DataLoader(Rows(text), 4), tmp_path / "whole", format=format, shard_bytes=60)
    assert tree(result.path) == tree(whole.path)


def test_a_stopped_export_goes_on_elsewhere(format, tmp_path, tree):
    """What this process began others go on with, to the bytes of one in one go."""
    whole = tree(run(tmp_path / "whole", format=format).path)
    with pytest.raises(RuntimeError, match="stopped"):
        run(tmp_path / "data", Images(stop_at=32), format)
    assert tree(run(tmp_path / "data", format=format, **FORK).path) == whole


class Noted(Rows):
    """Takes its time, and notes which processes give rows."""

    def __init__(self, pids, seconds):
        super().__init__(text, 400)
        self.pids, self.seconds = pids, seconds

    def __getitem__(self, index):
        (self.pids / str(os.getpid())).touch()
        time.sleep(self.seconds)
        return super().__getitem__(index)


def is_running(pid):
    try:
        return ") Z " not in pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False


def wait_for(condition, seconds=60):
    """Waits until something is so; it is a failure if it never is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def drive(data_dir, pids):
    """An export in a session of its own."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    export(DataLoader(Noted(pids, 0.005), 4), data_dir, shard_bytes=200, on_hazard="ignore", **FORK)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_driver_is_ended(end, tmp_path, tree):
    """Whatever ends the process of `export`, those of the engine end too; what is finished is kept, what they were writing is
    removed by the next run, which gives the bytes of a run that nobody disturbed."""
    pids, data = tmp_path / "pids", tmp_path / "data"
    pids.mkdir()
    driver = multiprocessing.get_context("fork").Process(target=drive, args=(data, pids))
    driver.start()
    notes, stage = data / "ds/1.0.0.resume", data / "ds/1.0.0.incomplete"
    wait_for(lambda: len(list(notes.glob("*.shard.json"))) > 2)
    os.killpg(driver.pid, end) if end == signal.SIGINT else os.kill(driver.pid, end)
    driver.join()
    wait_for(lambda: not any(is_running(path.name) for path in pids.iterdir()))
    noted = {json.loads(path.read_bytes())["data"]["file"] for path in notes.glob("*.shard.json")}
    assert 2 < len(noted) < 20
    (stage / "train-00001.0123abcd.data").write_bytes(b"of an attempt that was cut off")
    options = {"shard_bytes": 200, "on_hazard": "ignore"}
    export(DataLoader(Noted(pids, 0), 4), data, **options, **FORK)
    export(DataLoader(Noted(pids, 0), 4), tmp_path / "whole", **options)
    assert tree(data) == tree(tmp_path / "whole")


class Threads(Rows):
    """Says which threads there are where its rows are read."""

    def __getitem__(self, index):
        return {"watched": "end with parent" in [thread.name for thread in threading.enumerate()]}


def test_whoever_reads_the_dataset_ends_with_the_driver():
    """The worker that looks at the first batches, too, ends with the process of `export`; it begins as the loader's own would."""
    from exporters.draws.apart import Part, with_worker

    guarded = with_worker(DataLoader(Threads(None, 8), 4, worker_init_fn=begin))
    assert all(batch["watched"].all() for batch in guarded)
    assert Part.of(guarded).loader.worker_init_fn is begin


class Locked(Rows):
    """A dataset that has something which cannot be pickled."""

    def __init__(self):
        super().__init__(text)
        self.files = {"index": [1, threading.Lock()]}


def test_what_cannot_be_pickled_is_named(tmp_path):
    """Before anything is written, the error names the member and its type; forked processes need not pickle it."""
    words = r"split 'train': dataset.files\['index'\]\[1\] \(of type lock\) cannot be pickled"
    with pytest.raises(exporters.LoaderError, match=words):
        export(DataLoader(Locked(), 4), tmp_path, **SPAWN)
    assert not list(tmp_path.iterdir())
    assert export(DataLoader(Locked(), 4), tmp_path, **FORK).examples == {"train": 90}


def test_large_datasets_are_told_when_they_are_pickled(monkeypatch, tmp_path):
    """A dataset of which every process would get a large copy is warned of."""
    from exporters.draws import apart

    monkeypatch.setattr(apart, "_MUCH", 1000)
    with pytest.warns(exporters.ExportWarning, match=r'dataset is [\d,]+ bytes .*engine_options=\{"start_method": "fork"\}'):
        apart.Part.pickled_of(DataLoader(list(range(1000)), 4), "train")


class Stream(IterableDataset):
    def __iter__(self):
        return map(fixed, range(30))


def test_a_stream_is_drained_here(tmp_path, tree):
    """A split whose batches cannot be drawn by number is drained by this process, as a warning says; the others are shared."""
    loaders = lambda: {"train": shuffled(fixed), "test": DataLoader(Stream(), 4)}  # noqa: E731
    with pytest.warns(exporters.ExportWarning, match="split 'test' is drained by this process alone"):
        shared = export(loaders(), tmp_path / "shared", on_hazard="ignore", shard_bytes=2000, **FORK)
    assert tree(shared.path) == tree(export(loaders(), tmp_path / "whole", on_hazard="ignore", shard_bytes=2000).path)


def test_random_data_is_told_alike(tmp_path, tree):
    """A dataset that gives other examples each time is found out in a worker as in this process: the manifest says it."""
    make = lambda: DataLoader(Rows(lambda index: {"x": torch.rand(9), "index": index}), 4)  # noqa: E731
    results = [export(make(), tmp_path / str(len(options)), seed=1, shard_bytes=400, **options) for options in ({}, FORK)]
    assert [[hazard.name for hazard in result.hazards] for result in results] == [["random_transform"]] * 2
    assert tree(results[0].path) == tree(results[1].path)


def test_hazards_are_merged(tmp_path):
    """What only all shards together show is told once, of all of them; what one shows is refused if it is an error."""
    rows = [{"x": torch.full((20,), float("nan") if row == 57 else float(row // 2)), "label": 1} for row in range(80)]
    result = export(DataLoader(rows, 4), tmp_path / "warned", shard_bytes=400, **FORK)
    assert told(result)[0] == told(export(DataLoader(rows, 4), tmp_path / "local", shard_bytes=400))[0]
    assert {hazard.name for hazard in result.hazards} >= {"not_finite", "duplicates", "single_class"}
    with pytest.raises(exporters.HazardError, match="not_finite"):
        export(DataLoader(rows, 4), tmp_path / "refused", shard_bytes=400, on_hazard="error", **FORK)


@pytest.mark.parametrize(("options", "words"), [
    ({"workers": 0}, r'engine_options=\{"workers": 4\}: a number of processes, 1 at least \(got 0\)'),
    ({"workers": True}, "got True"),
    ({"start_method": "thread"}, "one of fork, spawn, forkserver.*got 'thread'"),
    ({"worker": 2}, "'worker' is no option of engine=\"processes\", which has workers, start_method"),
])  # fmt: skip
def test_options_that_make_no_sense(options, words, tmp_path):
    """They are refused before anything is made, in the caller's words."""
    with pytest.raises(exporters.ArgumentError, match=words):
        export(DataLoader(Rows(text), 4), tmp_path / "data", engine="processes", engine_options=options)
    assert not (tmp_path / "data").exists()


def test_no_tasks_no_processes():
    """Without a task nothing is begun."""
    assert list(Processes(2).run(None, [])) == []


def test_the_command_line(tmp_path, tree):
    """`--engine processes --engine-option workers=2 --seed 3` publishes what `export` does without an engine from that seed."""
    source = "import torch\nfrom torch.utils.data import DataLoader, Dataset\n\nclass Noisy(Dataset):\n"
    source += "    def __len__(self):\n        return 9\n\n    def __getitem__(self, index):\n        return torch.rand(30)\n"
    (tmp_path / "data.py").write_text(source + "\ndef make():\n    return DataLoader(Noisy(), 2)\n")
    command = [
        sys.executable,
        "-m",
        "exporters",
        "export",
        "data:make",
        "out",
        "--name",
        "ds",
        "--quiet",
        "--engine",
        "processes",
    ]
    options = ["--engine-option", "workers=2", "--shard-mib", "0.0003", "--seed", "3", "--json"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert json.loads(done.stdout)["shards"] == {"train": 5}
    namespace = {}
    exec((tmp_path / "data.py").read_text(), namespace)
    whole = export(namespace["make"](), tmp_path / "whole", shard_bytes=314, seed=3)
    assert tree(whole.path) == tree(tmp_path / "out/ds/1.0.0")
