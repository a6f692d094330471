"""`torch2tfds catalog`: what it prints, and the server of `--serve` as it is started and ended."""

import json
import pathlib
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest

from exporters.reports.site import Options, catalog

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
        "index": str(tmp_path / "site" / "index.html"), "versions": 1, "written": 0, "problems": {}, "verified": 0,
        "damaged": {},
    }  # fmt: skip


def test_what_verify_found_is_printed(data, tmp_path, capsys):
    """`--verify` says how many versions were verified, and of each that is damaged, in which file and how."""
    options = Options(data, tmp_path / "site", images=True, data_dir_shown=None, check=True)
    assert catalog(options, False, False, None) == 0
    assert capsys.readouterr().out.splitlines()[0] == "1 version verified: whole"
    shutil.copytree(GOLDEN / "rows_hdf5", data / "rows_hdf5", ignore=shutil.ignore_patterns("__pycache__"))
    assert catalog(options, False, False, None) == 0
    assert capsys.readouterr().out.splitlines()[0] == "2 versions verified: all whole"
    shard = next(data.glob("pairs_tfrecord/1.0.0/*train*00000-of*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert catalog(options, False, False, None) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == "2 versions verified: 1 damaged"
    assert any(line.startswith("pairs_tfrecord:1.0.0: damaged: ") and shard.name in line for line in lines[:-2])
    catalog(options, True, False, None)
    found = json.loads(capsys.readouterr().out)
    assert (found["verified"], shard.name in str(found["damaged"]["pairs_tfrecord:1.0.0"])) == (2, True)


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
