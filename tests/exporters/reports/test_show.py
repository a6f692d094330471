"""`exporters.reports.show`: what `torch2tfds list`, `info` and `verify` print of the golden datasets."""

import datetime
import json
import os
import pathlib
import shutil

import pytest

from exporters.reports import show
from tfds_builder.errors import MissingFileError, SearchPathError

GOLDEN = pathlib.Path(__file__).parents[2] / "golden"
NAMES = ("coded_hdf5", "pairs_tfrecord", "rows_hdf5", "variants_hdf5")


@pytest.fixture
def data_dir(tmp_path):
    """Some golden datasets, of which every manifest was written on one day."""
    for name in NAMES:
        shutil.copytree(GOLDEN / name, tmp_path / "data" / name, ignore=shutil.ignore_patterns("__pycache__"))
    day = datetime.datetime(2026, 5, 17, 12, tzinfo=datetime.UTC).timestamp()
    for path in tmp_path.rglob("manifest.json"):
        os.utime(path, (day, day))
    return tmp_path / "data"


def test_list(data_dir, capsys):
    """A line for each version with its date, and whether it is the newest; of the newest, what it and its config are."""
    show.list_datasets(data_dir, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "coded_hdf5:1.0.0", "pairs_tfrecord:1.0.0", "rows_hdf5:1.0.0", "variants_hdf5/large:1.1.0", "variants_hdf5/large:1.0.0",
        "variants_hdf5/small:1.0.0",
    ]  # fmt: skip
    assert '  train 53, test 12, few 1  2026-05-17  newest  A golden dataset: """' in lines[1]
    assert lines[3].endswith('  2026-05-17  newest  The large one: """ $name Größe')
    assert lines[4].endswith("  2026-05-17")


def test_list_as_json(data_dir, capsys):
    """As JSON, the same: descriptions whole, the date with its time, `newest` of every config."""
    show.list_datasets(data_dir, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["newest"] for row in rows] == [True, True, True, True, False, True]
    assert {row["published"] for row in rows} == {"2026-05-17T12:00:00+00:00"}
    assert [bool(row["config_description"]) for row in rows] == [False, False, False, True, True, False]


def test_list_of_the_search_path(data_dir, capsys, monkeypatch, tmp_path):
    """Without a DATA_DIR, every directory of the search path by the names that `tfds.load` takes."""
    file = tmp_path / "torch2tfds" / "catalogs.toml"
    file.parent.mkdir()
    file.write_text(f'[[catalog]]\ndata_dir = "{data_dir}"\nnamespace = "team"\n')
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH2TFDS_PATH", str(tmp_path / "nowhere"))
    show.list_datasets(None, as_json=False)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == f"{data_dir} as team: ({file})"
    assert [line.split("  ")[1] for line in lines[1:3]] == ["team:coded_hdf5:1.0.0", "team:pairs_tfrecord:1.0.0"]
    assert "nowhere (TORCH2TFDS_PATH) cannot be listed: " in printed.err
    show.list_datasets(None, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert {(row["namespace"], row["path"].startswith(str(data_dir))) for row in rows} == {("team", True)}
    assert len(rows) == 6


def test_list_of_nothing():
    """Without a DATA_DIR and without a search path, the error names both."""
    with pytest.raises(SearchPathError, match=r"say which DATA_DIR .* in TORCH2TFDS_PATH or in .*catalogs\.toml"):
        show.list_datasets(None, as_json=False)


@pytest.mark.parametrize(("text", "state"), [("{", "damaged"), ('{"format_version": 99}', "not supported")])
def test_list_of_what_cannot_be_read(text, state, data_dir, capsys):
    """What is damaged, and what is of a newer format version, is called that, and hides nothing else."""
    (data_dir / "pairs_tfrecord" / "1.0.0" / "manifest.json").write_text(text)
    show.list_datasets(data_dir, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("pairs"))
    assert line.startswith(f"pairs_tfrecord:1.0.0  {state}: ")
    assert len(lines) == 6


def test_list_of_a_data_dir_in_a_data_dir(data_dir, capsys):
    """Of datasets and a data_dir beside them, the datasets are listed and the data_dir is named on stderr."""
    shutil.copytree(data_dir, data_dir / "more")
    show.list_datasets(data_dir, as_json=False)
    printed = capsys.readouterr()
    assert not any(line.startswith("more") for line in printed.out.splitlines())
    assert f"pass {data_dir / 'more'} (it has coded_hdf5, pairs_tfrecord, rows_hdf5 and 1 more)" in printed.err
    with pytest.raises(MissingFileError, match="lies above the data_dir"):
        show.list_datasets(data_dir.parent, as_json=False)


def info(path, capsys):
    show.info(path, as_json=False)
    return capsys.readouterr().out.splitlines()


def test_info_shows_what_is_loaded(data_dir, capsys):
    """Features are shown as they are loaded, whatever they are stored as; class names are, the first of them."""
    coded = info(data_dir / "coded_hdf5" / "1.0.0", capsys)
    assert "  png: (3, 2, 3) uint8, Image, stored as PNG" in coded
    assert "  zipped: (4,) float64, stored compressed (zlib)" in coded
    label = '  label: () int64, ClassLabel of 5 classes: cat, dog house, Größe, \'; import os, """'
    assert label in info(data_dir / "pairs_tfrecord" / "1.0.0", capsys)
    assert "  boxes: (None, 4) float32" in info(data_dir / "rows_hdf5" / "1.0.0", capsys)


def test_many_class_names():
    """Of many class names the first are shown, and how many more there are."""
    from tfds_builder.catalog.describe import Loaded

    line = show._feature_line(Loaded("label", (), "int64", "ClassLabel of 9 classes"), [f"c{i}" for i in range(9)])
    assert line == "label: () int64, ClassLabel of 9 classes: c0, c1, c2, c3, c4, ... (4 more)"


@pytest.mark.parametrize(("text", "code"), [(None, 0), ("{", 1), ('{"format_version": 99}', 2)])
def test_exit_code_of_verify(text, code, data_dir, capsys):
    """0 for whole, 1 for damaged, 2 for what cannot be checked: a newer format version, which is called not supported."""
    path = data_dir / "pairs_tfrecord" / "1.0.0"
    if text is not None:
        (path / "manifest.json").write_text(text)
    assert show.verify(path, False, False, progress=False) == code
    out = capsys.readouterr().out
    assert ("not supported" in out) == (code == 2)
    assert ("whole" in out) == (code == 0)
