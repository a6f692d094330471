"""SIGKILL at random instants, in numbers: a few in every run, 500 with `--endurance`, which writes docs/reliability.md."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

import kills_kit
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset
from tqdm import tqdm

import exporters
import tfds_builder
from tfds_builder.catalog.builder_module import generate
from tfds_builder.table.table import Table

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:nothing is published under")]  # which is what is to be seen

ROWS = 60
KILLS = {"sample": 16, "whole": 500}
WHOLE = pytest.param("whole", marks=[pytest.mark.endurance, pytest.mark.timeout(7200)])
IN_A_ROW = 3
"""Kills of one export at most; then it is left alone."""


def example(index):
    return {"id": index, "image": torch.full((3, 5, 6), index, dtype=torch.uint8)}


class Images(Dataset):
    def __init__(self, rows=ROWS):
        self.rows = rows

    def __len__(self):
        return self.rows

    def __getitem__(self, index):
        return example(index)


class Texts(Images):
    def __getitem__(self, index):
        return {"id": index, "text": f"number {index} " * index}


class Stream(IterableDataset):
    def __iter__(self):
        return map(example, range(ROWS))


def in_order(dataset, **options):
    return {"train": DataLoader(dataset, batch_size=4, **options)}


def seeded(dataset, **options):
    return in_order(dataset, shuffle=True, generator=torch.Generator().manual_seed(4), **options)


KINDS = {
    "in order": lambda: in_order(Images()),
    "shuffled": lambda: seeded(Images()),
    "shuffled without a seed": lambda: in_order(Images(), shuffle=True),
    "iterable": lambda: in_order(Stream()),
    "workers": lambda: seeded(Images(), num_workers=2),
    "text": lambda: seeded(Texts()),
    "two splits": lambda: {**seeded(Images()), "test": DataLoader(Stream(), batch_size=7)},
    "overwrite": lambda: in_order(Images()),
    "processes": lambda: seeded(Texts()),
}


PROCESSES = {"engine": "processes", "engine_options": {"workers": 3, "start_method": "fork"}}


def export_to(data_dir, kind, format, loaders=None):
    """The same line every time; a version that is published already only lacks its module."""
    try:
        exporters.export(
            loaders or KINDS[kind](), data_dir, name="ds", format=format, shard_bytes=900, overwrite=kind == "overwrite",
            progress=False, **(PROCESSES if kind == "processes" else {}),
        )  # fmt: skip
    except exporters.AlreadyPublishedError:
        generate(data_dir / "ds" / "1.0.0")


def in_child(action, kill_after=None):
    """Runs `action` in a process forked from this one, which has torch loaded; whether it was killed, and its seconds."""
    start = time.monotonic()
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where workers say that their process is gone
            tqdm.set_lock(threading.RLock())  # a killed process would not give back the one that is shared
            action()
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.stdout)
        finally:
            sys.stdout.flush()
            os._exit(code)
    GROUPS.append(child)
    if kill_after is not None:
        ended = os.pidfd_open(child)
        select.select([ended], [], [], kill_after)
        os.close(ended)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or not os.WEXITSTATUS(status), "the export failed"
    return os.WIFSIGNALED(status), time.monotonic() - start


GROUPS = []
"""Process groups of the children so far."""


def end_orphans():
    """Ends workers whose process was killed: one that had only just begun does not notice (torch notes its parent too late)."""
    while GROUPS:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(GROUPS.pop(), signal.SIGKILL)


LOOKER = """
    import json, os, sys, tensorflow_datasets as tfds, tfds_builder
    from tfds_builder.finding.provider import catalog
    for line in sys.stdin:
        data_dir = line.strip()
        catalog._builders.clear()
        names = tfds_builder.register(data_dir) if os.path.isdir(data_dir) else []
        try:
            data = tfds.load("ds", **({} if names else {"data_dir": data_dir}))
            seen = {split: sorted(int(x["id"]) for x in tfds.as_numpy(examples)) for split, examples in data.items()}
        except tfds.core.DatasetNotFoundError:
            seen = {}
        print(json.dumps([names, seen]), flush=True)
"""


class Looker:
    """What someone who loads with TFDS sees, from a process that keeps TensorFlow to itself."""

    def __init__(self, tmp_path):
        script = tmp_path / "looker.py"
        script.write_text("if True:" + LOOKER)
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def look(self, data_dir):
        self.process.stdin.write(f"{data_dir}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.kill()
        self.process.communicate()


class Campaign:
    """Kills exports until there were enough, and keeps what was found."""

    def __init__(self, tmp_path, tree, looker):
        self.root, self.tree, self.looker = tmp_path, tree, looker
        self.dice = random.Random(11)
        self.seen, self.whole, self.seconds = collections.Counter(), {}, {}
        self.killed, self.left, self.lost = 0, 0, []

    def prepare(self, kind, format):
        """An export that nobody disturbs: its files, and how long it takes."""
        data_dir = self.root / f"whole {kind} {format}"
        self.seconds[kind, format] = in_child(lambda: export_to(data_dir, kind, format))[1]
        self.whole[kind, format] = self.tree(data_dir)

    def attack(self, kind, format):
        """One export, killed up to a few times, run again until it is done."""
        data_dir = self.root / "attacked"
        if kind == "overwrite":
            export_to(data_dir, kind, format, in_order(Images(rows=7)))
        old = self.tree(data_dir)
        for _ in range(IN_A_ROW):
            was_killed, _ = in_child(lambda: export_to(data_dir, kind, format), self.dice.uniform(0, self.seconds[kind, format]))
            self.killed += was_killed
            self.seconds[kind, format] *= 1.04 if was_killed else 0.9  # so that kills fall on all of it, however busy the machine
            if was_killed and (problem := self.find_partial(data_dir, kind, format, old)):
                self.lost.append((kind, format, problem))
        in_child(lambda: export_to(data_dir, kind, format))
        end_orphans()
        if problem := self.find_difference(data_dir, kind, format):
            self.lost.append((kind, format, problem))
        shutil.rmtree(data_dir)

    def find_partial(self, data_dir, kind, format, old):
        """What someone sees that is neither nothing nor a whole dataset."""
        version = data_dir / "ds" / "1.0.0"
        visible = version.exists()
        files = {f"ds/1.0.0/{name}": content for name, content in self.tree(version).items()}
        states = {"the new version": self.whole[kind, format], "the old version": old}
        state = next((state for state, tree in states.items() if files and files.items() <= tree.items()), None)
        if kind == "shuffled without a seed" and visible:
            state = None if tfds_builder.verify(version).problems else "the new version"
        if visible and state is None:
            return "a version that is neither the old nor the new one"
        self.seen[state if visible else "nothing"] += 1
        registered = tfds_builder.register(data_dir) if data_dir.exists() else []
        names, loaded = self.looker.look(data_dir) if self.looker else (registered, None)
        if not registered == names == (["ds"] if visible else []):
            return f"registered {registered}, {names}"
        rows = range(7 if state == "the old version" else ROWS)
        splits = ["train", "test"] if kind == "two splits" else ["train"]
        expected = {split: list(rows) for split in splits} if visible else {}
        return f"loaded {loaded}" if loaded not in (None, expected) else ""

    def find_difference(self, data_dir, kind, format):
        """What differs from an export that nobody disturbed."""
        tree = self.tree(data_dir)
        files = {
            name: content for name, content in tree.items() if not name.startswith("ds/.ds_dataset_builder.py.")
        }  # see the docs
        self.left += len(tree) - len(files)
        if kind != "shuffled without a seed":
            different = sorted(name for name, _ in files.items() ^ self.whole[kind, format].items())
            return f"other bytes: {different}" if different else ""
        version = data_dir / "ds" / "1.0.0"
        ids = Table.of_split(version, "train").read(slice(None))["id"].tolist()
        kept = sorted(ids) == list(range(ROWS)) != ids and files.keys() == self.whole[kind, format].keys()
        return "" if kept and not tfds_builder.verify(version).problems else "examples lost or doubled"


@pytest.mark.filterwarnings("ignore::exporters.HazardWarning")
@pytest.mark.parametrize("amount", ["sample", WHOLE])
def test_killed_at_random_instants(amount, tmp_path, tree, endurance):
    """Killed at any instant, up to three times in a row, an export shows nothing or a whole dataset to `tfds.load`,
    `register` and `list`; run again until it is done, every file has the bytes of an export that nobody disturbed."""
    looker = Looker(tmp_path) if amount == "whole" else None
    campaign = Campaign(tmp_path, tree, looker)
    export_to(tmp_path / "warm", "in order", "tfrecord")  # what is imported here need not be in every child
    export_to(tmp_path / "warm", "overwrite", "hdf5")
    cases = [(kind, format) for kind in KINDS for format in ("tfrecord", "hdf5")]
    if amount == "sample":
        cases = cases[::3]
    for case in cases:
        campaign.prepare(*case)
    while campaign.killed < KILLS[amount]:
        for case in cases:
            campaign.attack(*case)
            if campaign.killed >= KILLS[amount]:
                break
    if looker:
        looker.close()
    seen = ", ".join(f"{state} {count:,} times" for state, count in campaign.seen.most_common())
    left = f"; {campaign.left} times a hidden draft of the module was left beside it"
    text = f"to see was {seen}; run again, the same SHA-256 of every file" + (left if campaign.left else "")
    endurance(amount, "killed at a random instant", campaign.killed, len(campaign.lost), text)
    assert not campaign.lost


WAYS = {
    "forked": kills_kit.Way.of_engine("processes", {"workers": 3, "start_method": "fork"}),
    "ranks": kills_kit.Way.of_ranks(),
    "streams": kills_kit.Way.of_engine("processes", {"workers": 3, "start_method": "fork"}, splits=("stream", "test")),
}


@pytest.mark.filterwarnings("ignore::exporters.HazardWarning")
@pytest.mark.parametrize(("way", "amount"), [
    ("streams", "sample"), *(pytest.param(way, *whole.values, marks=whole.marks) for way in WAYS for whole in [kills_kit.WHOLE]),
])  # fmt: skip
def test_a_process_of_several_is_killed(way, amount, tmp_path, pytestconfig, endurance):
    """Whichever process of `export` or of an array job is killed, whenever: run again until it is published, nothing is lost,
    doubled or left, and every file has the bytes of an export by one process."""
    kills_kit.run_campaign(WAYS[way], amount, pytestconfig, tmp_path, endurance)
