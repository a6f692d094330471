"""An export that was stopped goes on where it stopped, and the result is byte for byte that of one that was not."""

from __future__ import annotations

import json
import operator
import os
import pathlib
import random
import signal
import stat
import threading
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset, RandomSampler, default_collate
from tqdm import tqdm

import exporters
import tfds_builder
from exporters import ResumeError
from exporters.loaders import order
from tfds_builder.catalog.read import read_manifest

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:nothing is published under")]  # which is what is to be seen

ROWS = 41


class Stop(Exception):
    """What stops an export in these tests."""


class Recorder(Dataset):
    """Images and labels that remember which were asked for, and stop at some of them."""

    classes = tuple("abc")

    def __init__(self, rows=ROWS, stop_at=None):
        self.rows, self.stop_at, self.asked = rows, stop_at, []

    def __len__(self):
        return self.rows

    def __getitem__(self, index):
        self.asked.append(index)
        if len(self.asked) == self.stop_at:
            raise Stop
        return torch.full((3, 5, 6), index, dtype=torch.uint8), index % 3


class Stream(IterableDataset):
    """The same as an iterable."""

    classes = Recorder.classes

    def __init__(self, stop_at=None, shift=0):
        self.stop_at, self.shift = stop_at, shift

    def __iter__(self):
        for index in range(ROWS):
            if index == self.stop_at:
                raise Stop
            yield torch.full((3, 5, 6), index + self.shift, dtype=torch.uint8), index % 3


def run(data_dir, loaders, format="tfrecord", **options):
    return exporters.export(
        loaders,
        data_dir,
        **{"name": "ds", "format": format, "shard_bytes": 1200, "progress": False, "on_hazard": "ignore", **options},
    )


def loader(dataset, **options):
    return DataLoader(dataset, **{"batch_size": 4, **options})


def shuffled(dataset, seed=0, **options):
    return loader(dataset, shuffle=True, generator=torch.Generator().manual_seed(seed), **options)


SAMPLERS = {
    "in_order": loader,
    "shuffled": shuffled,
    "drop_last": lambda dataset: loader(dataset, drop_last=True),
    "workers": lambda dataset: shuffled(dataset, num_workers=2),
    "persistent_workers": lambda dataset: loader(dataset, num_workers=1, persistent_workers=True),
    "no_batches": lambda dataset: loader(
        dataset, batch_size=None, sampler=BatchSampler(range(ROWS), 5, False), collate_fn=collate
    ),
    "batch_sampler": lambda dataset: DataLoader(dataset, batch_sampler=[[3, 1], [4], [1, 5, 9, 2], [6]] * 8),
    "replacement": lambda dataset: loader(
        dataset, sampler=RandomSampler(dataset, True, 30, generator=torch.Generator().manual_seed(3))
    ),
}


def collate(batch):
    return batch


class Batches(Recorder):
    """A dataset that is asked for a whole batch at once."""

    def __getitem__(self, indices):
        images, labels = zip(*map(super().__getitem__, indices), strict=True)
        return torch.stack(images), torch.tensor(labels)


def dataset_of(name, **options):
    return (Batches if name == "no_batches" else Recorder)(**options)


@pytest.mark.parametrize("name", SAMPLERS)
def test_goes_on_where_it_stopped(name, format, tmp_path, tree):
    """Stopped at any example and run again, an export gives the same files, and loads nothing again that was done but the three
    batches that are compared."""
    make = SAMPLERS[name]
    whole = {"train": dataset_of(name), "test": dataset_of(name)}
    run(tmp_path / "whole", {split: make(dataset) for split, dataset in whole.items()}, format)
    workers = make(dataset_of(name)).num_workers
    for stop_at in (1, 2, 14, 29) if not workers else (3, 12):
        data_dir = tmp_path / f"stopped_at_{stop_at}"
        with pytest.raises(Stop):
            run(data_dir, {"train": make(dataset_of(name, stop_at=stop_at)), "test": make(dataset_of(name))}, format)
        assert not data_dir.exists() or tfds_builder.register(data_dir) == []
        notes = [json.loads(note.read_bytes()) for note in data_dir.glob("ds/1.0.0.resume/*.shard.json")]
        done = sum(note["rows"] for note in notes)
        again = {"train": dataset_of(name), "test": dataset_of(name)}
        result = run(data_dir, {split: make(dataset) for split, dataset in again.items()}, format)
        assert tree(data_dir) == tree(tmp_path / "whole")
        assert tfds_builder.verify(result.path).problems == []
        if not workers:
            pending, asked = result.examples["train"] - done, again["train"].asked
            assert pending <= len(asked) <= pending + (3 * 5 if done else 0)
            assert asked[-pending:] == whole["train"].asked[-pending:]
            assert done or stop_at < 29


@pytest.mark.parametrize("make", [loader, shuffled])
def test_finished_shards_behind_a_gap_count(make, format, tmp_path, tree):
    """Shards whose notes are lost, and whose files are damaged, are written again; those between and behind them are not."""
    small = {"format": format, "shard_bytes": 400}
    run(tmp_path / "whole", {"train": make(Recorder()), "test": make(Recorder(9))}, **small)
    with pytest.raises(Stop):
        run(tmp_path / "data", {"train": make(Recorder(stop_at=33)), "test": make(Recorder(9))}, **small)
    notes, stage = tmp_path / "data" / "ds" / "1.0.0.resume", tmp_path / "data" / "ds" / "1.0.0.incomplete"
    done = [json.loads(path.read_bytes()) for path in sorted(notes.glob("train-*.shard.json"))]
    for number in (0, 2):
        (notes / f"train-{number:05d}.shard.json").unlink()
        (stage / done[number]["data"]["file"]).write_bytes(b"damaged")
    again = Recorder()
    run(tmp_path / "data", {"train": make(again), "test": make(Recorder(9))}, **small)
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")
    kept = sum(shard["rows"] for number, shard in enumerate(done) if number not in (0, 2))
    compared, looked_at = 3 * 4, 2 * 4  # batches; each gap reads on to where the shard behind it begins
    assert len(again.asked) <= ROWS - kept + compared + looked_at < ROWS + compared


def test_an_unseeded_shuffle_is_recorded_as_drawn(format, tmp_path):
    """A shuffle without a seed goes on in the order that was drawn first: every example once."""
    with pytest.raises(Stop):
        run(tmp_path, loader(Recorder(stop_at=30), shuffle=True), format)
    result = run(tmp_path, loader(Recorder(), shuffle=True), format)
    rows = tfds_builder.Table.of_split(result.path, "train").read(slice(None))["image"][:, 0, 0, 0]
    assert sorted(rows.tolist()) == list(range(ROWS))
    assert rows.tolist() != sorted(rows.tolist())


def test_order_is_the_loaders_own(tmp_path):
    """What is recorded is the order the loader itself would have drawn, for several splits with one generator."""
    generator = torch.Generator().manual_seed(7)
    plain = [
        [label for _, labels in loader(Recorder(), shuffle=True, generator=generator) for label in labels.tolist()] for _ in "ab"
    ]
    generator = torch.Generator().manual_seed(7)
    loaders = {split: loader(Recorder(), shuffle=True, generator=generator) for split in ("train", "test")}
    result = run(tmp_path, loaders)
    for split, labels in zip(("train", "test"), plain, strict=True):
        assert tfds_builder.Table.of_split(result.path, split).read(slice(None))["label"].tolist() == labels


class Noisy(Dataset):
    """Examples that draw from torch's own generator."""

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return torch.rand(5) + index


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("shuffle", [False, True])
def test_random_examples_are_those_of_a_bare_loop(shuffle, workers, tmp_path):
    """After the same seed an export holds what a loop over the loader gives, and leaves the generator where the loop does."""
    torch.manual_seed(3)
    expected = torch.cat(list(loader(Noisy(), shuffle=shuffle, num_workers=workers)))
    after = torch.rand(2)
    torch.manual_seed(3)
    result = run(tmp_path, loader(Noisy(), shuffle=shuffle, num_workers=workers))
    assert torch.equal(torch.rand(2), after)
    read = tfds_builder.Table.of_split(result.path, "train").read(slice(None))["features"]
    assert workers or np.array_equal(read, expected.numpy())


def test_begun_anew_and_stopped_again(tmp_path):
    """An export that began anew by `overwrite=True` and was stopped goes on as any other."""
    with pytest.raises(Stop):
        run(tmp_path, loader(Recorder(stop_at=30)))
    with pytest.raises(Stop):
        run(tmp_path, loader(Recorder(stop_at=30)), shard_bytes=1900, overwrite=True)
    again = Recorder()
    run(tmp_path, loader(again), shard_bytes=1900)
    assert 0 < len(again.asked) < ROWS


def test_the_loader_is_as_it_was(tmp_path):
    """After an export, whole or stopped, the loader has its own sampler and can be iterated."""
    made = shuffled(Recorder())
    sampler = made.batch_sampler
    run(tmp_path / "a", made)
    assert made.batch_sampler is sampler
    stopping = loader(Recorder(stop_at=30), num_workers=0)
    sampler = stopping.batch_sampler
    with pytest.raises(Stop):
        run(tmp_path / "b", stopping)
    assert stopping.batch_sampler is sampler
    assert sum(len(labels) for _, labels in made) == ROWS


def test_a_stream_is_run_past_what_is_done(format, tmp_path, tree):
    """An iterable dataset is drained again from its start, and what is done is compared, not written again."""
    run(tmp_path / "whole", loader(Stream()), format)
    with pytest.raises(Stop):
        run(tmp_path / "data", loader(Stream(stop_at=30)), format)
    run(tmp_path / "data", loader(Stream()), format)
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")


def test_a_stream_that_gives_other_data(format, tmp_path, tree):
    """A stream that gives other data than before is a ResumeError; `overwrite=True` begins anew."""
    run(tmp_path / "whole", loader(Stream(shift=1)), format)
    with pytest.raises(Stop):
        run(tmp_path / "data", loader(Stream(stop_at=30)), format)
    with pytest.raises(ResumeError, match=r"other data .*shard 0.*overwrite=True"):
        run(tmp_path / "data", loader(Stream(shift=1)), format)
    found = run(tmp_path / "data", loader(Stream(shift=1)), format, overwrite=True, on_hazard="warn").hazards
    assert "duplicates" not in {hazard.name for hazard in found}  # what was seen before is forgotten
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")


OTHER_PLANS = {
    "shard_bytes": lambda: (loader(Recorder()), {"shard_bytes": 1900}),
    "format": lambda: (loader(Recorder()), {"format": "hdf5"}),
    "batch_size": lambda: (loader(Recorder(), batch_size=5), {}),
    "examples": lambda: (loader(Recorder(rows=ROWS + 1)), {}),
    "sampler": lambda: (loader(Recorder(), shuffle=True), {}),
    "drop_last": lambda: (loader(Recorder(), drop_last=True), {}),
    "card": lambda: (loader(Recorder()), {"card": exporters.Card(description="other")}),
    "splits": lambda: ({"train": loader(Recorder()), "test": loader(Recorder())}, {}),
    "columns": lambda: (loader(Recorder()), {"names": ["picture", "label"]}),
}


@pytest.mark.parametrize("what", OTHER_PLANS)
def test_another_plan(what, tmp_path, tree):
    """Another plan than that of the finished shards is a ResumeError that says what differs; `overwrite=True` begins anew."""
    with pytest.raises(Stop) as stopped:
        run(tmp_path / "data", loader(Recorder(stop_at=30)))
    assert "run the same export again" in stopped.value.__notes__[0]

    def staged():  # all but who holds the stage, and since when
        return {name: content for name, content in tree(tmp_path / "data").items() if not name.endswith("/holder")}

    before = staged()
    loaders, options = OTHER_PLANS[what]()
    with pytest.raises(ResumeError, match=what) as caught:
        run(tmp_path / "data", loaders, **options)
    assert "overwrite=True" in str(caught.value)
    assert staged() == before
    run(tmp_path / "data", OTHER_PLANS[what]()[0], overwrite=True, **options)
    run(tmp_path / "clean", OTHER_PLANS[what]()[0], **options)
    if what != "sampler":
        assert tree(tmp_path / "data") == tree(tmp_path / "clean")


def test_stopped_before_the_first_shard(tmp_path):
    """Without a finished shard there is nothing to go on with: nothing is left, and any plan may follow."""
    with pytest.raises(Stop):
        run(tmp_path / "data", loader(Recorder(stop_at=3)))
    assert not (tmp_path / "data").exists()


def test_order_of_integers_only(tmp_path):
    """Batches of indices come back as they were recorded; what is no integer is not recorded."""
    batches = [[3, 1], [], [4], list(range(100))]
    assert order.record(iter(batches), tmp_path / "order")
    assert list(order.Order.load(tmp_path / "order")) == batches
    assert not order.record(iter([[1], ["a"]]), tmp_path / "other")
    assert list(order.Order.of_range(7, 3, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]


# --- killed ----------------------------------------------------------------------------------------


class Killer:
    """Counts the steps that reach the disk, and kills the process at one of them."""

    NAMES = ("fsync", "rename", "unlink", "mkdir", "rmdir", "write")

    def __init__(self, monkeypatch, step):
        self.step, self.count, self.lock = step, 0, threading.Lock()  # files are hashed and written by threads of their own
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name)))
        from exporters.staging import publishing
        from exporters.staging.staged_file import StagedFile

        monkeypatch.setattr(publishing, "exchange", self.wrap(publishing.exchange))
        monkeypatch.setattr(StagedFile, "_write", self.wrap(StagedFile._write))

    def wrap(self, function):
        def step(*args, **options):
            self.tick()
            result = function(*args, **options)
            self.tick()
            return result

        return step

    def tick(self):
        with self.lock:
            if self.count == self.step:
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += 1


def in_child(action):
    """Runs `action` in a forked process; the signal that ended it, or 0."""
    child = os.fork()
    if not child:
        tqdm.set_lock(threading.RLock())  # its own is shared by forked processes, and would stay locked by a killed one
        try:
            action()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def check_state(data_dir, whole, tree):
    """No dataset, or a whole one."""
    version = data_dir / "ds" / "1.0.0"
    if version.exists():
        assert tree(version) == tree(whole / "ds" / "1.0.0")
    if data_dir.exists():
        assert tfds_builder.register(data_dir) == (["ds"] if version.exists() else [])


def export_to(data_dir, format, **options):
    run(data_dir, {"train": shuffled(Recorder()), "test": loader(Stream())}, format, shard_bytes=1900, **options)


def go_on(data_dir, format, **options):
    """The same line again, as a user would run it."""
    if not (data_dir / "ds" / "1.0.0").exists():
        export_to(data_dir, format, **options)


def test_killed_at_every_step(format, tmp_path, tree):
    """Killed before or after any write, fsync, rename or removal, an export leaves no dataset or a whole one, and run
    again gives the same bytes."""
    export_to(tmp_path / "whole", format)
    killed = 0
    for step in range(10_000):
        data_dir = tmp_path / f"at_{step}"

        def action(data_dir=data_dir, step=step):
            with pytest.MonkeyPatch.context() as monkeypatch:
                Killer(monkeypatch, step)
                export_to(data_dir, format)

        if not in_child(action):
            break
        killed += 1
        check_state(data_dir, tmp_path / "whole", tree)
        go_on(data_dir, format)
        assert tree(data_dir / "ds" / "1.0.0") == tree(tmp_path / "whole" / "ds" / "1.0.0"), step
        assert not (data_dir / "ds" / "1.0.0.incomplete").exists()
    assert killed > 50


def test_killed_while_one_shard_is_on_its_way(format, tmp_path, tree):
    """A shard goes to the disk while the next one is drained, and is not noted before it is there. Killed then, an export goes on
    to the same bytes."""
    export_to(tmp_path / "whole", format)
    data_dir, fsync = tmp_path / "killed", os.fsync

    class Killed(Recorder):
        def __getitem__(self, index):
            if len(list(data_dir.rglob("*.data"))) == 2:
                assert not list(data_dir.rglob("*.shard.json"))
                os.kill(os.getpid(), signal.SIGKILL)
            return super().__getitem__(index)

    def slow(file):
        if threading.current_thread() is not threading.main_thread():
            threading.Event().wait()
        fsync(file)

    def action():
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(os, "fsync", slow)
            run(data_dir, {"train": shuffled(Killed()), "test": loader(Stream())}, format, shard_bytes=1900)

    assert in_child(action) == signal.SIGKILL
    check_state(data_dir, tmp_path / "whole", tree)
    go_on(data_dir, format)
    assert tree(data_dir / "ds" / "1.0.0") == tree(tmp_path / "whole" / "ds" / "1.0.0")


def test_killed_at_random_instants(format, tmp_path, tree):
    """Killed at 20 random instants, an export leaves no dataset or a whole one, and run again gives the same bytes."""
    export_to(tmp_path / "whole", format)
    dice = random.Random(format)
    for number in range(20):
        data_dir = tmp_path / f"number_{number}"

        def action(data_dir=data_dir):
            signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.001, 0.1))
            signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            export_to(data_dir, format)
            signal.setitimer(signal.ITIMER_REAL, 0)

        in_child(action)
        dice.random()
        check_state(data_dir, tmp_path / "whole", tree)
        go_on(data_dir, format)
        assert tree(data_dir / "ds" / "1.0.0") == tree(tmp_path / "whole" / "ds" / "1.0.0")


def test_overwrite_killed_at_every_step(tmp_path, tree):
    """Killed at any step of an overwrite, either the old version or the new one is there, whole."""
    new, old = tmp_path / "new", tmp_path / "old"
    export_to(new, "tfrecord")
    run(old, loader(Recorder(rows=7)), "hdf5")
    whole = [tree(directory / "ds" / "1.0.0") for directory in (new, old)]
    for step in range(10_000):
        data_dir = tmp_path / f"at_{step}"
        run(data_dir, loader(Recorder(rows=7)), "hdf5")

        def action(data_dir=data_dir, step=step):
            with pytest.MonkeyPatch.context() as monkeypatch:
                Killer(monkeypatch, step)
                export_to(data_dir, "tfrecord", overwrite=True)

        done = not in_child(action)
        assert tree(data_dir / "ds" / "1.0.0") in whole
        export_to(data_dir, "tfrecord", overwrite=True)
        assert tree(data_dir / "ds" / "1.0.0") == whole[0]
        left = {name for name in os.listdir(data_dir / "ds") if not name.startswith(".ds_dataset_builder.py.")}  # a draft
        assert left == {"1.0.0", "ds_dataset_builder.py"}
        if done:
            break
    assert step > 50


def test_notes_are_true_whatever_is_lost(format, tmp_path, monkeypatch):
    """A note appears only once it is on disk, and so is what it is about: the order before the plan, a shard's files, the
    note of what was seen of them and the directory that lists them before the note of the shard."""
    events, fsync, rename = [], os.fsync, os.rename

    def spy_fsync(descriptor):
        fsync(descriptor)
        status = os.fstat(descriptor)
        events.append((status.st_ino, status.st_size if stat.S_ISREG(status.st_mode) else 0))

    def spy_rename(source, target, **options):
        path = pathlib.Path(target)
        if path.parent.suffix == ".resume":
            check(pathlib.Path(source), path)
            events.append(path.name)
        rename(source, target, **options)

    def is_on_disk(path):
        return (path.stat().st_ino, path.stat().st_size if path.is_file() else 0) in events

    def check(draft, note):
        stage = note.parent.with_suffix(".incomplete")
        assert is_on_disk(draft), note.name
        before = max((number for number, event in enumerate(events) if isinstance(event, str)), default=None)
        assert before is None or (note.parent.stat().st_ino, 0) in events[before:], "the note before may not be listed"
        if note.name == "plan.json":
            assert is_on_disk(note.parent / "train.order")
        if note.name.endswith(".shard.json"):
            assert is_on_disk(stage)
            assert is_on_disk(stage / note.name.replace(".shard.json", ".data"))
            assert is_on_disk(note.parent / note.name.replace(".shard.json", ".seen"))

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "rename", spy_rename)
    run(tmp_path, shuffled(Recorder()), format, on_hazard="warn")
    assert {"plan.json", "train-00000.shard.json", "train-00001.shard.json", "train.finished"} <= set(events)


def test_sigterm(run_python, tmp_path):
    """SIGTERM ends an export as Ctrl-C does: cleanly, saying how to go on."""
    source = """
        import os, signal, sys, torch, exporters
        from torch.utils.data import DataLoader, Dataset
        class Data(Dataset):
            def __len__(self): return 100
            def __getitem__(self, i):
                if i == 90: os.kill(os.getpid(), signal.SIGTERM)
                return torch.zeros(100)
        try:
            exporters.export(DataLoader(Data()), sys.argv[1], name="ds", shard_bytes=4000, progress=False)
        except SystemExit as stopped:
            print(stopped.code, stopped.__notes__[0].split(":")[-1].strip())
    """
    done = run_python(source, tmp_path / "data")
    assert done.stdout == "143 run the same export again to go on after them\n", done.stderr


def test_notes_are_gone_once_published(format, tmp_path):
    """Nothing but the dataset and its module is left once it is published, and no note is in it."""
    result = run(tmp_path, shuffled(Recorder()), format)
    assert sorted(os.listdir(tmp_path / "ds")) == ["1.0.0", "ds_dataset_builder.py"]
    names = {pathlib.PurePath(name).suffix for name in os.listdir(result.path)}
    assert not names & {".order", ".draft", ".data"}
    assert np.all([not name.startswith("plan") for name in os.listdir(result.path)])


DYING = """
    import os, pathlib, signal, sys, time, torch, exporters
    from torch.utils.data import DataLoader
    WAYS = {
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "exit_1": lambda: os._exit(1),
        "exit_0": lambda: os._exit(0),
        "memory": lambda: bytearray(1 << 62),
    }
    class Dying(list):
        way = None
        def __getitem__(self, index):
            if index == 99 and self.way:
                WAYS[self.way]()
            return torch.full((100,), index)
    def run(data_dir, way=None):
        data = Dying(range(100))
        data.way = way
        order = [index for index in torch.randperm(100, generator=torch.Generator().manual_seed(5)).tolist() if index != 99]
        exporters.export(DataLoader(data, batch_size=4, sampler=[*order[:70], 99, *order[70:]], num_workers=2), data_dir,
                         name="ds", shard_bytes=10_000, progress=False)
    def tree(path):
        return {str(file.relative_to(path)): file.read_bytes() for file in pathlib.Path(path).rglob("*") if file.is_file()}
    run("whole")
    for way in sys.argv[1:]:
        start = time.monotonic()
        try:
            run(way, way)
        except (RuntimeError, OSError, EOFError, MemoryError) as error:  # as torch happens to notice it
            try:
                time.sleep(0.5)
            except RuntimeError:
                pass  # torch may tell of a death twice: where it reads, and by a signal
            kept = len(list(pathlib.Path(way).rglob("*.shard.json")))
            print(way, type(error) is MemoryError, kept, time.monotonic() - start, flush=True)
        run(way)
        assert tree(way) == tree("whole")
    os._exit(0)  # torch would wait for the dead
"""


def test_workers_that_die(run_python):
    """A worker that is killed, leaves or has no memory ends the export within seconds; run again it goes on to the same bytes."""
    ways = ("killed", "exit_0", "exit_1", "memory")
    done = run_python(DYING, *ways)
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[:2] for line in lines] == [[way, str(way == "memory")] for way in ways], done.stderr
    assert all(int(kept) > 0 and float(seconds) < 30 for _, _, kept, seconds in lines), lines


class Repeating(Recorder):
    """Images and text of which every third is there twice; the second half is in both splits."""

    def __init__(self, first, stop_at=None):
        super().__init__(stop_at=stop_at)
        self.first = first

    def __getitem__(self, index):
        super().__getitem__(index)
        value = self.first + index - (index % 3 == 2)
        return torch.full((90,), value, dtype=torch.uint8), f"number {value}"


@pytest.mark.parametrize("stopped", ["train", "test", "test, before its first shard"])
def test_duplicates_of_what_was_done(stopped, format, tmp_path):
    """An export that was stopped reports the duplicates and shared examples that one in one go does, to the last count."""

    def loaders(train=None, test=None):
        return {"train": shuffled(Repeating(0, train)), "test": loader(Repeating(ROWS // 2, test))}

    def hazards(data_dir):
        with pytest.warns(exporters.HazardWarning):
            return run(data_dir, loaders(), format, on_hazard="warn").hazards

    stop_at = {"train": {"train": 30}, "test": {"test": 30}}.get(stopped, {"test": 4})
    expected = hazards(tmp_path / "whole")
    assert {(hazard.name, hazard.split) for hazard in expected} == {
        ("duplicates", "train"), ("duplicates", "test"), ("shared_examples", "test"),
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Stop):
            run(tmp_path / "data", loaders(**stop_at), format, on_hazard="warn")
    assert hazards(tmp_path / "data") == expected


def test_a_finished_split_is_judged_as_in_one_go(tmp_path):
    """Of a split that was finished before the export was stopped, it is told again that examples are missing."""

    def loaders(stop_at=None):
        short = loader(Recorder(), collate_fn=lambda rows: default_collate(rows[:3]))
        return {"train": short, "test": loader(Recorder(stop_at=stop_at))}

    policy = {"default": "ignore", "examples_missing": "warn"}
    with pytest.warns(exporters.HazardWarning, match="examples expected did not come"):
        expected = run(tmp_path / "whole", loaders(), on_hazard=policy).hazards
    with pytest.raises(Stop), pytest.warns(exporters.HazardWarning):
        run(tmp_path / "data", loaders(stop_at=12), on_hazard=policy)
    with pytest.warns(exporters.HazardWarning):
        assert run(tmp_path / "data", loaders(), on_hazard=policy).hazards == expected
    assert [(hazard.name, hazard.split) for hazard in expected] == [("examples_missing", "train")]


class Telling:
    """Rows that have nearly every hazard that batches show: one class, NaN, padding, duplicates. Row `stops` cannot be read."""

    def __init__(self, stops=None):
        self.stops = stops

    def __len__(self):
        return 60

    def __getitem__(self, row):
        if row == self.stops:
            raise RuntimeError("stopped")
        tokens = list(range(1, 3 + row // 2 % 5))
        return {"x": torch.full((40,), float("nan") if row == 7 else float(row // 2)), "tokens": tokens, "label": 4}


def pad_tokens(rows):
    tokens = [row["tokens"] + [0] * (8 - len(row["tokens"])) for row in rows]
    plain = {key: torch.utils.data.default_collate([row[key] for row in rows]) for key in ("x", "label")}
    return plain | {"tokens": torch.tensor(tokens)}


@pytest.mark.parametrize("engine", ["local", "processes"])
@pytest.mark.parametrize("stops", [12, 30, 59])
def test_hazards_of_a_stopped_export(stops, engine, format, tmp_path, tree):
    """An export that goes on tells what the whole export tells, and publishes the same bytes, which say so: whichever shards were
    finished before, by whichever engine."""

    def export(data_dir, stops=None, **options):
        loader = DataLoader(Telling(stops), 4, collate_fn=pad_tokens)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", exporters.HazardWarning)
            return run(data_dir, loader, format, on_hazard="warn", shard_bytes=1500, **options)

    expected = export(tmp_path / "whole").hazards
    assert {hazard.name for hazard in expected} == {"padding", "not_finite", "duplicates", "single_class"}
    with pytest.raises(RuntimeError, match="stopped"):
        export(tmp_path / "data", stops, engine=engine)
    assert list((tmp_path / "data").rglob("*.seen"))
    by_name = operator.attrgetter("name")
    assert sorted(export(tmp_path / "data").hazards, key=by_name) == sorted(expected, key=by_name)
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")
    told = read_manifest(tmp_path / "data" / "ds" / "1.0.0").hazards
    assert [(hazard.name, hazard.split) for hazard in told] == [
        ("padding", "train"), ("not_finite", "train"), ("single_class", "train"), ("duplicates", "train"),
    ]  # fmt: skip
