"""`torch2tfds catalog`: what it prints, and the server of `--serve` as it is started and ended."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest

pytest.importorskip("jinja2")
pytestmark = pytest.mark.once

GOLDEN = pathlib.Path(__file__).parents[2] / "golden"


@pytest.fixture
def data(tmp_path):
    shutil.copytree(GOLDEN / "pairs_tfrecord", tmp_path / "data" / "pairs_tfrecord", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "data"


def command(*arguments):
    return [sys.executable, "-m", "exporters.cli", "catalog", *map(str, arguments)]


def test_what_is_printed(data, tmp_path):
    """The page to open, how many versions there are and how many were made anew; as JSON, the same."""
    first = subprocess.run(command(data, "--out", tmp_path / "site"), capture_output=True, text=True, check=True)
    assert first.stdout == f"{tmp_path / 'site' / 'index.html'} (1 version, 1 made anew)\n"
    again = subprocess.run(command(data, "--out", tmp_path / "site", "--json"), capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == {
        "index": str(tmp_path / "site" / "index.html"), "versions": 1, "written": 0, "problems": {}, "damaged": [],
    }  # fmt: skip


def test_serve(data, tmp_path):
    """`--serve` says its address, shows what is published meanwhile without being asked, and ends quietly by Ctrl-C."""
    run = subprocess.Popen(command(data, "--serve", "--port", 0), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        line = run.stderr.readline()
        assert line.startswith("serving http://127.0.0.1:"), line + run.stderr.read()
        url = line.split()[1]
        stream = urllib.request.urlopen(f"{url}_changes", timeout=100)
        first = [stream.readline(), stream.readline()]
        shutil.copytree(GOLDEN / "rows_hdf5", data / "rows_hdf5", ignore=shutil.ignore_patterns("__pycache__"))
        assert next(text for text in iter(stream.readline, b"") if text.startswith(b"data: ")) != first[0]
        assert b"rows_hdf5" in urllib.request.urlopen(url, timeout=60).read()
        assert run.stderr.readline() == "up to date again: 2 versions, 1 made anew\n"
    finally:
        run.send_signal(signal.SIGINT)
        out, error = run.communicate(timeout=60)
    assert (run.returncode, error) == (0, "")
    assert out == f"{data / '_catalog' / 'index.html'} (1 version, 1 made anew)\n"
