"""What lies where an export writes and was written by nobody's export: links, files of others, litter; and stages that were
copied, damaged or left by another release. Nothing of it is destroyed, and every refusal says a line that works."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap

import pytest
from producer_kit import ROWS, Images, run, stop

import exporters
import tfds_builder
from exporters import DataDirError
from exporters.staging import contents, publishing
from exporters.staging import stage as staging
from exporters.staging.notes import Notes

pytestmark = pytest.mark.once

"""Of what is finished three batches are asked for once more, and compared."""


def names(directory):
    """Everything below a directory, no link followed."""
    return sorted(os.path.join(root, name) for root, *kinds in os.walk(directory) for kind in kinds for name in kind)


@pytest.fixture
def whole(tmp_path_factory, tree):
    """The files of an export that nothing happened to."""
    return tree(pathlib.Path(run(tmp_path_factory.mktemp("whole")).path))


# --- links -----------------------------------------------------------------------------------------


PLACES = {
    "stage": "ds/1.0.0.incomplete",
    "notes": "ds/1.0.0.resume",
    "version": "ds/1.0.0",
    "aside": "ds/1.0.0.replaced",
    "module": "ds/ds_dataset_builder.py",
    "dataset": "ds",
    "config": "ds/large",
    "version of a config": "ds/large/1.0.0",
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("dangling", [False, True])
@pytest.mark.parametrize("what", PLACES)
def test_a_link_in_the_way(what, dangling, overwrite, tmp_path):
    """A link where anything of a version should be is refused by its name, before an example is asked for; what it points
    at is as it was, however often one tries; without the link the export goes through."""
    home, link = tmp_path / "home", tmp_path / "data" / PLACES[what]
    (home / "1.0.0").mkdir(parents=True)
    (home / "1.0.0" / "thesis.tex").write_text("mine")
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "nowhere" if dangling else home)
    before, dataset = names(tmp_path), Images()
    options = {"overwrite": overwrite, "config": "large" if "ds/large" in PLACES[what] else None}
    for _ in range(2):
        with pytest.raises(DataDirError, match=re.escape(f"{link} is a symbolic link")) as caught:
            run(tmp_path / "data", dataset, **options)
    assert (names(tmp_path), dataset.asked) == (before, 0)
    assert (home / "1.0.0" / "thesis.tex").read_text() == "mine"
    subprocess.run(re.search(r"\((rm [^)]*)\)$", str(caught.value).split(", or")[0])[1], shell=True, check=True)
    assert tfds_builder.verify(run(tmp_path / "data", **options).path).problems == []


@pytest.mark.parametrize("name", ["train-00000.data", "train-00009.data", "plan.json", "stage", "holder", "manifest.json"])
def test_a_link_within(name, tmp_path, tree):
    """A link within a stage or its notes that has the name of something of ours is refused by name and not followed."""
    directory = stop(tmp_path / "data")
    mine = tmp_path / "mine"
    mine.write_text("mine")
    link = next(directory.glob("1.0.0.[ir]*" if name.endswith(("data", "manifest.json")) else "1.0.0.resume")) / name
    link.unlink(missing_ok=True)
    link.symlink_to(mine)
    before = tree(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(DataDirError, match=re.escape(f"{link} is a symbolic link")):
            run(tmp_path / "data", overwrite=overwrite)
    assert tree(tmp_path) == before


def test_another_name_of_somebodys_file(tmp_path, tree, whole):
    """A file of a stage that has another name elsewhere, as in a backup made of hard links, is not written into."""
    directory = stop(tmp_path / "data")
    shutil.copytree(directory, tmp_path / "backup", copy_function=os.link)
    before = tree(tmp_path / "backup")
    assert tree(run(tmp_path / "data").path) == whole
    assert tree(tmp_path / "backup") == before


def test_a_linked_data_dir(tmp_path, whole, tree):
    """A data_dir that is a link, or lies below one, is a data_dir as any other."""
    (tmp_path / "disk" / "data").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    assert tree(run(tmp_path / "link" / "data").path) == whole
    (tmp_path / "other").symlink_to(tmp_path / "disk" / "data")
    assert tree(run(tmp_path / "other", overwrite=True).path) == whole


def test_a_link_put_into_the_stages_place(tmp_path):
    """If a link, or another directory, takes the stage's place while an export runs, nothing is published from there."""
    (tmp_path / "theirs").mkdir()
    for replace in (lambda path: path.symlink_to(tmp_path / "theirs"), pathlib.Path.mkdir):
        with staging.Stage(tmp_path, "ds", "1.0.0", overwrite=True) as stage:
            stage.files.write("manifest.json", b"{}")
            stage.path.rename(stage.path.with_name("elsewhere"))
            replace(stage.path)
            (stage.path / "manifest.json").touch()
            with pytest.raises(OSError, match=r"1\.0\.0\.incomplete"):
                stage.publish()
        assert not (tmp_path / "ds" / "1.0.0").exists()
        shutil.rmtree(tmp_path / "ds")
        assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["manifest.json"]


# --- what no export wrote --------------------------------------------------------------------------


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["thesis.tex", "train.data", "folder/thesis.tex", "train-00000.data/x", ".hidden"])
@pytest.mark.parametrize("where", ["1.0.0.incomplete", "1.0.0.resume", "1.0.0"])
def test_what_no_export_wrote(where, name, overwrite, tmp_path, tree):
    """A file that no export wrote is never removed: it is named, nothing is touched, and once it is moved away as the
    message says, the export goes through."""
    if where == "1.0.0":
        directory, overwrite = pathlib.Path(run(tmp_path / "data").path).parent, True
    else:
        directory = stop(tmp_path / "data")
    if name == "train-00000.data/x":
        (directory / where / "train-00000.data").unlink(missing_ok=True)
    mine = directory / where / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    before = tree(tmp_path)
    first = directory / where / pathlib.Path(name).parts[0]
    with pytest.raises(DataDirError, match=re.escape(f"{first} was written by no export")) as caught:
        run(tmp_path / "data", overwrite=overwrite)
    assert tree(tmp_path) == before
    command = re.search(r"\((mv [^)]*)\)", str(caught.value))[1]
    subprocess.run(command, shell=True, check=True)
    run(tmp_path / "data", overwrite=overwrite or first.name == "train-00000.data")
    assert "mine" in [path.read_text() for path in directory.rglob("*") if path.name in ("x", mine.name)]


LITTER = (
    "@eaDir/x@SynoEAStream",
    ".DS_Store",
    "._train-00000.data",
    ".nfs0000001200000001",
    "lost+found/",
    "Thumbs.db",
    "empty/",
)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("where", ["1.0.0.incomplete", "1.0.0.resume"])
def test_litter_of_the_disk(where, overwrite, tmp_path, tree, whole):
    """What file servers and desktops put into every directory is in nobody's way: a stopped export goes on over it."""
    directory = stop(tmp_path / "data")
    for name in LITTER:
        (directory / where / name).parent.mkdir(exist_ok=True)
        (directory / where / name).mkdir() if name.endswith("/") else (directory / where / name).touch()
    dataset = Images()
    result = run(tmp_path / "data", dataset, overwrite=overwrite)
    assert tree(result.path) == whole
    assert dataset.asked >= ROWS if overwrite else dataset.asked < ROWS  # overwrite=True begins anew
    assert sorted(os.listdir(directory)) == ["1.0.0", "ds_dataset_builder.py"]


def test_litter_in_a_version(tmp_path, tree, whole):
    """Litter in a version does not keep it from being replaced."""
    directory = pathlib.Path(run(tmp_path / "data", Images(add=1)).path)
    (directory / "@eaDir").mkdir()
    (directory / "@eaDir" / "x").touch()
    assert tree(run(tmp_path / "data", overwrite=True).path) == whole
    assert sorted(os.listdir(directory.parent)) == ["1.0.0", "ds_dataset_builder.py"]


def test_names_are_told_apart(tmp_path):
    """Every name that an export writes is its own, and none that only looks like it."""
    assert all(map(contents.is_of_version("ds"), os.listdir(run(tmp_path / "a").path)))
    assert all(map(contents.is_of_version("ds"), os.listdir(run(tmp_path / "b", format="hdf5").path)))
    stop(tmp_path / "c")
    assert all(map(contents.is_note, os.listdir(tmp_path / "c" / "ds" / "1.0.0.resume")))
    assert not any(map(contents.is_of_version("ds"), ("dss-train.tfrecord-00000-of-00001", "train-0.data", "x.json", "a.data")))
    with pytest.raises(ValueError, match="not among the names"):
        Notes(tmp_path, tmp_path).write("thesis.tex", b"")


def test_a_module_written_by_hand(tmp_path):
    """A builder module that somebody wrote by hand stays; the dataset is published, and a warning says so."""
    module = tmp_path / "ds" / "ds_dataset_builder.py"
    module.parent.mkdir()
    module.write_text("mine")
    with pytest.warns(UserWarning, match="not its builder module.*was not generated"):
        result = run(tmp_path)
    assert (result.module, module.read_text()) == ("", "mine")
    assert tfds_builder.verify(result.path).problems == []


# --- stages that were copied, or damaged -----------------------------------------------------------


# --- swaps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["before the swap", "after the first rename", "after the second", "after the swap"])
def test_an_overwrite_cut_off_and_copied(moment, tmp_path, tree, whole):
    """Cut off anywhere around the swap, with or without the kernel's help, and copied elsewhere after it: the version is the
    old or the new one, and the same export again ends with the new one and nothing else."""
    old = tree(run(tmp_path / "data", Images(add=1)).path)

    class Cut(BaseException):
        pass

    def cut(first, second, aside):
        steps = {"before the swap": 0, "after the first rename": 1, "after the second": 2, "after the swap": 3}[moment]
        for source, target in [(second, aside), (first, second), (aside, first)][:steps]:
            os.rename(source, target)
        raise Cut

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "exchange", cut)
        with pytest.raises(Cut):
            run(tmp_path / "data", overwrite=True)
    shutil.copytree(tmp_path / "data", tmp_path / "copy")
    for data_dir in (tmp_path / "data", tmp_path / "copy"):
        version = data_dir / "ds" / "1.0.0"
        assert not version.exists() or tree(version) in (old, whole)
        with pytest.raises(exporters.AlreadyPublishedError):
            run(data_dir)
        assert tree(version) in (old, whole)
        if tree(version) == whole:  # what was left of the old one is gone
            assert sorted(os.listdir(data_dir / "ds")) == ["1.0.0", "ds_dataset_builder.py"]
        dataset = Images()
        assert tree(run(data_dir, dataset, overwrite=True).path) == whole
        assert sorted(os.listdir(data_dir / "ds")) == ["1.0.0", "ds_dataset_builder.py"]
        assert dataset.asked == ROWS


UNPRIVILEGED = """
    import os, pathlib, sys, torch, exporters
    from torch.utils.data import DataLoader
    import tensorflow_datasets
    data_dir, case = pathlib.Path("data"), sys.argv[1]
    def run(add, version="1.0.0", **options):
        data = [torch.full((3, 5, 6), i + add, dtype=torch.uint8) for i in range(8)]
        return exporters.export(DataLoader(data, batch_size=4), data_dir, name="ds", version=version,
                                progress=False, on_hazard="ignore", **options)
    run(0)
    dataset = data_dir / "ds"
    os.chmod(dataset, {"sticky": 0o1777}.get(case, 0o777))
    os.chmod(dataset / "ds_dataset_builder.py", 0o666)
    if case == "stage":
        os.mkdir(dataset / "2.0.0.incomplete", 0o755)
    os.seteuid(65534)
    for _ in range(2):
        try:
            run(1, overwrite=True, version="2.0.0" if case == "stage" else "1.0.0")
        except exporters.DataDirError as error:
            print(error)
    print(sorted(os.listdir(dataset)))
"""


def run_as_nobody(script, *arguments):
    """Runs a script in a directory that everybody may enter (those of pytest are for their owner only)."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o777)
        command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
        return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=200)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("case", ["sticky", "closed", "stage"])
def test_what_belongs_to_somebody_else(case):
    """A version that one may not replace, or a stage of somebody else, is refused before the first byte, its owner named;
    nothing is left behind that would be in anybody's way."""
    done = run_as_nobody(UNPRIVILEGED, case)
    *refusals, left = done.stdout.splitlines()
    assert len(refusals) == 2, done.stderr
    for refusal in refusals:
        assert "is root's, drwx" in refusal
        assert "you are nobody" in refusal
        assert "pass another version=" in refusal
    assert left == str(["1.0.0", *(["2.0.0.incomplete"] if case == "stage" else []), "ds_dataset_builder.py"])


OVERLAY = """
    import os, pathlib, shutil, subprocess, sys, torch, exporters, tfds_builder
    from torch.utils.data import DataLoader
    def run(add, data_dir, **options):
        data = [torch.full((3, 5, 6), i + add, dtype=torch.uint8) for i in range(8)]
        return exporters.export(DataLoader(data, batch_size=4), data_dir, name="ds", progress=False, on_hazard="ignore",
                                shard_bytes=400, **options)
    os.makedirs("space")
    subprocess.run(["mount", "-t", "tmpfs", "none", "space"], check=True)
    os.chdir("space")
    run(0, "lower")
    for name in ("upper", "work", "merged"):
        os.mkdir(name)
    layers = "lowerdir=lower,upperdir=upper,workdir=work,userxattr"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, "merged"], check=True)
    try:
        run(1, "merged", overwrite=True)
    except exporters.DataDirError as error:
        print(error)
        command = str(error).split("(rm")[1].split(")")[0]
        subprocess.run("rm" + command, shell=True, check=True)
        run(1, "merged", overwrite=True)
    assert tfds_builder.verify("merged/ds/1.0.0").problems == []
    run(2, "merged", overwrite=True)  # now both lie in the upper layer
    print(sorted(os.listdir("merged/ds")))
"""


def test_a_version_in_a_lower_layer(tmp_path):
    """A version in a lower layer of an overlay, which the kernel moves nowhere, is an error that says so, and after the line
    it names the same export goes on."""
    (tmp_path / "script.py").write_text(textwrap.dedent(OVERLAY))
    overlay = "mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w,userxattr m"
    mounts = f"mount -t tmpfs none /mnt && cd /mnt && mkdir l u w m && {overlay}"
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "sh", "-c", mounts], capture_output=True).returncode:
        pytest.skip("overlays cannot be mounted here")
    command = ["unshare", "-rm", sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    refusal, left = done.stdout.splitlines()
    assert "lower layer of an overlay" in refusal
    assert left == "['1.0.0', 'ds_dataset_builder.py']"


def test_a_file_system_without_swaps(tmp_path, tree, whole, monkeypatch):
    """Where the kernel refuses to swap, the version is replaced by three renames."""

    class Refusing:
        @staticmethod
        def renameat2(*_):
            ctypes.set_errno(errno.EINVAL)  # as a file system without it answers (man 2 rename)
            return -1

    run(tmp_path, Images(add=1))
    monkeypatch.setattr("exporters.staging.disk._LIBC", Refusing())
    assert tree(run(tmp_path, overwrite=True).path) == whole
    assert json.loads((tmp_path / "ds" / "1.0.0" / "manifest.json").read_bytes())
    assert sorted(os.listdir(tmp_path / "ds")) == ["1.0.0", "ds_dataset_builder.py"]
