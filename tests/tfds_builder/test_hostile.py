"""A dataset directory is untrusted: nothing in it is executed or unpickled, nothing outside it is read, every error is ours.

Manifests are sealed again after they are changed (`kit.edit_manifest`): whoever makes one can compute its checksum.
"""

import ast
import importlib.util
import json
import os
import pathlib
import shutil

import consumer_kit as kit
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder.catalog import read as read_lib
from tfds_builder.catalog.builder_module import render
from tfds_builder.catalog.survey import scan
from tfds_builder.contract.untrusted import printable
from tfds_builder.errors import DatasetError, ManifestError

pytestmark = pytest.mark.once

HOSTILE_TEXTS = [
    '"""', "'''", "\\", '\\"""\nimport os', "\n", "\r\n", '""" + __import__("os").system("x") + """', "${name}", "{DATASET}",
    "{0.__class__}", "%(x)s", "\0", "\u2028", "\x85", "\x1b[2J", "\N{RIGHT-TO-LEFT OVERRIDE}", "#", "'); x = ('", "../../x",
]  # fmt: skip


def everything(directory):
    """Does all that can be done with a version directory; DatasetErrors are counted, other exceptions pass through."""
    errors = []
    actions = (
        lambda: tfds_builder.verify(directory),
        lambda: tfds_builder.verify(directory, deep=True),
        lambda: list(scan(directory.parent.parent)),
        lambda: tfds_builder.register(directory.parent.parent),
        lambda: load_all(directory),
        lambda: read_at_random(directory),
        lambda: tfds_builder.generate(directory, directory.parent.parent / "generated.py"),
        lambda: tfds_builder.builder_from_directory(directory).info.as_json,
    )
    for action in actions:
        try:
            result = action()
        except DatasetError as error:
            errors.append(error)
        else:
            if isinstance(result, tfds_builder.Report) and result.problems:
                errors.append(result.problems)
    return errors


def load_all(directory):
    builder = tfds_builder.builder_from_directory(directory)
    for split in builder.info.splits:
        kit.outcome(builder.as_dataset(split=split))


def read_at_random(directory):
    """Every example of a version, one by one and together, as TFDS gives it and, where PyTorch is installed, as that does."""
    builder = tfds_builder.builder_from_directory(directory)
    has_torch = importlib.util.find_spec("torch") is not None
    for split, source in builder.as_data_source().items():
        for each in [source, tfds_builder.as_torch(directory, split)] if has_torch else [source]:
            assert len([each[row] for row in range(len(each))]) == len(each.__getitems__(range(len(each)))) == len(each)


# --- paths and links -------------------------------------------------------------------------------


def link_file(directory, outside, name):
    shutil.copy(directory / name, outside)
    (directory / name).unlink()
    (directory / name).symlink_to(outside)


@pytest.mark.parametrize("name", ["pairs_tfrecord", "pairs_hdf5", "text_tfrecord"])
def test_linked_file(name, tmp_path):
    """A link in the place of any file, even to the very bytes that were published, is named and not followed."""
    directory = kit.copy_golden(name, tmp_path)
    for path in sorted(directory.iterdir()):
        whole = path.read_bytes()
        link_file(directory, tmp_path / "outside", path.name)
        assert {problem.file for problem in tfds_builder.verify(directory).problems} == {path.name}
        with pytest.raises(DatasetError, match=r"link|regular file"):
            load_all(directory)
        path.unlink()
        path.write_bytes(whole)
    assert everything(directory) == []


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket", "null"])
@pytest.mark.parametrize("file", ["manifest.json", "dataset_info.json", "pairs_tfrecord-few.tfrecord-00000-of-00001"])
@pytest.mark.timeout(60)
def test_no_regular_file(kind, file, tmp_path):
    """A FIFO, a directory, a socket or a link to a device in a file's place is an error at once, not a wait for ever."""
    import socket

    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    path = directory / file
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "null":
        path.symlink_to("/dev/zero")
    else:
        here = pathlib.Path.cwd()
        os.chdir(directory)  # a socket's path has a limit
        try:
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(path.name)
        finally:
            os.chdir(here)
    assert file in {problem.file for problem in tfds_builder.verify(directory).problems}
    assert everything(directory)


@pytest.mark.parametrize("level", ["name", "version"])
def test_linked_directory(level, tmp_path):
    """A link in the place of a dataset's or a version's directory is passed over by register, list and load; a linked
    data_dir, which the caller chose, is followed."""
    outside = kit.copy_golden("pairs_tfrecord", tmp_path / "outside")
    data_dir = tmp_path / "data"
    if level == "name":
        data_dir.mkdir()
        (data_dir / "pairs_tfrecord").symlink_to(outside.parent)
    else:
        (data_dir / "pairs_tfrecord").mkdir(parents=True)
        (data_dir / "pairs_tfrecord" / "1.0.0").symlink_to(outside)
    assert tfds_builder.register(data_dir) == []
    assert list(scan(data_dir)) == []
    with pytest.raises(DatasetError, match="links are not followed"):
        type("B", (tfds_builder.ExportedBuilder,), {"name": "pairs_tfrecord"}, skip_registration=True)(data_dir=data_dir)
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    assert tfds_builder.register(tmp_path / "link") == ["pairs_tfrecord"]
    assert len(kit.outcome(tfds.load("pairs_tfrecord", split="train"))[2]) == 53


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "..", "a/b", "a b", "", "import", "a\nb", "a" * 300])
def test_generate_writes_nowhere_else(name, tmp_path):
    """A dataset name that leads elsewhere is a ManifestError; the generated module is not written, there or anywhere."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path / "a" / "b")
    kit.edit_manifest(directory, lambda content: content.update(name=name))
    before = sorted(tmp_path.rglob("*"))
    if name != "import":
        with pytest.raises(ManifestError, match="name"):
            tfds_builder.generate(directory)
        assert sorted(tmp_path.rglob("*")) == before
    assert everything(directory)


# --- what a manifest can say -----------------------------------------------------------------------


def test_manifest_of_a_gigabyte(tmp_path):
    """A manifest of 1 GB is refused by its size, before it is read, by everything."""
    directory = kit.copy_golden("pairs_tfrecord", tmp_path)
    os.truncate(directory / "manifest.json", 10**9)  # sparse
    errors = everything(directory)
    assert len(errors) == 6  # of verify twice, load, read at random, generate, builder: register and list look at names only
    assert [text for text in map(repr, errors) if "1000000000 bytes" not in text] == []


BOMBS = {
    "lists": b"[" + b"[]," * 20_000_000 + b"[]]",
    "objects": b"[" + b"{}," * 20_000_000 + b"{}]",
    "strings": b"[" + b'"ab",' * 12_000_000 + b'"ab"]',
    "wide text": b'{"a": "' + "\U0001f600".encode() + b"a" * 60_000_000 + b'"}',
    "deep": b"[" * 30_000_000,
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_memory_of_a_bomb(bomb, tmp_path, run_python):
    """JSON below the limit of size that would be large in memory is refused with less than 1 GB of it."""
    (tmp_path / "manifest.json").write_bytes(BOMBS[bomb])
    code = """
        import sys
        from tfds_builder.catalog.read import read_manifest
        from tfds_builder.errors import ManifestError
        try:
            read_manifest(sys.argv[1])
        except ManifestError as error:
            assert len(str(error)) < 2000
            print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
    """
    assert int(run_python(code, tmp_path).stdout) < 10**6


def test_a_million_shards(tmp_path, run_python):
    """A million shards of zero rows are refused, with less than 1 GB of memory."""
    content = json.loads((kit.GOLDEN / "pairs_tfrecord" / "1.0.0" / "manifest.json").read_bytes())
    shard = {"bytes": 0, "rows": 0, "geometry": 0, "sha256": "0" * 64}
    content["splits"] = [{"name": "train", "shards": ["@@@"]}]
    shards = ",".join(f'{{"file":"{i}",' + json.dumps(shard)[1:] for i in range(1_000_000))
    (tmp_path / "manifest.json").write_bytes(kit.seal_text(json.dumps(content).replace('"@@@"', shards)))
    code = """
        import sys
        from tfds_builder.catalog.read import read_manifest
        from tfds_builder.errors import ManifestError
        try:
            read_manifest(sys.argv[1])
        except ManifestError:
            print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
    """
    assert int(run_python(code, tmp_path).stdout) < 10**6


@pytest.mark.endurance
def test_a_hundred_thousand_shards():
    """A manifest of 100,000 shards, with indexes, is within the limits."""
    manifest = read_lib.read_manifest(kit.GOLDEN / "text_tfrecord" / "1.0.0")
    content = json.loads(manifest.to_json())
    shard = content["splits"][0]["shards"][0]
    content["splits"][0]["shards"] = [
        {**shard, "file": f"text_tfrecord-train.tfrecord-{i:06d}-of-100000",
         "index": {**shard["index"], "file": f"text_tfrecord-train.index-{i:06d}-of-100000"}}
        for i in range(100_000)
    ]  # fmt: skip
    text = read_lib.parse_manifest(kit.seal(content)).to_json()
    assert len(text) < read_lib.MAX_BYTES
    assert len(read_lib.parse_manifest(text).splits["train"].shards) == 100_000


def first_shard(content):
    return content["splits"][0]["shards"][0]


def features_of(content):
    return content["features"]["featuresDict"]["features"]


def set_offset(column, value):
    return lambda c: [geometry["offsets"].__setitem__(column, value) for geometry in c["geometries"]]


def nest_features(depth):
    def change(content):
        for _ in range(depth):
            content["features"] = {"featuresDict": {"features": {"a": content["features"]}}}

    return change


CHANGES = {
    "offset in the header": set_offset(0, 3), "offset in the CRC": set_offset(1, 106), "offsets equal": set_offset(1, 49),
    "columns overlap": set_offset(1, 60), "offset huge": set_offset(0, 2**62),
    "rows huge": lambda c: first_shard(c).update(rows=2**40),
    "rows zero": lambda c: [s.update(rows=0) for split in c["splits"] for s in split["shards"]],
    "fewer rows": lambda c: first_shard(c).update(rows=3),
    "strides differ": lambda c: c["geometries"][0]["strides"].__setitem__(0, 110),
    "stride huge": lambda c: c["geometries"][0].update(strides=[2**61, 2**61]),
    "shape of 1,000 axes": lambda c: c["columns"][0].update(shape=[1] * 1000),
    "shape huge and empty": lambda c: c["columns"][0].update(shape=[0, 2**62, 2**62], width=0),
    "shape 10**400": lambda c: c["columns"][0].update(shape=[10**400]),
    "no columns": lambda c: c.update(columns=[], geometries=[{"offsets": [], "strides": [], "row_splits": []}]),
    "one column": lambda c: (c["columns"].pop(), [g[key].pop() for g in c["geometries"] for key in g]),
    "a column in a column": lambda c: c["columns"][1].update(name="image/x"),
    "manifest lists itself": lambda c: c["metadata"][0].update(file="manifest.json"),
    "no metadata": lambda c: c.update(metadata=[]), "no splits": lambda c: c.update(splits=[]),
    "keys of nothing": lambda c: c.update(supervised_keys=["image", "nothing"]),
    "one key": lambda c: c.update(supervised_keys=["image"]),
    "labels of nothing": lambda c: c["labels"].update(nothing=["a"]),
    "labels of an image": lambda c: c["labels"].update(image=["a"]),
    "labels twice": lambda c: c["labels"].update(label=["a"] * 5), "fewer labels": lambda c: c["labels"].update(label=["a"]),
    "features of numbers": lambda c: c.update(features={"featuresDict": 3}), "deep features": nest_features(250),
    "deepish features": nest_features(60), "features empty": lambda c: c.update(features={}),
    "features and NaN": lambda c: c.update(features={"a": float("nan")}), "version 01": lambda c: c.update(version="01.0.0"),
    "version long": lambda c: c.update(version="1.0." + "9" * 5000),
    "split all": lambda c: c["splits"][0].update(name="all"), "split slice": lambda c: c["splits"][0].update(name="train[:1]"),
    "shards swapped": lambda c: c["splits"][0]["shards"].reverse(),
    "source dtypes": lambda c: [column.update(source_dtype="complex64") for column in c["columns"]],
    "source layout": lambda c: c["columns"][0].update(source_layout="NC"),
    "another format": lambda c: c.update(format="tfrecord" if c["format"] == "hdf5" else "hdf5"),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["pairs_tfrecord", "pairs_hdf5"])
@pytest.mark.timeout(60)
def test_hostile_manifest(change, name, tmp_path):
    """Whatever a sealed manifest says, each thing that can be done with it ends in a DatasetError or a result, and what is
    no longer what the files hold is a problem to verify."""
    directory = kit.copy_golden(name, tmp_path)
    kit.edit_manifest(directory, CHANGES[change])
    everything(directory)
    fine = change.startswith("source") or (name == "pairs_hdf5" and change == "offset in the CRC")  # of the way back to PyTorch
    assert tfds_builder.verify(directory, deep=True).problems or fine


# --- nothing is imported because a directory says so -----------------------------------------------


# --- text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_text_in_every_field(text, tmp_path):
    """Hostile text in every text field is refused or stays inert: the generated module has only the code it always has."""
    expected = [
        type(node).__name__ for node in ast.walk(ast.parse(render(read_lib.read_manifest(kit.GOLDEN / "pairs_hdf5" / "1.0.0"))))
    ]
    fields = {
        "card": lambda c: c.update(card=dict.fromkeys(c["card"], text)), "decisions": lambda c: c.update(decisions=[text] * 3),
        "labels": lambda c: c["labels"].update(label=[text, "b", "c", "d", "e"]), "producer": lambda c: c.update(producer=text),
        "split": lambda c: c["splits"][0].update(name=text), "column": lambda c: c["columns"][0].update(name=text),
        "file": lambda c: first_shard(c).update(file=text), "name": lambda c: c.update(name=text),
        "version": lambda c: c.update(version=text), "layout": lambda c: c["columns"][0].update(source_layout=text),
        "dtype": lambda c: c["columns"][0].update(dtype=text), "keys": lambda c: c.update(supervised_keys=[text, text]),
        "feature": lambda c: features_of(c).update({text: features_of(c)["image"]}),
    }  # fmt: skip
    for field, change in fields.items():
        directory = kit.copy_golden("pairs_hdf5", tmp_path / field)
        kit.edit_manifest(directory, change)
        for error in everything(directory):
            assert printable(str(error)).isprintable()
        module = tmp_path / field / "generated.py"
        if module.exists():
            source = module.read_text("utf-8")
            compile(source, "module.py", "exec")
            assert [type(node).__name__ for node in ast.walk(ast.parse(source))] == expected
        else:
            assert field in ("split", "column", "file", "name", "version", "dtype", "keys")


@pytest.mark.parametrize("command", ["list", "info", "verify"])
def test_terminal(command, tmp_path, capsys, monkeypatch):
    """The commands print hostile text without its control characters, for a good dataset and for a bad one."""
    cli = pytest.importorskip("exporters.cli")
    directory = kit.copy_golden("pairs_hdf5", tmp_path)
    escape = "\x1b[2J\x1b]0;owned\x07"
    for change in (lambda c: c.update(card={"description": escape}, decisions=[escape]), lambda c: c.update(name=escape)):
        kit.edit_manifest(directory, change)
        target = str(tmp_path if command == "list" else directory)
        monkeypatch.setattr("sys.argv", ["torch2tfds", command, target])
        with pytest.raises(SystemExit):
            cli.main()
        printed = capsys.readouterr()
        assert "\x1b" not in printed.out + printed.err
        assert "\x07" not in printed.out + printed.err


SECRET = "top secret, line one"


@pytest.mark.parametrize("file", ["label.labels.txt", "secret.labels.txt", "features.json", "dataset_info.json", "metadata.json"])
def test_unlisted_metadata_is_not_read(file, tmp_path):
    """A link that TFDS would follow because of its name, but that the manifest does not list, gives nothing away."""
    directory = kit.copy_golden("pairs_hdf5", tmp_path)
    (tmp_path / "secret").write_text(SECRET + "\nx\n")
    (directory / file).unlink(missing_ok=True)
    (directory / file).symlink_to(tmp_path / "secret")
    kit.edit_manifest(directory, lambda c: c.update(metadata=[f for f in c["metadata"] if f["file"] != file], labels={}))
    errors = everything(directory)
    assert errors
    assert SECRET not in repr(errors)
