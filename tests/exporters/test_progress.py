"""What is shown of how far an export is: a bar in a terminal or a notebook, a line now and then in a log, nothing if asked."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import types

import pytest

import exporters
from exporters import progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """`clock[0]`: the time, in seconds, as the module sees it."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def drain(clock, *, total, seconds, batches=100, show=None):
    """Counts 100 batches of 10 rows, so many seconds apart; the lines that a log file got."""
    log = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", log)
        with progress.Progress(show, total, "ds") as bar:
            for number in range(batches):
                clock[0] += seconds
                bar.add_batch(10, 1024)
                if number % 10 == 9:
                    bar.add_shard()
    return log.getvalue().splitlines()


@pytest.mark.parametrize(
    ("total", "seconds", "lines"),
    [
        pytest.param(1000, 1, 3, id="fast: one every 30 seconds"),
        pytest.param(1000, 29, 10, id="slow: one every tenth"),
        pytest.param(None, 29, 50, id="of an unknown number: every 30 seconds"),
        pytest.param(1000, 0.01, 0, id="short: none"),
    ],
)
def test_lines_of_a_log(total, seconds, lines, clock):
    """A log gets a line after half a minute or a tenth of the whole, whichever is later, and no control characters."""
    found = drain(clock, total=total, seconds=seconds)
    assert len(found) == lines
    assert all(line.startswith("ds: ") and line.isprintable() for line in found)


def test_a_line_tells_how_far_it_is(clock):
    """A line has the count, its share, bytes, shards, the rate and what is left; what was done before does not make it faster."""
    first, *_, last = drain(clock, total=1000, seconds=10)
    assert first == "ds: 100 of 1,000 examples (10%), 10.0 KiB, 0 shards, 1 examples/s, 0:15:00 left"
    assert last == "ds: 1,000 of 1,000 examples (100%), 100.0 KiB, 9 shards, 1 examples/s"
    log = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", log)
        with progress.Progress(None, 1000, "ds") as bar:
            bar.pass_over(500, 5)
            clock[0] += 100
            bar.add_batch(200, 1024)
    assert log.getvalue() == "ds: 700 of 1,000 examples (70%), 1.0 KiB, 5 shards, 2 examples/s, 0:02:30 left\n"


def test_quiet(clock):
    """`progress=False` says nothing at all, however long it takes."""
    assert drain(clock, total=1000, seconds=100, show=False) == []


@pytest.mark.parametrize("show", [None, True])
def test_the_bar_ends_with_the_final_counts(show, monkeypatch):
    """When the bar is left standing it tells every example, byte and shard, the last shard too."""
    stream = Terminal() if show is None else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.Progress(show, 30, "ds") as bar:
        bar.pass_over(10, 1)
        bar.say("decided")
        for _ in range(2):
            bar.add_batch(10, 1024)
            bar.add_shard()
    lines = re.split(r"[\r\n]+", stream.getvalue())
    assert "decided" in lines
    last = [line for line in lines if line.startswith("ds:")][-1]
    assert last.startswith("ds: 100%")
    assert "30.0/30.0" in last
    assert "bytes=2.0 KiB, shards=3" in last


def test_a_notebook(monkeypatch):
    """In a notebook's kernel, whose output is no terminal, there is a bar, and no warning where it has no widgets."""
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "ipykernel.zmqshell", types.ModuleType("zmqshell"))
    for name in ("tqdm.auto", "tqdm.autonotebook"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.Progress(None, 10, "ds") as bar:
        bar.add_batch(10, 5)
    assert "100%" in stream.getvalue()


def test_an_export_in_a_terminal(tmp_path):
    """A real export in a real terminal ends with a bar that has all examples and shards."""
    source = (
        "import torch, exporters, sys; from torch.utils.data import DataLoader, TensorDataset;"
        "exporters.export(DataLoader(TensorDataset(torch.arange(100)), batch_size=10), sys.argv[1], name='ds', shard_bytes=400)"
    )
    parent, child = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", source, str(tmp_path)], stderr=child, stdout=child)
    os.close(child)
    text = b""
    try:
        while piece := os.read(parent, 65536):
            text += piece
    except OSError:  # the terminal is closed
        pass
    assert process.wait(100) == 0
    os.close(parent)
    shards = len(list(tmp_path.glob("ds/1.0.0/*.tfrecord-*")))
    last = [line for line in re.split(r"[\r\n]+", text.decode()) if line.startswith("ds: ")][-1]
    assert last.startswith("ds: 100%")
    assert f"shards={shards}" in last
    assert shards > 1


def test_what_was_done_before_counts(tmp_path, monkeypatch):
    """An export that goes on counts what was finished, so that its bar ends at the whole."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Failing(Dataset):
        fails = True

        def __len__(self):
            return 100

        def __getitem__(self, index):
            if self.fails and index == 95:
                raise OSError("pulled")
            return torch.full((8,), index)

    def run(show):
        return exporters.export(
            DataLoader(Failing(), batch_size=10), tmp_path, name="ds", shard_bytes=1500, progress=show, on_hazard="ignore"
        )

    with pytest.raises(OSError, match="pulled"):
        run(False)
    monkeypatch.setattr(Failing, "fails", False)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    result = run(True)
    last = [line for line in re.split(r"[\r\n]+", stream.getvalue()) if line.startswith("ds:")][-1]
    assert last.startswith("ds: 100%")
    assert f"shards={result.shards['train']}" in last
