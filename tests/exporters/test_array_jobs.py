"""`torch2tfds plan`, `work` and `publish`: ranks that know nothing of each other write what one process would."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import re
import shutil
import signal
import time

import pytest
from typer.testing import CliRunner

import exporters
from exporters import array_jobs
from exporters.cli import app

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore::exporters.HazardWarning")]

SOURCE = """
import os
import pathlib
import random
import time

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info


class Rows(Dataset):
    def __init__(self, kind, count):
        self.kind, self.count = kind, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if os.environ.get("STOP_AT") == str(index):
            raise RuntimeError("stopped")
        time.sleep(float(os.environ.get("SECONDS", "0")))
        row = {"image": torch.full((3, 5, 6), index, dtype=torch.uint8), "label": index % 3}
        if self.kind == "text":
            row = {"text": "é" * (index % 9), "number": index}
        if self.kind == "random":
            row = {"x": torch.rand(20), "text": "x" * random.randrange(9)}
        return row


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(9))


class Divided(IterableDataset):
    # divides itself among ranks, as webdataset's `split_by_node` does, and then among workers
    def __iter__(self):
        info = get_worker_info()
        rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        for number in range(rank, 90, ranks)[info.id :: info.num_workers]:
            if os.environ.get("STOP_AT") == str(number):
                raise RuntimeError("stopped")
            yield {"text": "é" * (number % 9), "number": number}


def make(kind):
    generator = torch.Generator().manual_seed(3) if kind != "text" else None
    return {"train": DataLoader(Rows(kind, 90), 4, shuffle=True, generator=generator), "test": DataLoader(Rows(kind, 50), 4)}


def fixed():
    return make("fixed")


def text():
    return {"train": DataLoader(Rows("text", 90), 4), "test": DataLoader(Rows("text", 50), 7)}


def noise():
    return make("random")


class Telling(Dataset):
    def __len__(self):
        return 80

    def __getitem__(self, index):
        tokens = list(range(1, 3 + index // 2 % 5))
        x = torch.full((40,), float("nan") if index == 7 else float(index // 2))
        return {"x": x, "tokens": tokens + [0] * (8 - len(tokens)), "label": 4}


def pad(rows):
    return {"x": torch.stack([row["x"] for row in rows])} | {
        key: torch.tensor([row[key] for row in rows]) for key in ("tokens", "label")
    }


def telling():
    return DataLoader(Telling(), 3, collate_fn=pad, drop_last=True)


def stream():
    return DataLoader(Stream(), 4)


def divided():
    return {"train": DataLoader(Divided(), 4, num_workers=3), "test": DataLoader(Rows("text", 50), 7)}
"""


@pytest.fixture(scope="module")
def app_dir(tmp_path_factory):
    """A directory with the module `of_ranks`, which makes loaders."""
    directory = tmp_path_factory.mktemp("app")
    (directory / "of_ranks.py").write_text(SOURCE)
    return directory


@pytest.fixture
def command(app_dir, tmp_path):
    """`command(*words)`: runs torch2tfds in this process; what it prints, or raises."""

    def run(*words):
        result = CliRunner().invoke(app, [*map(str, words), "--quiet"], catch_exceptions=False)
        assert not result.exit_code, result.output
        return result.stdout.strip()

    return run


@pytest.fixture
def planned(command, app_dir, tmp_path):
    """`planned(factory, *options)`: plans an export into `data`; its stage."""

    def run(factory, *options):
        where = ["--name", "ds", "--app-dir", app_dir, "--shard-mib", "0.0006"]
        return command("plan", f"of_ranks:{factory}", tmp_path / "data", *where, *options)

    return run


@pytest.fixture
def whole(command, app_dir, tmp_path, tree):
    """`whole(factory, *options)`: what `torch2tfds export` publishes with the same options."""

    def run(factory, *options):
        where = ["--name", "ds", "--app-dir", app_dir, "--shard-mib", "0.0006"]
        command("export", f"of_ranks:{factory}", tmp_path / "whole", *where, *options)
        return tree(tmp_path / "whole")

    return run


CASES = {
    "fixed": ("fixed", ["--format", "hdf5"]),
    "text": ("text", []),
    "text hdf5": ("text", ["--format", "hdf5"]),
    "seeded": ("noise", ["--seed", "7"]),
    "config": ("fixed", ["--config", "large", "--on-hazard", "ignore", "--rename", "label=kind"]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_same_bytes(case, planned, whole, command, tmp_path, tree):
    """Ranks in any order, and then `publish`, leave what `export` does, builder module included; and nothing else."""
    factory, options = CASES[case]
    stage = planned(factory, *options)
    assert [command("work", stage, "--rank", rank, "--world", 3).startswith(f"rank {rank} of 3: wrote ") for rank in (2, 0, 1)]
    assert command("publish", stage).startswith(f"published {tmp_path / 'data'}")
    assert tree(tmp_path / "data") == whole(factory, *options)


def test_more_ranks_than_shards(planned, whole, command, tmp_path, tree):
    """Ranks that have nothing to do write nothing; one alone may be all."""
    stage = planned("text")
    assert command("work", stage, "--rank", 900, "--world", 901) == "rank 900 of 901: wrote 0 of its 0 shards"
    command("work", stage, "--rank", 0, "--world", 1)
    command("publish", stage)
    assert tree(tmp_path / "data") == whole("text")


def test_what_is_finished_is_not_written_again(planned, whole, command, monkeypatch, tmp_path, tree):
    """Nobody publishes what lacks shards. A rank that was stopped writes what is missing of its own when it is run again."""
    small = ["--shard-mib", "0.0001"]
    stage = planned("text", *small)
    command("work", stage, "--rank", 1, "--world", 4)
    lacking = r"lacks \d+ shards? of split 'train', \d+ shards? of split 'test': torch2tfds work"
    with pytest.raises(exporters.ResumeError, match=lacking):
        command("publish", stage)
    monkeypatch.setenv("STOP_AT", "80")
    with pytest.raises(RuntimeError, match="stopped"):
        command("work", stage, "--rank", 0, "--world", 1)
    monkeypatch.delenv("STOP_AT")
    kept = len(list((tmp_path / "data/ds/1.0.0.resume").glob("*.shard.json")))
    written, own = map(int, re.findall(r"\d+", command("work", stage, "--rank", 0, "--world", 1))[2:])
    assert (written, kept > 4) == (own - kept, True)
    command("publish", stage)
    assert tree(tmp_path / "data") == whole("text", *small)


def work_slowly(stage, app_dir):
    """A rank in a session of its own."""
    os.setsid()
    os.environ["SECONDS"] = "0.03"
    CliRunner().invoke(app, ["work", stage, "--rank", "0", "--world", "1", "--quiet"], catch_exceptions=False)


def test_ranks_at_once_and_killed(planned, whole, command, app_dir, tmp_path, tree):
    """The same rank twice at once, and one of the two killed: nothing is lost or doubled. While one runs, nobody can publish."""
    stage, fork = planned("text"), multiprocessing.get_context("fork")
    ranks = [fork.Process(target=work_slowly, args=(stage, app_dir)) for _ in range(2)]
    for rank in ranks:
        rank.start()
    notes = tmp_path / "data/ds/1.0.0.resume"
    while len(list(notes.glob("*.shard.json"))) < 3:
        time.sleep(0.01)
    with pytest.raises(exporters.DataDirError, match="is writing"):
        command("publish", stage)
    os.kill(ranks[0].pid, signal.SIGKILL)
    for rank in ranks:
        rank.join()
    command("work", stage, "--rank", 0, "--world", 1)
    command("publish", stage)
    assert tree(tmp_path / "data") == whole("text")


def publish_and_die(stage, target, number):
    """Publishes, but for the process being killed before something is removed, by number, once the version is there."""
    numbers = itertools.count()

    def dying(function):
        def remove(*args, **options):
            if target.exists() and next(numbers) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)

        return remove

    os.unlink, os.rmdir = dying(os.unlink), dying(os.rmdir)
    CliRunner().invoke(app, ["publish", stage, "--quiet"], catch_exceptions=False)


def test_publish_is_killed_as_it_clears_up(planned, command, tmp_path):
    """Wherever that is, the same line again says that it is published, and removes what is left."""
    fork, target = multiprocessing.get_context("fork"), tmp_path / "data/ds/1.0.0"
    for number in itertools.count():
        stage = planned("text", "--shard-mib", "0.002")
        command("work", stage, "--rank", 0, "--world", 1)
        child = fork.Process(target=publish_and_die, args=(stage, target, number))
        child.start()
        child.join()
        if not child.exitcode:
            break
        with pytest.raises(exporters.AlreadyPublishedError, match="is already published"):
            command("publish", stage)
        assert os.listdir(target.parent) == [target.name]
        shutil.rmtree(tmp_path / "data")
    assert number > 10


def test_an_export_finishes_what_is_planned(planned, whole, command, app_dir, tmp_path, tree):
    """`torch2tfds export` with the same options goes on after the ranks, as after any stop."""
    command("work", planned("fixed"), "--rank", 1, "--world", 2)
    where = ["--name", "ds", "--app-dir", app_dir, "--shard-mib", "0.0006"]
    command("export", "of_ranks:fixed", tmp_path / "data", *where)
    assert tree(tmp_path / "data") == whole("fixed")


def test_elsewhere(planned, whole, command, tmp_path, tree):
    """A data_dir that has another path on another machine is the one that its stage is in."""
    stage = planned("fixed")
    (tmp_path / "data").rename(tmp_path / "mounted")
    there = stage.replace(str(tmp_path / "data"), str(tmp_path / "mounted"))
    for rank in range(2):
        command("work", there, "--rank", rank, "--world", 2)
    command("publish", there)
    assert tree(tmp_path / "mounted") == whole("fixed")


def test_a_stream_that_divides_itself(planned, whole, command, monkeypatch, tmp_path, tree):
    """Ranks share its parts. What the environment says of a rank is not told to the dataset: it would divide itself once more."""
    stage = planned("divided")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert re.fullmatch(r"rank 1 of 2: wrote (\d+) of its \1 tasks", command("work", stage))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("STOP_AT", "83")  # in its second part
    with pytest.raises(RuntimeError, match="stopped"):
        command("work", stage)
    monkeypatch.delenv("STOP_AT")
    with monkeypatch.context() as alone:
        alone.delenv("RANK")
        alone.delenv("WORLD_SIZE")
        with pytest.raises(exporters.ResumeError, match=r"lacks 1 part of split 'train', \d+ shards? of split 'test'"):
            command("publish", stage)
        command("work", stage, "--rank", "0", "--world", "2")
        command("publish", stage)
        engine = ["--engine", "processes", "--engine-option", "workers=2"]
        assert tree(tmp_path / "data") == whole("divided", *engine)
    assert os.environ["RANK"] == "0"


def test_hazards_are_told(planned, command):
    """What only all examples show is told when they are published, of all of them."""
    stage = planned("fixed", "--format", "hdf5")
    for rank in range(2):
        command("work", stage, "--rank", rank, "--world", 2)
    told = json.loads(command("publish", stage, "--json"))
    assert ["shared_examples", "test", 50] in [[found["name"], found["split"], found["count"]] for found in told["hazards"]]
    assert told["counts"]["train"] == {"expected": 90, "read": 90, "written": 90}


def test_every_hazard_is_told(planned, whole, command, tmp_path, tree):
    """Ranks and `publish` tell what one export tells: of the loader, of batches, and what only all ranks show together."""
    stage = planned("telling")
    for rank in (2, 0, 1):
        command("work", stage, "--rank", rank, "--world", 3)
    names = {"drop_last", "padding", "not_finite", "single_class", "duplicates"}
    assert {found["name"] for found in json.loads(command("publish", stage, "--json"))["hazards"]} == names
    told = json.loads((tmp_path / "data" / "ds" / "1.0.0" / "manifest.json").read_bytes())["hazards"]
    assert [hazard["name"] for hazard in told] == ["drop_last", "padding", "not_finite", "single_class", "duplicates"]
    assert tree(tmp_path / "data") == whole("telling")


def test_what_cannot_be_planned(planned, tmp_path):
    """A stream is refused, and nothing is left."""
    with pytest.raises(exporters.LoaderError, match=r"split 'train': nobody can begin in .*DataLoader\(\.\.\., num_workers=4\)"):
        planned("stream")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("words", [("work", "--rank", "0", "--world", "1"), ("publish",)])
def test_what_is_not_planned(words, command, tmp_path):
    """The error says what to give; nothing is made."""
    with pytest.raises(exporters.ArgumentError, match=r"is no planned export.*what torch2tfds plan has printed"):
        command(words[0], tmp_path / "ds/1.0.0.incomplete", *words[1:])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("environment", "found"), [
    ({"RANK": "2", "WORLD_SIZE": "4"}, (2, 4)),
    ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "5"}, (2, 3)),
    ({"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "5",
      "SLURM_ARRAY_TASK_STEP": "2"}, (2, 3)),
    ({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "1"}, (0, 1)),
    ({}, "--rank and --world say which part of how many"),
    ({"RANK": "4", "WORLD_SIZE": "4"}, r"--rank must be 0 to 3, one less than --world \(got 4 of 4\)"),
    ({"RANK": "two", "WORLD_SIZE": "4"}, "RANK must be a number"),
])  # fmt: skip
def test_which_rank(environment, found):
    """The environment says which part of how many, where the command does not; what makes no sense is refused."""
    if isinstance(found, tuple):
        assert array_jobs._rank_of(None, None, environment) == found
        assert array_jobs._rank_of(1, 9, environment) == (1, 9)
    else:
        with pytest.raises(exporters.ArgumentError, match=found):
            array_jobs._rank_of(None, None, environment)
