"""`torch2tfds stats`: what it prints, as text and as JSON, and that a number of a sample is never shown as exact."""

import json
import pathlib
import re

import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader
from typer.testing import CliRunner

from exporters.cli import app
from tfds_builder.pages.statistics import SAMPLE, Statistics


@pytest.fixture(scope="module")
def version(publish):
    """More rows than a sample has, of images, labels, texts, and floats with a NaN."""
    rows = [
        {"image": torch.full((1, 9, 9), i % 200, dtype=torch.uint8), "label": i % 3 or -1, "text": f"t{i % 4}", "x": float(i)}
        for i in range(SAMPLE + 100)
    ]
    rows[5]["x"] = float("nan")
    names = {"label": tfds.features.ClassLabel(names=["zero", "one", "two"])}
    options = {"layouts": {"image": "NCHW"}, "features": names, "on_hazard": {"not_finite": "ignore"}}
    return pathlib.Path(publish(DataLoader(rows, 100), **options).path)


def run(*arguments, exit_code=0):
    done = CliRunner().invoke(app, ["stats", *map(str, arguments), "--quiet"])
    assert done.exit_code == exit_code, done.output
    return done.stdout


def test_a_sample_is_marked(version):
    """Numbers of a sample have a ~ each, those of all rows have none, and the last line says what it means."""
    lines = run(version).splitlines()
    number = r"~[\d.]+"
    assert any(re.fullmatch(rf" +{number} to {number}, mean {number}, std {number}  ~\S+", line) for line in lines)
    assert any(re.fullmatch(r" +0 to 1099, mean [\d.]+, std [\d.]+  [^~]+", line) for line in lines)
    assert "    1 NaN, 0 infinite" in lines
    assert any("367 without a label (-1)" in line and "1 never occurs" in line for line in lines)
    assert any(re.fullmatch(r" +one +█+\S* 367", line) for line in lines)
    assert "      275 times 't0'" in lines
    assert lines[-1].startswith(f"~ is an estimate from {SAMPLE:,} examples")


def test_exact(version):
    """`--exact` leaves no ~; a sample asked for later is served by it."""
    assert "~" not in run(version, "--exact")
    assert "~" not in run(version)


def test_json(version):
    """The JSON is the statistics, whole."""
    found = Statistics.from_json(json.loads(run(version, "--json")))
    assert found.splits["train"].features["label"].classes.unlabelled == 367


def test_what_is_no_version(version):
    """A folder that is no version is one error, which says which one is."""
    done = CliRunner().invoke(app, ["stats", str(version.parent)])
    assert "pass " in str(done.exception)
    assert str(version) in str(done.exception)
