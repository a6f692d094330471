"""`torch2tfds diff`: its exit code, and what it prints."""

import json

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


def test_json(versions):
    """The same as JSON."""
    done = run(versions / "1.0.0", versions / "1.1.0", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["is_same"], found["splits"]["train"]["went_rows"]) == (False, [3])
