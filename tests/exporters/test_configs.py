"""Several configs of one dataset, several versions of each: written side by side, none disturbing another."""

from __future__ import annotations

import json
import os
import pathlib
import re
import threading

import h5py
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader, Dataset

import exporters
import tfds_builder
from exporters import AlreadyPublishedError, DataDirError, ResumeError
from exporters.staging import disk
from tfds_builder.catalog import read as read_lib
from tfds_builder.table.table import Table

LARGE = exporters.Config("large", 'Ten rows: """ \\ ${x}\nand "more", Größe')
NOTES = {"1.1.0": "Cleaner: a=b\n\t'quoted'", "1.0.0": "First. Größe"}


class Stop(Exception):
    """What stops an export in these tests."""


class Rows(Dataset):
    """Rows that count from a number; `action` happens before row 10 is given."""

    def __init__(self, start=0, action=None):
        self.start, self.action, self.asked = start, action, 0

    def __len__(self):
        return 16

    def __getitem__(self, index):
        self.asked += 1
        if index == 10 and self.action is not None:
            self.action()
        return {"row": self.start + index}


def stop():
    raise Stop


@pytest.fixture
def run(tmp_path, publish):
    """`run(start, format, **options)`: publishes rows that count from `start`, in shards of four, in one data_dir."""

    def export(start, format="tfrecord", action=None, **options):
        dataset = Rows(start, action)
        options = {"data_dir": tmp_path / "data", "shard_bytes": 40, "on_hazard": "ignore", **options}
        result = publish(DataLoader(dataset, batch_size=2), format, **options)
        return result, dataset

    return export


def first_row(result):
    return int(Table.of_split(result.path, "train").read(slice(0, 1))["row"][0])


def test_where_it_is_and_what_it_says(format, run, tmp_path):
    """A config's version lies in `<name>/<config>/<version>`; manifest, TFDS metadata and the result have its name and notes."""
    result, _ = run(0, format, config=LARGE, version="1.1.0", release_notes=NOTES)
    assert result.path == str(tmp_path / "data" / "ds" / "large" / "1.1.0")
    assert result.module == str(tmp_path / "data" / "ds" / "ds_dataset_builder.py")
    assert (result.name, result.config, result.version) == ("ds", "large", "1.1.0")
    manifest = read_lib.read_manifest(result.path)
    assert (manifest.config_name, manifest.config_description) == (LARGE.name, LARGE.description)
    assert manifest.release_notes == NOTES
    info = json.loads((pathlib.Path(result.path) / "dataset_info.json").read_bytes())
    assert (info["configName"], info["configDescription"], info["releaseNotes"]) == (LARGE.name, LARGE.description, NOTES)
    assert tfds_builder.verify(result.path, deep=True).problems == []
    assert sorted(os.listdir(tmp_path / "data" / "ds")) == [".config", "ds_dataset_builder.py", "large"]
    assert os.listdir(tmp_path / "data" / "ds" / "large") == ["1.1.0"]
    if format == "hdf5":
        with h5py.File(next(pathlib.Path(result.path).glob("*.h5"))) as file:
            assert file.attrs["config"] == "large"


def test_without_a_config_nothing_is_said_of_one(format, run):
    """A dataset without a config, without notes or with empty ones, has the bytes it had before there were configs."""
    result, _ = run(0, format)
    again, _ = run(0, format, config=None, release_notes={}, overwrite=True)
    assert result.config == ""
    directory = pathlib.Path(again.path)
    for name in ("manifest.json", "dataset_info.json"):
        content = json.loads((directory / name).read_bytes())
        assert not [key for key in content if "config" in key.lower() or "notes" in key.lower()]
    if format == "hdf5":
        with h5py.File(next(directory.glob("*.h5"))) as file:
            assert "config" not in file.attrs


def test_a_name_is_a_config(run, tree):
    """`config="large"` and `config=exporters.Config("large")` are one export, byte for byte, whatever the order of the notes."""
    one, _ = run(0, config="large", release_notes=NOTES)
    before = tree(one.path)
    two, _ = run(0, config=exporters.Config("large"), release_notes=dict(reversed(NOTES.items())), overwrite=True)
    assert (one.path, before) == (two.path, tree(two.path))


def test_stopped_while_another_is_published(format, run, tmp_path, tree):
    """An export of one config that was stopped goes on after its shards, though another config was published meanwhile, of the
    same version and with nothing of it taken up."""
    whole, _ = run(0, format, config="a", data_dir=tmp_path / "whole")
    with pytest.raises(Stop):
        run(0, format, action=stop, config="a")
    notes = list((tmp_path / "data" / "ds" / "a" / "1.0.0.resume").glob("*.shard.json"))
    done = sum(json.loads(note.read_bytes())["rows"] for note in notes)
    assert done
    other, dataset = run(100, format, config="b")
    assert (first_row(other), dataset.asked) == (100, 16)
    plain, _ = run(200, format)
    assert first_row(plain) == 200
    result, dataset = run(0, format, config="a")
    assert dataset.asked == 16 - done + 6  # three batches of what is finished are compared
    assert tree(result.path) == tree(whole.path)
    assert (first_row(other), first_row(plain)) == (100, 200)
    assert sorted(os.listdir(tmp_path / "data" / "ds")) == ["1.0.0", "a", "b", "ds_dataset_builder.py"]


def test_two_under_way_at_once(format, run, tmp_path):
    """Two configs, and the dataset without one, are exported at the same time; the same config twice is refused."""
    results, errors = {}, []

    def another():
        for config, start in (("b", 100), (None, 200), ("a", 300)):
            try:
                results[config] = run(start, format, config=config)[0]
            except DataDirError as error:
                errors.append(str(error))

    result, _ = run(0, format, action=another, config="a")
    assert (first_row(result), first_row(results["b"]), first_row(results[None])) == (0, 100, 200)
    assert len(errors) == 1
    assert re.search(r"another export \(process \d+ .*\) is writing", errors[0])
    assert os.path.join("ds", "a", "1.0.0") in errors[0]


def test_overwrite_leaves_the_others(format, run, tmp_path, tree):
    """`overwrite=True` replaces one version of one config; without it that version is refused, and the others never change."""
    for number, config in enumerate(("a", "b", None)):
        for version in ("1.0.0", "1.2.0"):
            run(100 * number, format, config=config, version=version)
    before = tree(tmp_path / "data")
    with pytest.raises(AlreadyPublishedError, match=r"ds/a/1\.2\.0"):
        run(7, format, config="a", version="1.2.0")
    assert tree(tmp_path / "data") == before
    result, _ = run(7, format, config="a", version="1.2.0", overwrite=True)
    assert first_row(result) == 7
    after = tree(tmp_path / "data")
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert {name for name in changed if not name.endswith(".py")} <= {name for name in after if name.startswith("ds/a/1.2.0/")}
    assert "ds/a/1.2.0/manifest.json" in changed


@pytest.mark.parametrize("change", [
    {"config": exporters.Config("a", "else")}, {"release_notes": {"1.0.0": "else"}}, {"config": "a"},
])  # fmt: skip
def test_another_description_is_another_plan(change, run):
    """What was stopped goes on only with the same description and release notes: they are part of what is published."""
    options = {"config": exporters.Config("a", "some"), "release_notes": {"1.0.0": "first"}}
    with pytest.raises(Stop):
        run(0, action=stop, **options)
    with pytest.raises(ResumeError, match=r"config_description|release_notes"):
        run(0, **{**options, **change})
    assert first_row(run(0, **options)[0]) == 0


def test_nothing_is_left_of_a_failed_config(run, tmp_path):
    """A config whose export fails before its first shard leaves no directory, neither its own nor the dataset's."""
    with pytest.raises(Stop):
        run(0, action=stop, config="a", shard_bytes=10**6)
    assert not (tmp_path / "data").exists()
    run(0, config="b")
    with pytest.raises(Stop):
        run(0, action=stop, config="a", shard_bytes=10**6)
    assert sorted(os.listdir(tmp_path / "data" / "ds")) == [".config", "b", "ds_dataset_builder.py"]


def test_a_parent_removed_meanwhile(run, tmp_path, monkeypatch):
    """An export is not disturbed by another one that failed and removes the directories they both made."""
    real, asked = os.mkdir, []

    def mkdir(path, *mode):
        asked.append(os.fspath(path))
        if asked.count(os.fspath(path)) == 2 and asked[-1].endswith("1.0.0.incomplete"):  # its parents have just been made
            os.rmdir(os.path.dirname(path))
        return real(path, *mode)

    monkeypatch.setattr(os, "mkdir", mkdir)
    assert first_row(run(5, config="a")[0]) == 5
    assert asked.count(str(tmp_path / "data" / "ds" / "a" / "1.0.0.incomplete")) > 2


def test_a_directory_that_cannot_be_made(tmp_path):
    """A directory that is never there to be made is an error in the end."""
    (tmp_path / "dangling").symlink_to(tmp_path / "absent" / "deeper")
    with pytest.raises(OSError):
        disk.make_directory(tmp_path / "dangling" / "ds")


@pytest.mark.needs_tensorflow
def test_configs_differ_in_everything(format, run, publish, loader_of, tmp_path):
    """Configs of one name may differ in format, features, class labels, splits and supervised keys."""
    run(0, format, config="rows")
    features = {"label": tfds.features.ClassLabel(names=["no", "yes"])}
    pair = (torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 1]))
    other = "hdf5" if format == "tfrecord" else "tfrecord"
    publish({"dev": loader_of(pair)}, other, data_dir=tmp_path / "data", config="pairs", features=features)
    tfds_builder.register(tmp_path / "data")
    rows, pairs = (tfds.builder(f"ds/{config}").info for config in ("rows", "pairs"))
    assert (rows.supervised_keys, pairs.supervised_keys) == (None, ("features", "label"))
    assert (list(rows.splits), list(pairs.splits)) == (["train"], ["dev"])
    assert pairs.features["label"].names == ["no", "yes"]
    examples = tfds.load("ds/pairs", split="dev", as_supervised=True).as_numpy_iterator()
    values = [int(label) for _, label in examples]
    assert values == [0, 1, 1]


def test_command_line(run, tmp_path, monkeypatch, capsys):
    """`export --config --release-notes`, `list`, `info`, `verify` and `generate` know configs, in words and in JSON."""
    from exporters import cli

    (tmp_path / "configs_mine.py").write_text(
        "import torch\nfrom torch.utils.data import DataLoader\ndef make(): return DataLoader(torch.arange(4))\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])

    def main(*arguments):
        monkeypatch.setattr("sys.argv", ["torch2tfds", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code, capsys.readouterr()

    notes = ("--release-notes", "1.0.0=First: a=b", "--release-notes", "1.1.0=More")
    export = ("export", "configs_mine:make", "data", "--name", "ds", "--json")
    code, printed = main(*export, "--config", "small", "--config-description", "Four\nrows", *notes)
    assert code == 0, printed.err
    published = json.loads(printed.out)
    assert (published["config"], published["path"]) == ("small", str(tmp_path / "data" / "ds" / "small" / "1.0.0"))
    assert main(*export)[0] == 0
    _, printed = main("list", "data")
    assert [line.split()[0] for line in printed.out.splitlines()] == ["ds:1.0.0", "ds/small:1.0.0"]
    _, printed = main("list", "data", "--json")
    assert [(row["name"], row["config"], row["version"]) for row in json.loads(printed.out)] == [
        ("ds", "", "1.0.0"), ("ds", "small", "1.0.0"),
    ]  # fmt: skip
    _, printed = main("info", published["path"])
    lines = [line.strip() for line in printed.out.splitlines()]
    assert lines[0].split()[0] == "ds/small:1.0.0"
    assert {"Four", "rows", "1.0.0: First: a=b", "1.1.0: More"} <= set(lines)
    _, printed = main("info", published["path"], "--json")
    content = json.loads(printed.out)
    assert (content["config"], content["config_description"]) == ("small", "Four\nrows")
    assert content["release_notes"] == {"1.0.0": "First: a=b", "1.1.0": "More"}
    assert main("verify", published["path"])[0] == 0
    os.unlink(published["module"])
    _, printed = main("generate", published["path"])
    assert printed.out.strip() == published["module"]
    assert 'tfds.load("ds/small"' in pathlib.Path(published["module"]).read_text()
    code, printed = main(*export, "--config-description", "of nothing")
    assert code == 2
    assert "--config" in printed.err
    (tmp_path / "data" / "ds" / "small" / "1.0.0" / "manifest.json").write_text("{")
    _, printed = main("list", "data")
    assert any(line.startswith("ds/small:1.0.0  damaged") for line in printed.out.splitlines())
    _, printed = main("list", "data", "--json")
    assert json.loads(printed.out)[1]["config"] == "small"


def test_exports_of_a_new_dataset_race(run, tmp_path):
    """Many configs of a dataset that is not there yet, some failing, are exported by threads at once: each good one is whole."""
    failures, results = [], {}

    def export(number):
        try:
            for attempt in range(4):
                bad = (number + attempt) % 2
                options = {"config": f"c{number}", "version": f"1.{attempt}.0", "shard_bytes": 10**6}
                try:
                    results[number, attempt] = run(100 * number + attempt, action=stop if bad else None, **options)[0]
                except Stop:
                    assert bad
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=export, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {key: first_row(result) for key, result in results.items()} == {
        (number, attempt): 100 * number + attempt for number in range(4) for attempt in range(4) if (number + attempt) % 2 == 0
    }
    assert sorted(os.listdir(tmp_path / "data" / "ds")) == [".config", "c0", "c1", "c2", "c3", "ds_dataset_builder.py"]
    noted = json.loads((tmp_path / "data" / "ds" / ".config" / "metadata.json").read_bytes())
    assert noted == {"default_config_name": "c0"}


@pytest.mark.parametrize("config", [
    "a", "A", "0", "2012", "en-US", "v1.0", "25m_ratings", "a.b-c_d", "1.0", "a" * 100, "import", "ds",
])  # fmt: skip
@pytest.mark.needs_tensorflow
def test_names_that_are_taken(config, run):
    """Every config name that is accepted is found again by TFDS's own syntax."""
    result, _ = run(3, config=config)
    tfds_builder.register(pathlib.Path(result.path).parents[2])
    assert tfds.builder(f"ds/{config}:1.0.0").info.full_name == f"ds/{config}/1.0.0"
