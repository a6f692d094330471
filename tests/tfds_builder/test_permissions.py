"""A dataset, config, version or file that this user may not read: the others work, and that one names its owner when loaded.

Root may read everything, so as root these tests run Python in a process without that privilege (`setpriv`).
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import consumer_kit as kit
import pytest

pytestmark = pytest.mark.once

CLOSED = {
    "dataset": "closed", "version": "closed/1.0.0", "manifest": "closed/1.0.0/manifest.json",
    "metadata": "closed/1.0.0/dataset_info.json", "shard": "closed/1.0.0/closed-train-00000-of-00001.h5",
}  # fmt: skip
"""What of a dataset a colleague keeps to himself."""
_DROPPED = "-dac_override,-dac_read_search"
_ALONE = ["setpriv", f"--inh-caps={_DROPPED}", f"--bounding-set={_DROPPED}"]
OWNER = 65534


@pytest.fixture
def close():
    """`close(path, mode=0o700)`: gives a path to another user; the directory above it stays one's own."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, to make what is another user's, and setpriv, to do without root's privilege to read it")

    def change(path, mode=None):
        os.chmod(path, (0o700 if path.is_dir() else 0o600) if mode is None else mode)
        os.chown(path, OWNER, OWNER)

    return change


@pytest.fixture
def run(tmp_path):
    """`run(code, *args)`: the JSON that code prints last, in a process that may read no more than its permissions say."""

    def start(source, *args):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(PRELUDE) + textwrap.dedent(source))
        done = subprocess.run([*_ALONE, sys.executable, script, *map(str, args)], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return start


PRELUDE = """
    import json, sys
    import tensorflow_datasets as tfds, tfds_builder

    def load(name):
        try:
            return [int(example["row"]) for example in tfds.load(name, split="train").as_numpy_iterator()]
        except tfds_builder.UnreadableFileError as error:
            assert isinstance(error, PermissionError) and isinstance(error, tfds_builder.DatasetError)
            return str(error)
"""
TOLD = "cannot be read: permission denied; ask its owner, "


def is_told(text):
    return TOLD in text and ("nobody" in text or str(OWNER) in text)


def test_the_others_work(close, run, tmp_path):
    """All datasets are registered and the others load; the closed one, or one with something closed in it, names its owner."""
    for what, path in CLOSED.items():
        for name in ("closed", "open"):
            kit.write_table(tmp_path / what, name, {"train": kit.numbers(2)})
        close(tmp_path / what / path)
    code = """
        from tfds_builder.finding.provider import catalog

        found = []
        for data_dir in sys.argv[1:]:
            catalog._builders.clear()
            found.append([tfds_builder.register(data_dir), load("open"), load("closed")])
        print(json.dumps(found))
    """
    found = run(code, *(tmp_path / what for what in CLOSED))
    for what, (names, opened, closed) in zip(CLOSED, found, strict=True):
        assert (names, opened, is_told(closed)) == (["closed", "open"], [0, 1], True), (what, closed)


def test_other_versions_and_configs_work(close, run, tmp_path):
    """Versions and configs beside closed ones load; a newest version that is closed is not passed over in silence."""
    for version, start in (("1.0.0", 0), ("1.1.0", 10)):
        kit.write_table(tmp_path / "data", "versions", {"train": kit.numbers(2, start)}, version=version)
    for config in ("closed", "open"):
        kit.write_table(tmp_path / "data", "configs", {"train": kit.numbers(2)}, config_name=config)
    close(tmp_path / "data" / "versions" / "1.1.0")
    close(tmp_path / "data" / "configs" / "closed")
    names = ["versions:1.0.0", "configs/open", "configs/open:1.0.0", "versions", "versions:1.1.0", "configs/closed", "configs"]
    found = run(
        "tfds_builder.register(sys.argv[1]); print(json.dumps([load(name) for name in sys.argv[2:]]))", tmp_path / "data", *names
    )
    assert found[:3] == [[0, 1]] * 3
    assert all(is_told(text) for text in found[3:])
    assert "published are without a config: 1.1.0, 1.0.0" in found[3]


def test_directories_half_open(close, run, tmp_path):
    """A dataset that may be listed and not entered (r--), or the reverse (--x), is told, and takes nothing else down."""
    for name in ("listed", "entered", "opened"):
        kit.write_table(tmp_path / "data", name, {"train": kit.numbers(2)})
    close(tmp_path / "data" / "listed", 0o744)
    close(tmp_path / "data" / "entered", 0o711)
    found = run("print(json.dumps({name: load(name) for name in tfds_builder.register(sys.argv[1])}))", tmp_path / "data")
    assert found["opened"] == [0, 1]
    assert is_told(found["listed"])
    assert is_told(found["entered"])


def test_data_dir_itself(close, run, tmp_path):
    """A data_dir that may not be listed is an error of the same kind."""
    kit.write_table(tmp_path / "data", "open", {"train": kit.numbers(2)})
    close(tmp_path / "data")
    code = """
        try:
            tfds_builder.register(sys.argv[1])
        except tfds_builder.UnreadableFileError as error:
            print(json.dumps(str(error)))
    """
    assert is_told(run(code, tmp_path / "data"))


def test_verify(close, run, tmp_path):
    """`verify` calls what may not be read unreadable, and not damaged or missing."""
    for what, path in CLOSED.items():
        kit.write_table(tmp_path / what, "closed", {"train": kit.numbers(2)})
        close(tmp_path / what / path)
    code = """
        found = []
        for directory in sys.argv[1:]:
            try:
                problems = tfds_builder.verify(directory).problems
                found.append(next([problem.kind, problem.message] for problem in problems if problem.message))
            except tfds_builder.UnreadableFileError as error:
                found.append(["unreadable", str(error)])
        print(json.dumps(found))
    """
    found = run(code, *(tmp_path / what / "closed" / "1.0.0" for what in CLOSED))
    for what, (kind, message) in zip(CLOSED, found, strict=True):
        assert (kind, is_told(message)) == ("unreadable", True), (what, message)
