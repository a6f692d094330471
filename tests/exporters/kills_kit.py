"""SIGKILL at random instants for whatever writes an export in several processes: engines, and the ranks of an array job.

An export is a few steps, each of them processes side by side. At random instants one of the processes is killed: one that runs
`export`, `plan`, `work` or `publish`, one that does tasks for it, or whatever else a test can end. What has failed is run again,
until it is published; then it must be, to the byte, what nobody disturbed. Which is killed and when is drawn from a seed that is
printed: `--kills-seed` draws the same again, though machines are never as busy twice.
"""

from __future__ import annotations

import collections
import dataclasses
import multiprocessing
import os
import pathlib
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing import connection, resource_tracker

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info
from typer.testing import CliRunner

import exporters
from exporters.cli import app
from tfds_builder.catalog.builder_module import generate
from tfds_builder.table.table import Table

WHOLE = pytest.param("whole", marks=[pytest.mark.endurance, pytest.mark.timeout(14400)])
AMOUNTS = ["sample", WHOLE]
FORMATS = ("tfrecord", "hdf5")
ROWS = {"train": 120, "test": 24, "stream": 120}
SPLITS = ("train", "test")
PARTS = 6
"""In which a stream divides itself."""
SHARD_BYTES = 128
SECONDS = 0.03
"""For one row, so that there is something to kill."""
IDLE = 0.5
"""Seconds without a row, after which the processes that make rows count as idle."""
SAMPLE = 2
"""Kills in a run without `--endurance`."""
IN_A_ROW = 3
"""Kills of one export at most; then it is left alone."""
PATIENCE = 180.0
"""Seconds after which a process that is not disturbed any more counts as one that hangs, or was left over: those
of Beam's that have just been begun look for an `export` that was killed for two minutes."""
ADVICE = "to go on after what is finished"
"""What an error of an engine ends with."""
WORLD = 3
"""Ranks."""
KIT = pathlib.Path(__file__).parent
CONTEXT = multiprocessing.get_context("forkserver")
"""Processes are forked from one that has imported everything, and has no threads."""


class Noted(Dataset):
    """Rows by number, each after a while. A process touches a file, whose name says which it is, whenever it makes one."""

    def __init__(self, place, count, seconds):
        self.place, self.count, self.seconds = place, count, seconds

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        pathlib.Path(self.place, f"{os.getpid()}-{life_of(os.getpid())[0]}").touch()
        time.sleep(self.seconds)
        return {"id": index, "text": "é" * (index % 9)}


class Parts(IterableDataset):
    """The same rows as a stream, of which each worker gives a part."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        info = get_worker_info()
        return map(self.rows.__getitem__, range(info.id, len(self.rows), info.num_workers))


def loaders(place=None, splits=SPLITS, seconds=SECONDS):
    """What is exported, shuffled with a seed. `plan` and ranks are told the place by the environment."""
    place, seed = place or os.environ["KILLS_PLACE"], torch.Generator().manual_seed
    rows = {split: Noted(place, ROWS[split], seconds) for split in splits}
    return {
        split: DataLoader(Parts(rows[split]), 4, num_workers=PARTS)
        if split == "stream"
        else DataLoader(rows[split], 4, shuffle=True, generator=seed(2))
        for split in splits
    }


def export(place, *, data_dir, format, splits, seconds=SECONDS, **engine):
    """The same line every time; a version that is published already only lacks its module."""
    fixed = {"name": "ds", "shard_bytes": SHARD_BYTES, "progress": False}
    try:
        exporters.export(loaders(place, splits, seconds), data_dir, format=format, **fixed, **engine)
    except exporters.AlreadyPublishedError:
        generate(pathlib.Path(data_dir, "ds/1.0.0"))


def run_command(place, *words):
    """Runs torch2tfds in this process."""
    os.environ["KILLS_PLACE"] = place
    CliRunner().invoke(app, [*words, "--quiet"], catch_exceptions=False)


def plan(place, *, data_dir, format):
    where = ["--name", "ds", "--app-dir", str(KIT), "--format", format, "--shard-mib", str(SHARD_BYTES / 2**20)]
    run_command(place, "plan", "kills_kit:loaders", data_dir, *where)


def work(place, *, data_dir, rank):
    run_command(place, "work", f"{data_dir}/ds/1.0.0.incomplete", "--rank", str(rank), "--world", str(WORLD))


def publish(place, *, data_dir):
    """As `export`."""
    try:
        run_command(place, "publish", f"{data_dir}/ds/1.0.0.incomplete")
    except exporters.AlreadyPublishedError:
        generate(pathlib.Path(data_dir, "ds/1.0.0"))


def life_of(pid):
    """When a process began, in ticks, and its session; (None, None) if it is no more."""
    try:
        state, *rest = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None, None
    return (None, None) if state in "ZX" else (int(rest[18]), int(rest[2]))


def kill(pid, began):
    """Kills a process, and no other that has got its number since; whether it was there."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        is_there = life_of(pid)[0] == began is not None
        if is_there:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        return is_there
    finally:
        os.close(descriptor)


def running_in(sessions, until):
    """The processes of some sessions that had begun by a tick: numbers, and when they began. Numbers are given out anew later."""
    lives = {int(path.name): life_of(path.name) for path in pathlib.Path("/proc").iterdir() if path.name.isdecimal()}
    return [(pid, began) for pid, (began, session) in lives.items() if session in sessions and began <= until]


def command_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")[:200]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def run_apart(call, said):
    """Runs a call in a process of its own, which begins a session; what came of it is said in a file."""
    os.setsid()
    multiprocessing.set_start_method("fork", force=True)  # as in a program of one's own, and so is the next line
    resource_tracker._resource_tracker._fd = None
    if (cloudpickle := sys.modules.get("cloudpickle")) is not None:
        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # processes of Ray's cannot import it
    log = os.open(said.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    try:
        call()
        said.write_text("done")
    except BaseException as error:
        traceback.print_exc()
        said.write_text(f"{type(error).__name__}: {error}")


class Run:
    """Calls side by side, each in a process of its own, and the processes that make rows for them.

    Args:
      calls: functions that take the place where processes are noted.
      root: a directory of the test's.
      number: of the run.
    """

    def __init__(self, calls, root, number):
        self.place, self.calls = root / f"run-{number}", calls
        self.place.mkdir()
        (self.place / "noted").mkdir()
        self.said = [self.place / f"call-{n}" for n in range(len(calls))]
        noted = str(self.place / "noted")
        self.processes = [
            CONTEXT.Process(target=run_apart, args=(partial(call, noted), said))
            for call, said in zip(calls, self.said, strict=True)
        ]
        self.start = time.monotonic()
        for process in self.processes:
            process.start()
        self.born = {process.pid: life_of(process.pid)[0] for process in self.processes}
        self.struck, self.end = set(), float("inf")

    def is_over(self, seconds=0.0):
        """Whether all calls have ended, by the end of some seconds at most."""
        end = time.monotonic() + seconds
        while waiting := [process.sentinel for process in self.processes if process.exitcode is None]:
            if not connection.wait(waiting, max(0.0, end - time.monotonic())):
                return False
        self.end = min(self.end, time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))
        return True

    def workers(self):
        """Processes that have made rows and still run, but for those of the calls: numbers, and when they began."""
        named = (path.name.split("-") for path in (self.place / "noted").iterdir())
        noted = {int(pid): int(began) for pid, began in named if int(pid) not in self.born}
        return [(pid, began) for pid, began in sorted(noted.items()) if life_of(pid)[0] == began]

    def has_begun(self):
        """Waits until other processes make rows; False if all calls have ended before."""
        while not self.workers():
            if self.is_over(0.02):
                return False
        return True

    def last_row(self):
        """When a row was last asked for, in seconds since the run began; 0 if none was."""
        times = [path.stat().st_mtime for path in (self.place / "noted").iterdir()]
        return max(times, default=0.0) - time.time() + time.monotonic() - self.start if times else 0.0

    def is_at_work(self):
        """Whether rows are being made."""
        return time.monotonic() - self.start - self.last_row() < IDLE

    def left_over(self):
        """What still runs of it, once it is over: numbers, and when they began."""
        return sorted({*self.workers(), *running_in(self.born.keys(), self.end)})

    def stop(self):
        """Ends a run that is not over."""
        for pid, began in [*self.workers(), *self.born.items()]:
            kill(pid, began)
        assert self.is_over(10)


def kill_a_call(run, dice):
    """Kills a process that runs `export`, or a command."""
    left = [pid for pid in run.born if life_of(pid)[0] == run.born[pid] is not None]
    return bool(left) and kill(pid := dice.choice(left), run.born[pid]) and not run.struck.add(pid)


def kill_a_worker(run, dice):
    """Kills a process that makes rows for one that runs `export`."""
    workers = run.workers()
    return bool(workers) and kill(*dice.choice(workers))


@dataclasses.dataclass
class Way:
    """A way to export in several processes.

    Attributes:
      name: for the report.
      steps: by name, what gives the calls of a step, of a data_dir and a format. A step is done before the next one begins.
      victims: by name, what kills one, of a run and the dice, and tells whether there was one; and in which step.
      modules: what all processes import.
      splits: what is exported.
    """

    name: str
    steps: Mapping[str, Callable]
    victims: Mapping[str, tuple[Callable, str]]
    modules: Sequence[str] = ()
    splits: Sequence[str] = SPLITS

    @classmethod
    def of_engine(cls, engine, options, modules=(), splits=SPLITS, **victims):
        """Of `export` with an engine. Further victims are given as what kills one."""
        both = {"export": kill_a_call, "worker": kill_a_worker} | victims
        call = partial(export, splits=splits, engine=engine, engine_options=options)
        steps = {"export": lambda data_dir, format: [partial(call, data_dir=data_dir, format=format)]}
        name = f"engine `{engine}`" + (", a stream in parts" if "stream" in splits else "")
        return cls(name, steps, {name: (kills, "export") for name, kills in both.items()}, modules, splits)

    @classmethod
    def of_ranks(cls):
        """Of `plan`, ranks side by side, and `publish`."""
        steps = {
            "plan": lambda data_dir, format: [partial(plan, data_dir=data_dir, format=format)],
            "rank": lambda data_dir, _: [partial(work, data_dir=data_dir, rank=rank) for rank in range(WORLD)],
            "publish": lambda data_dir, _: [partial(publish, data_dir=data_dir)],
        }
        return cls("ranks of an array job", steps, {name: (kill_a_call, name) for name in steps})


class Campaign:
    """Kills exports of one way until there were enough, and keeps what was found."""

    def __init__(self, way, root, seed):
        self.way, self.root, self.dice = way, root, random.Random(seed)
        self.runs, self.whole, self.spans = [], {}, {}
        self.killed, self.seen, self.exports, self.lost = collections.Counter(), collections.Counter(), 0, []
        self.went_on = self.at_work = 0

    def begin(self, calls):
        self.runs.append(Run(calls, self.root, len(self.runs)))
        return self.runs[-1]

    def prepare(self, format):
        """What one process writes, and how long each step takes that nobody disturbs."""
        data_dir, noted = self.root / f"whole {format}", self.root / "noted"
        noted.mkdir(exist_ok=True)
        alone = {"engine": "processes", "engine_options": {"workers": 1, "start_method": "fork"}}
        is_stream = "stream" in self.way.splits  # whose parts without an engine are not read one after the other
        export(str(noted), data_dir=data_dir, format=format, splits=self.way.splits, seconds=0, **(alone if is_stream else {}))
        self.whole[format] = tree(data_dir)
        for step, calls in self.way.steps.items():
            run, begun = self.begin(calls(str(self.root / "first"), format)), 0.0
            of_workers = [name for name, (kills, place) in self.way.victims.items() if place == step and kills is not kill_a_call]
            if of_workers and run.has_begun():
                begun = time.monotonic() - run.start
            assert run.is_over(PATIENCE), f"{step} hangs: {run.place}"
            assert [said.read_text() for said in run.said] == ["done"] * len(run.said), run.place
            seconds = time.monotonic() - run.start
            own = {name: seconds for name, (_, place) in self.way.victims.items() if place == step}
            own |= dict.fromkeys(of_workers, run.last_row() - begun)
            self.spans |= {(name, format): span for name, span in own.items()}
        self.compare(self.root / "first", format)
        assert not self.lost

    def attack(self, format, most):
        """One export that is killed up to a few times, and run again until it is done."""
        data_dir = self.root / "attacked"
        doomed = [self.dice.choice(list(self.way.victims)) for _ in range(min(most, IN_A_ROW))]
        for step, make in self.way.steps.items():
            waiting = [name for name in doomed if self.way.victims[name][1] == step]
            calls = make(str(data_dir), format)
            while calls:
                run, struck = self.begin(calls), []
                while waiting and self.strike(run, waiting[0], format):
                    struck.append(waiting.pop(0))
                calls = self.again(run, struck)
                if calls and not struck:
                    break  # it fails by itself, which is told
        self.exports += 1
        self.compare(data_dir, format)

    def strike(self, run, victim, format):
        """Kills a victim at a random instant; False if the run was over before."""
        kills, _ = self.way.victims[victim]
        if kills is not kill_a_call and not run.has_begun():
            return False
        run.is_over(self.dice.uniform(0, self.spans[victim, format]))
        is_at_work, was_killed = run.is_at_work(), kills(run, self.dice)
        while not was_killed and not run.is_over(0.01):  # between two workers
            is_at_work, was_killed = run.is_at_work(), kills(run, self.dice)
        self.killed[victim] += was_killed
        is_early = was_killed and (kills is kill_a_call or is_at_work)
        self.at_work += was_killed and is_at_work and kills is not kill_a_call
        self.spans[victim, format] *= 1.04 if is_early else 0.9  # so that kills fall on all of it, however busy the machine
        return was_killed

    def again(self, run, struck):
        """Waits for a run to end, and notes how; the calls that must be made again."""
        if not run.is_over(PATIENCE):
            self.lose(f"hangs after {struck}", run)
            run.stop()
            return run.calls
        failed = []
        for call, said, process in zip(run.calls, run.said, run.processes, strict=True):
            words = said.read_text() if said.exists() else f"ended with {process.exitcode}"
            if process.pid in run.struck and process.exitcode:
                self.seen["killed"] += 1
            elif words == "done":
                continue
            elif struck and (ADVICE in words or "DataLoader worker" in words):
                self.seen[words.split(":")[0]] += 1
            elif struck and words == "ended with 1":
                self.seen["ended with its node"] += 1
            else:
                self.lose(f"after {struck}: {words}", run)
            failed.append(call)
        self.went_on += bool(struck) and not failed
        return failed

    def compare(self, data_dir, format):
        """What was published must be what one process writes, and nothing lies beside it; then it is removed."""
        draft = ".ds_dataset_builder.py."  # which may be left, as docs/reliability.md says
        files = {name: content for name, content in tree(data_dir).items() if f"/{draft}" not in name}
        different = sorted({name for name, _ in files.items() ^ self.whole[format].items()})
        beside = sorted(name for name in os.listdir(data_dir / "ds") if not name.startswith(draft))
        if different or beside != sorted(os.listdir(self.root / f"whole {format}" / "ds")):
            self.lose(f"other files: {different}, {beside}", None)
        else:
            for split in self.way.splits:
                ids = Table.of_split(data_dir / "ds/1.0.0", split).read(slice(None))["id"].tolist()
                if sorted(ids) != list(range(ROWS[split])):
                    self.lose(f"examples lost or doubled: {ids}", None)
        shutil.rmtree(data_dir)

    def look_for_processes(self):
        """Nothing that was begun may run any more, if it has some time for that."""
        end = time.monotonic() + PATIENCE
        while (left := [pair for run in self.runs for pair in run.left_over()]) and time.monotonic() < end:
            time.sleep(0.1)
        if left:
            self.lose(f"left over: {[(pid, command_of(pid)) for pid, _ in left]}", None)
        for pid, began in left:
            kill(pid, began)

    def lose(self, problem, run):
        print(f"{self.way.name}: {problem} ({run and run.place})", flush=True)
        self.lost.append((problem, run and run.place))


def tree(directory):
    """Relative path -> content of every file below a directory."""
    paths = [pathlib.Path(root, name) for root, _, names in os.walk(directory) for name in names]
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def run_campaign(way, amount, config, root, report):
    """Kills as many as were asked for, and reports it.

    Args:
      way: how to export.
      amount: "sample" or "whole".
      config: of pytest.
      root: a directory of the test's.
      report: the fixture `endurance`.
    """
    seed = config.getoption("--kills-seed")
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    kills = config.getoption("--kills") if amount == "whole" else SAMPLE
    print(f"\n{way.name}: {kills} kills, --kills-seed {seed}", flush=True)
    campaign, paths = Campaign(way, root, seed), os.environ.get("PYTHONPATH", "")
    CONTEXT.set_forkserver_preload(["kills_kit", "h5py", *way.modules])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(KIT), paths]))
        formats = FORMATS if amount == "whole" else FORMATS[:1]
        for format in formats:
            campaign.prepare(format)
        while (left := kills - campaign.killed.total()) > 0:
            campaign.attack(formats[campaign.exports % len(formats)], left)
        campaign.look_for_processes()
    killed = ", ".join(f"{victim} {count}" for victim, count in sorted((+campaign.killed).items()))
    again = ", ".join(f"{what} {count:,}" for what, count in campaign.seen.most_common()) or "none"
    of_tasks = [name for name, (kills, _) in way.victims.items() if kills is not kill_a_call]
    at_work = f" ({campaign.at_work} of {' and '.join(of_tasks)} while rows were made)" if of_tasks else ""
    text = (
        f"killed were {killed}{at_work}; {campaign.went_on} runs went on to their end, {campaign.seen.total()} calls were made "
        f"again ({again}); {campaign.exports} exports, the same SHA-256 of every file, no process left"
    )
    report(amount, f"a process killed, {way.name}", campaign.killed.total(), len(campaign.lost), text)
    assert not campaign.lost, f"--kills-seed {seed}"
