"""`torch2tfds head`: values of every kind in a line, and as JSON that any parser takes."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader
from typer.testing import CliRunner

import exporters
from exporters.cli import app
from exporters.command.head import describe

GOLDEN = pathlib.Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="module")
def version(publish):
    rows = [
        {
            "image": torch.full((3, 5, 4), row, dtype=torch.uint8),
            "label": row % 2,
            "text": f"\x1b[2J{row}",
            "deep": {"x": 0.1 * row},
        }
        for row in range(4)
    ]
    features = {"label": tfds.features.ClassLabel(names=["cat", "dog"])}
    return publish(DataLoader(rows, 2), features=features, layouts={"image": "NCHW"}).path


def run(*arguments):
    return CliRunner().invoke(app, ["head", *map(str, arguments)])


def test_text(version):
    """Labels by name, images by shape and mean, nested features by flat name; nothing that moves the cursor."""
    lines = run(version, "-n", "2").stdout.splitlines()
    assert lines == [
        "ds:1.0.0  train: 4 examples",
        *("0:", "  deep/x: 0.0", "  image: uint8 (5, 4, 3), mean 0, 0 to 0", "  label: 0 (cat)", r"  text: '\x1b[2J0'"),
        *("1:", "  deep/x: 0.1", "  image: uint8 (5, 4, 3), mean 1, 1 to 1", "  label: 1 (dog)", r"  text: '\x1b[2J1'"),
    ]


def test_json(version):
    """Nested as TFDS nests; as many examples as there are."""
    found = json.loads(run(version, "-n", "99", "--json").stdout)
    assert [example["label"] for example in found] == [0, 1, 0, 1]
    assert found[3]["image"] == [[[3] * 3] * 4] * 5
    assert found[1]["deep"]["x"] == pytest.approx(0.1)


@pytest.mark.parametrize("name", sorted(path.parents[1].name for path in GOLDEN.glob("*/1.0.0/manifest.json")))
def test_every_golden(name):
    """Every kind of feature is shown, and its JSON has no NaN."""
    assert run(GOLDEN / name / "1.0.0", "-n", "3").exit_code == 0

    def refuse(text):
        raise AssertionError(text)

    assert json.loads(run(GOLDEN / name / "1.0.0", "-n", "3", "--json").stdout, parse_constant=refuse)


def test_values():
    """What is long is cut, and says how long it is; what is no text or no number, too."""
    assert describe(np.arange(12, dtype=np.int16)) == "int16 (12,) [ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]"
    assert describe(np.array([np.nan, *range(15)])) == "float64 (16,), mean 7, 0 to 14, 1 not finite"
    assert describe(np.full(20, np.inf)) == "float64 (20,), no finite value"
    assert describe(b"\xff" * 20).startswith("20 bytes, beginning ff ff")
    assert describe("x" * 300).endswith("... (300 characters)")
    assert describe(None) == "no value"
    assert describe([b"a", b"b", b"c", b"d"]) == "4 items: 'a', 'b', 'c', ..."
    assert describe(np.int64(-1), ["cat"]) == "-1"


def test_no_such_split(version):
    """The error names the splits there are, as an option."""
    assert "its splits are 'train': give --split one of them" in str(run(version, "--split", "test").exception)


def test_the_first_split(tmp_path):
    """Without `--split`, that is train, or else the first one there is."""
    for splits, expected in ((("test", "train"), "train"), (("only", "other"), "only")):
        loaders = {split: DataLoader(list(range(4)), 2) for split in splits}
        result = exporters.export(loaders, tmp_path, name=f"ds_{expected}", progress=False, on_hazard="ignore")
        assert f"  {expected}: 4 examples" in run(result.path).stdout
