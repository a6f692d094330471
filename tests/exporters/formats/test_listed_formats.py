"""What it takes to add a format: a module on each side, and its name where formats are listed."""

import itertools
import pathlib
import sys
import types
import typing

import numpy as np
import pytest
import torch
import typer

import exporters
import exporters.formats
import tfds_builder
from exporters import cli, outcome
from tfds_builder import formats
from tfds_builder.contract.manifest import RAW, Geometry
from tfds_builder.errors import DamagedFileError
from tfds_builder.formats.base import StoredFormat, StoredRows
from tfds_builder.formats.extent import Extent, last_end


@pytest.mark.parametrize("name", formats.NAMES)
def test_a_format_is_one_object_on_each_side(name):
    """Both are found by the name that the manifest has, and the writer writes what the reader reads."""
    assert exporters.formats.find(name).stored is formats.find(name)
    assert formats.find(name).name == name


def test_formats_are_those_a_type_checker_lets_through():
    """`format=` is typed with the names of all formats, and the command line tells them."""
    assert typing.get_args(outcome.Format) == formats.NAMES
    told = typer.main.get_command(cli.app).commands["export"].params
    assert " or ".join(formats.NAMES) in next(option.help for option in told if option.name == "format")


class PlainStored(StoredFormat):
    """The columns of a shard one after the other, and nothing else."""

    name = "plain"
    template = "{DATASET}-{SPLIT}-{SHARD_X_OF_Y}.plain"

    def measure(self, columns, geometry, rows, where):
        extents = [
            Extent(offset, offset + rows * column.width, column.name)
            for column, offset in zip(columns, geometry.offsets, strict=True)
        ]
        return last_end(extents, where)

    def check_structure(self, open_file, columns, geometry, rows):
        with open_file() as stream:
            if len(stream.read()) != sum(column.width for column in columns) * rows:
                raise DamagedFileError("has bytes that are of no column")

    def rows(self, files, columns, geometries):
        return PlainRows(files, columns, geometries)


class PlainRows(StoredRows):
    """Rows at a stride; of nothing else are there any (`PlainWritten.columns`)."""

    item_runs = strings = string_lists = None


class PlainWritten:
    """How they are written."""

    stored = PlainStored()

    def columns(self, columns):
        assert all(column.encoding == RAW and not column.is_variable for column in columns)
        return tuple(columns)

    def open(self, data, index, context, hands):
        assert index is None
        return PlainWriter(data, context.columns)


class PlainWriter:
    """Gathers a shard in memory."""

    def __init__(self, data, columns):
        self.data, self.columns, self.parts = data, columns, {column.name: [] for column in columns}

    def append(self, columns):
        for name, parts in self.parts.items():
            parts.append(np.ascontiguousarray(columns[name]).tobytes())

    def finish(self):
        found = [b"".join(self.parts[column.name]) for column in self.columns]
        for column in found:
            self.data.write(np.frombuffer(column, np.uint8))
        offsets = tuple(itertools.accumulate(map(len, found[:-1]), initial=0))
        widths = tuple(column.width for column in self.columns)
        return Geometry(offsets=offsets, strides=widths, row_splits=(0,) * len(widths))


def test_a_third_format(tmp_path, monkeypatch):
    """A format is a module on each side and its name in one list: it is then exported, verified, read in order and at random,
    checked while it is read, and found damaged."""
    monkeypatch.setattr(formats, "NAMES", (*formats.NAMES, "plain"))
    for package, found in (("tfds_builder", PlainWritten.stored), ("exporters", PlainWritten())):
        module = types.ModuleType(f"{package}.formats.plain")
        module.FORMAT = found
        monkeypatch.setitem(sys.modules, module.__name__, module)
    images, scores = torch.arange(60, dtype=torch.uint8).reshape(20, 3), torch.arange(20) / 8
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, scores), batch_size=6)
    result = exporters.export(
        loader, tmp_path, name="threes", format="plain", names=["pixels", "score"], progress=False, on_hazard="ignore"
    )
    assert tfds_builder.verify(result.path, deep=True).problems == []
    builder = tfds_builder.builder_from_directory(result.path)
    assert "file_format=plain" in repr(builder.info)
    source = builder.as_data_source("train", verify=True)
    for row in (*range(20), 7, 0):
        assert source[row]["pixels"].tolist() == images[row].tolist()
        assert source[row]["score"] == scores[row]
    columns = tfds_builder.Table.of_split(result.path, "train").read(np.array([3, 19, 0]))
    assert columns["pixels"].tolist() == images[[3, 19, 0]].tolist()
    path = pathlib.Path(result.path) / "threes-train-00000-of-00001.plain"
    path.write_bytes(b"\xff" + path.read_bytes()[1:])
    assert [problem.file for problem in tfds_builder.verify(result.path).problems] == [path.name]
    with pytest.raises(DamagedFileError, match="SHA-256"):
        tfds_builder.builder_from_directory(result.path).as_data_source("train", verify=True)[5]
