"""`torch2tfds diff`: its exit code, and what it prints."""

import json
import shutil

import pytest
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from exporters.cli import app

pytestmark = pytest.mark.filterwarnings("ignore:stock TFDS")


@pytest.fixture(scope="module")
def versions(publish, tmp_path_factory):
    """Three versions of twelve rows: the second as the first, the third with one row less and one changed."""
    data_dir = tmp_path_factory.mktemp("diff")
    rows = [{"x": float(i), "name": f"n{i}"} for i in range(12)]
    other = [row for row in rows if row["x"] != 3]
    other[5] = {"x": -1.0, "name": "n6"}
    made = {"1.0.0": (rows, "tfrecord"), "1.0.1": (rows, "hdf5"), "1.1.0": (other, "tfrecord")}
    for version, (content, format) in made.items():
        publish(DataLoader(content, 5), format, data_dir=data_dir, version=version)
    return data_dir / "ds"


def run(*arguments):
    return CliRunner().invoke(app, ["diff", *map(str, arguments), "--quiet"])


def test_exit_codes(versions, tmp_path):
    """0 if nothing changed, 1 if something did, and an error (2, by `main`) for what is no version."""
    same, differs = run(versions / "1.0.0", versions / "1.0.1"), run(versions / "1.0.0", versions / "1.1.0")
    assert (same.exit_code, differs.exit_code) == (0, 1)
    assert "the same features and examples, in the same order" in same.stdout
    assert type(run(versions / "1.0.0", tmp_path).exception).__name__ == "MissingFileError"


def test_text(versions):
    """What came, went and changed, by number."""
    lines = run(versions / "1.0.0", versions / "1.1.0").stdout.splitlines()
    assert lines[0].startswith("ds:1.0.0 (")
    assert lines[1:] == [
        "train: 12 -> 11 examples: 10 kept, 1 went, 1 changed",
        "  went, by number in the old version: 3",
        "  changed, by number in the old version: 6",
    ]


def test_what_was_not_looked_at(versions, publish, tmp_path):
    """It is said of the same manifests that examples were not read, and of a split which features it was compared by."""
    shutil.copytree(versions / "1.0.0", tmp_path / "ds" / "1.0.0")
    same = run(versions / "1.0.0", tmp_path / "ds" / "1.0.0")
    assert same.exit_code == 0
    assert "were not read (torch2tfds verify reads them)" in same.stdout
    assert "were not read" not in run(versions / "1.0.0", versions / "1.0.1").stdout
    next((tmp_path / "ds" / "1.0.0").glob("*.tfrecord-*")).unlink()
    assert type(run(versions / "1.0.0", tmp_path / "ds" / "1.0.0").exception).__name__ == "MissingFileError"
    rows = [{"x": i, "name": f"n{i}"} for i in range(12)]
    publish(DataLoader(rows, 5), data_dir=tmp_path, version="2.0.0")
    lines = run(versions / "1.0.0", tmp_path / "ds" / "2.0.0").stdout.splitlines()
    assert lines[-2:] == ["train: 12 examples, the same; compared by name alone", "examples were compared by name, and not by x"]
    publish(DataLoader([{"y": i} for i in range(12)], 5), data_dir=tmp_path, version="3.0.0")
    lines = run(versions / "1.0.0", tmp_path / "ds" / "3.0.0").stdout.splitlines()
    assert lines[-2] == "train: 12 examples, which could not be compared"


def test_json(versions):
    """The same as JSON."""
    done = run(versions / "1.0.0", versions / "1.1.0", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["is_same"], found["splits"]["train"]["went_rows"]) == (False, [3])
