"""What `gc` and `rm` take away is what an export wrote, and nobody holds; all else stays, byte for byte."""

import os
import pathlib
import subprocess
import sys
import textwrap
import weakref

import pytest
from torch.utils.data import DataLoader

from exporters.errors import DataDirError, ExportError
from exporters.removal import find_left, remove_left, remove_version
from exporters.staging.stage import Stage
from tfds_builder.builder import builder_from_directory
from tfds_builder.catalog.read import read_manifest
from tfds_builder.contract import holds
from tfds_builder.errors import DatasetError
from tfds_builder.pages.statistics import statistics_of


def tree(directory):
    """Every path under a directory, with its content."""
    return {path.relative_to(directory): path.read_bytes() if path.is_file() else None for path in sorted(directory.rglob("*"))}


class Stops(list):
    """Rows of which the last cannot be read."""

    def __getitem__(self, row):
        if row == len(self) - 1:
            raise RuntimeError("stopped")
        return super().__getitem__(row)


@pytest.fixture
def data_dir(publish, tmp_path):
    """Two versions of a dataset, and one that was stopped after some shards, with a config."""
    rows = [float(i) for i in range(12)]
    for version in ("1.0.0", "1.1.0"):
        publish(DataLoader(rows, 3), data_dir=tmp_path, version=version)
    with pytest.raises(RuntimeError, match="stopped"):
        publish(DataLoader(Stops(rows), 3), data_dir=tmp_path, config="small", shard_bytes=1)
    return tmp_path


def test_what_is_left(data_dir):
    """A stage that was stopped is found, with its finished shards, size and age; removed, everything else is as it was."""
    (left,) = find_left(data_dir)
    assert (left.name, left.config, left.version, left.is_held, left.problem) == ("ds", "small", "1.0.0", False, "")
    assert left.finished_shards > 0
    assert left.bytes > 0
    assert left.modified > pathlib.Path(data_dir / "ds" / "1.0.0").stat().st_mtime - 1
    before = {path: content for path, content in tree(data_dir).items() if "small" not in path.parts}
    remove_left(data_dir, left)
    after = tree(data_dir)
    assert {path: content for path, content in after.items() if "small" not in path.parts} == before
    assert not any(path.suffix in (".incomplete", ".resume") for path in after)
    assert find_left(data_dir) == []


def test_a_held_stage_stays(data_dir):
    """What a process holds is told, and not removed."""
    (path,) = data_dir.rglob("*.incomplete")
    with Stage(data_dir, "ds", "2.0.0", overwrite=False):
        held = next(left for left in find_left(data_dir) if left.version == "2.0.0")
        assert held.is_held
        with pytest.raises(DataDirError, match="is writing"):
            remove_left(data_dir, held)
    assert path.is_dir()


def test_what_no_export_wrote_stays(data_dir):
    """A file of somebody's in a stage is named, and nothing is touched; so it is in a version."""
    (left,) = find_left(data_dir)
    for directory in (pathlib.Path(left.paths[0]), data_dir / "ds" / "1.0.0"):
        (directory / "thesis.tex").write_text("mine")
    before = tree(data_dir)
    with pytest.raises(DataDirError, match=r"thesis\.tex was written by no export"):
        remove_left(data_dir, left)
    with pytest.raises(DataDirError, match=r"thesis\.tex was written by no export"):
        remove_version(data_dir / "ds" / "1.0.0")
    assert tree(data_dir) == before


def test_a_link_is_not_followed(data_dir, tmp_path_factory):
    """A link in the place of a stage is no stage, and leads to nothing that is removed."""
    other = tmp_path_factory.mktemp("other")
    (other / "train-00000.data").write_bytes(b"mine")
    (data_dir / "ds" / "3.0.0.incomplete").symlink_to(other)
    assert [left.version for left in find_left(data_dir)] == ["1.0.0"]
    link = data_dir / "ds" / "4.0.0"
    link.symlink_to(data_dir / "ds" / "1.0.0")
    with pytest.raises(DataDirError, match="symbolic link"):
        remove_version(link)
    assert (other / "train-00000.data").read_bytes() == b"mine"
    assert read_manifest(data_dir / "ds" / "1.0.0").version == "1.0.0"


def test_remove_a_version(data_dir):
    """The version goes, with what was kept of it; the builder module is that of what is left; other versions are as they were."""
    digest = statistics_of(data_dir / "ds" / "1.1.0").digest
    assert (data_dir / ".catalog" / f"{digest}.json").is_file()
    others = tree(data_dir / "ds" / "1.0.0")
    remove_version(data_dir / "ds" / "1.1.0")
    assert not (data_dir / "ds" / "1.1.0").exists()
    assert not (data_dir / ".catalog" / f"{digest}.json").exists()
    assert tree(data_dir / "ds" / "1.0.0") == others
    assert "1.0.0" in (data_dir / "ds" / "ds_dataset_builder.py").read_text()
    assert [left.config for left in find_left(data_dir)] == ["small"]
    remove_left(data_dir, find_left(data_dir)[0])
    remove_version(data_dir / "ds" / "1.0.0")
    assert not (data_dir / "ds" / "ds_dataset_builder.py").exists()


def test_a_version_that_is_being_replaced_stays(data_dir):
    """While an export holds the stage of a version, or its lock, or has left shards of it, it is not removed."""
    version = data_dir / "ds" / "1.0.0"
    before = tree(version)
    with Stage(data_dir, "ds", "1.0.0", overwrite=True):
        with pytest.raises(DataDirError, match="is writing"):
            remove_version(version)
    descriptor = os.open(version, os.O_RDONLY)
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(DataDirError, match="is writing"):
            remove_version(version)
    finally:
        os.close(descriptor)
    assert tree(version) == before
    assert not (data_dir / "ds" / "1.0.0.incomplete").exists()


READS = """
    import sys, tfds_builder
    source = {reader}
    source[0]
    print("reads", flush=True)
    sys.stdin.readline()
    print(len(source), source[len(source) - 1])
"""


@pytest.mark.parametrize("reader", [
    "tfds_builder.builder_from_directory(sys.argv[1]).as_data_source(split='train')", "tfds_builder.as_torch(sys.argv[1])",
])  # fmt: skip
def test_a_version_that_is_read_stays(reader, data_dir):
    """While another process reads a version, or a child that it forked, it is not removed; when it has ended, it is."""
    version = data_dir / "ds" / "1.0.0"
    before = tree(version)
    code = textwrap.dedent(READS.format(reader=reader))
    run = subprocess.Popen([sys.executable, "-c", code, version], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "reads\n"
    with pytest.raises(DataDirError, match=r"1\.0\.0 is being read by a process that has loaded it; .*manifest.json names it"):
        remove_version(version)
    assert tree(version) == before
    assert not (data_dir / "ds" / "1.0.0.incomplete").exists()
    out, _ = run.communicate("go on\n", timeout=60)
    assert out.startswith("12 ")
    remove_version(version)
    assert not version.exists()


def test_a_version_that_this_process_has_read(data_dir, monkeypatch):
    """A dataset of this process holds its version as long as somebody has it, and not longer; a child holds it on."""
    monkeypatch.setattr(holds, "_held", weakref.WeakValueDictionary())  # however many other tests have left open
    version = data_dir / "ds" / "1.0.0"
    source = builder_from_directory(version).as_data_source(split="train")
    assert source[0]
    with pytest.raises(DataDirError, match="is being read"):
        remove_version(version)
    ends, tells = os.pipe()
    child = os.fork()
    if not child:
        os.close(tells)
        os.read(ends, 1)  # until the other end is closed
        os._exit(0)
    os.close(ends)
    del source
    with pytest.raises(DataDirError, match="is being read"):
        remove_version(version)
    os.close(tells)
    os.waitpid(child, 0)
    remove_version(version)
    assert not version.exists()


def test_cut_off(data_dir, monkeypatch):
    """A removal that is cut off after its first step has made the version invisible, and gc finds the rest of it."""
    from exporters.staging.place import Place

    version = data_dir / "ds" / "1.0.0"
    with monkeypatch.context() as patch:
        patch.setattr(Place, "remove_directory", lambda self, path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            remove_version(version)
    assert not version.exists()
    left = next(left for left in find_left(data_dir) if left.config == "")
    remove_left(data_dir, left)
    assert not any(path.name.startswith("1.0.0") for path in (data_dir / "ds").iterdir())


def test_what_is_no_version(data_dir):
    """The folder of a dataset is not removed by mistake."""
    with pytest.raises((ExportError, DatasetError), match="pass"):
        remove_version(data_dir / "ds")
