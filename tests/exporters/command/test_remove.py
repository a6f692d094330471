"""`torch2tfds rm` and `gc`: they ask, and say what they did."""

import json

import pytest
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from exporters.cli import app
from exporters.command import remove


@pytest.fixture
def version(publish, tmp_path):
    publish(DataLoader([0.0, 1.0], 2), data_dir=tmp_path)
    return tmp_path / "ds" / "1.0.0"


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def test_rm_asks(version, monkeypatch):
    """Without --yes somebody must say yes; where nobody can be asked, it is refused."""
    assert "add --yes" in str(run("rm", version).exception)
    asked = []
    monkeypatch.setattr(remove, "_ask", lambda question: asked.append(question) or False)
    assert run("rm", version).exit_code == 1
    assert version.is_dir()
    assert "2 examples" in asked[0]
    monkeypatch.setattr(remove, "_ask", lambda question: True)
    done = run("rm", version, "--json")
    assert (done.exit_code, json.loads(done.stdout)["removed"]) == (0, "ds:1.0.0")
    assert not version.exists()


def test_gc(version, tmp_path):
    """A listing removes nothing; --yes does."""
    assert "nothing is left behind" in run("gc", tmp_path).stdout
    stage = tmp_path / "ds" / "2.0.0.incomplete"
    stage.mkdir()
    (stage / "train-00000.data").write_bytes(b"12345")
    text = run("gc", tmp_path).stdout
    assert "ds/2.0.0  forgotten  5 bytes  0 finished shards  last written 0 seconds ago" in text
    assert stage.is_dir()
    (row,) = json.loads(run("gc", tmp_path, "--yes", "--json").stdout)
    assert (row["state"], row["bytes"]) == ("removed", 5)
    assert not stage.exists()
    assert version.is_dir()


def test_gc_of_what_must_stay(tmp_path, version):
    """What no export wrote is named, and the exit code is 1."""
    stage = tmp_path / "ds" / "2.0.0.incomplete"
    stage.mkdir()
    (stage / "notes.txt").write_text("mine")
    done = run("gc", tmp_path, "--yes")
    assert done.exit_code == 1
    assert "was written by no export" in done.stdout
    assert (stage / "notes.txt").is_file()
