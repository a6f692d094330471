"""The command line as a shell sees it: real processes, exit codes, JSON, one line for an error."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from exporters import cli

SCRIPT = pathlib.Path(sys.executable).with_name("torch2tfds")

MODULE = """
import os
import time

import torch
from torch.utils.data import DataLoader, TensorDataset

def make():
    dataset = TensorDataset(torch.arange(10 * 5 * 6 * 7).reshape(10, 5, 6, 7), torch.arange(10) % 2)
    dataset.classes = ["no", "yes"]
    return {"train": DataLoader(dataset, batch_size=4), "test": DataLoader(dataset, batch_size=3)}

def single():
    return DataLoader([0.5, 1.5])

class Nested:
    make = staticmethod(single)

def nothing(): return None
def raises(): raise RuntimeError("of the factory")
def needs(argument): return single()
def failing(): return DataLoader([1], collate_fn=lambda rows: 1 / 0)
constant = 3

class Slow(list):
    def __getitem__(self, index):
        if index == 70 and "SLOW" in os.environ:
            time.sleep(100)
        return torch.full((50,), index)

def slow():
    return DataLoader(Slow(range(100)), batch_size=10, num_workers=int(os.environ.get("SLOW", 0)))

def pairs():
    return DataLoader(TensorDataset(torch.arange(24).reshape(6, 4), torch.arange(6) % 3), batch_size=4)

def stopping():
    class Stopping(Slow):
        def __getitem__(self, index):
            if index == 70:
                raise OSError("the plug was pulled")
            return super().__getitem__(index)
    return DataLoader(Stopping(range(100)), batch_size=10)
"""


@pytest.fixture
def torch2tfds(tmp_path):
    """`torch2tfds(*arguments)`: runs the installed command in a directory that holds `mine.py`; the finished process."""
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import a_module_that_is_not_there")

    def run(*arguments, exit_code=0):
        command = [str(SCRIPT), *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert done.returncode == exit_code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def main(torch2tfds, tmp_path, monkeypatch, capsys):
    """`main(*arguments)`: the same command in this process, which has torch loaded; (exit code, stdout, stderr)."""

    path = sys.path[:]

    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", path[:])
        monkeypatch.setattr(sys, "argv", ["torch2tfds", *map(str, arguments)])
        for module in ("mine", "broken", "other"):
            sys.modules.pop(module, None)
        importlib.invalidate_caches()
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run


def test_a_dataset_from_end_to_end(format, torch2tfds, tmp_path):
    """`export`, `list`, `info`, `verify` and `generate` tell one story, in words and in JSON, and are quiet off a terminal."""
    options = ("--name", "ds", "--version", "1.2.0", "--format", format, "--layout", "image=NCHW", "--rename", "label=kind")
    card = ("--description", "Counting.", "--license", "CC0", "--homepage", "https://h", "--citation", "@misc{c}")
    exported = torch2tfds("export", "mine:make", "data", *options, *card, "--shard-mib", "0.01", "--json")
    result = json.loads(exported.stdout)
    path = tmp_path / "data" / "ds" / "1.2.0"
    assert (result["path"], result["format"]) == (str(path), format)
    assert result["examples"] == {"train": 10, "test": 10}
    assert result["shards"] == {"train": 2, "test": 2}
    told = [f"{split}: 10 examples expected, 10 read, 10 written" for split in ("train", "test")]
    shared = "split 'test': of 10 examples, 10 are also in split 'train' (shared_examples)"
    assert [line for line in exported.stderr.splitlines() if "warning: " not in line] == [
        *result["decisions"], told[0], f"{told[1]}; hazards: shared_examples",
    ]  # fmt: skip
    assert f"torch2tfds: warning: {shared}" in exported.stderr
    assert [hazard["name"] for hazard in result["hazards"]] == ["shared_examples"]
    assert result["counts"]["test"] == {"expected": 10, "read": 10, "written": 10}
    assert result["decisions"] == ["image: NCHW (5, 6, 7) -> NHWC (6, 7, 5), Tensor int64", "kind: ClassLabel of 2 classes"]

    (listed,) = json.loads(torch2tfds("list", "data", "--json").stdout)
    told = {"path": listed["path"], "description": "Counting.", "config_description": "", "newest": True}
    assert listed == {key: value for key, value in result.items() if key not in ("module", "hazards", "counts")} | told | {
        "published": listed["published"]
    }
    info = json.loads(torch2tfds("info", path, "--json").stdout)
    assert info["labels"] == {"kind": ["no", "yes"]}
    assert info["card"] == {"description": "Counting.", "license": "CC0", "homepage": "https://h", "citation": "@misc{c}"}
    assert [column["name"] for column in info["columns"]] == ["image", "kind"]
    assert [column["shape"] for column in info["columns"]] == [[6, 7, 5], []]

    checked = json.loads(torch2tfds("verify", path, "--json").stdout)
    assert checked["problems"] == []
    assert checked["examples"] == 20
    assert checked["bytes"] == result["bytes"]

    module = pathlib.Path(result["module"])
    written = module.read_text()
    module.unlink()
    assert torch2tfds("generate", path).stdout.strip() == str(module)
    assert module.read_text() == written
    assert torch2tfds("generate", path, "--output", "copy.py").stdout.strip() == "copy.py"
    assert (tmp_path / "copy.py").read_text() == written


def test_in_words(main, tmp_path):
    """Without `--json` the commands print text: what was published, listed and described."""
    published = main("export", "mine:Nested.make", "data", "--name", "ds")
    assert published[1].startswith(f"published {tmp_path / 'data' / 'ds' / '1.0.0'} (train 2 examples, ")
    assert (published[0], published[2]) == (0, "features: Tensor float64\ntrain: 2 examples expected, 2 read, 2 written\n")
    assert main("list", "data")[1].startswith("ds:1.0.0  tfrecord  ")
    info = main("info", "data/ds/1.0.0")[1].splitlines()
    assert info[0].startswith("ds:1.0.0  tfrecord  ")
    assert info[-1].startswith("  train: 2 examples in 1 shard, ")
    code, out, err = main("verify", "data/ds/1.0.0")
    assert (code, err) == (0, "")
    assert ": whole (" in out
    (tmp_path / "empty").mkdir()
    assert main("list", "empty")[1] == "nothing is published under empty\n"
    assert json.loads(main("list", "empty", "--json")[1]) == []


def test_verify_of_a_damaged_dataset(torch2tfds, tmp_path):
    """`verify` exits 1 when a byte is wrong and names file and record, and when there is no dataset at all."""
    torch2tfds("export", "mine:single", "data", "--name", "ds")
    path = tmp_path / "data" / "ds" / "1.0.0"
    (shard,) = path.glob("*.tfrecord-*")
    content = bytearray(shard.read_bytes())
    content[-6] ^= 1
    shard.write_bytes(content)
    damaged = torch2tfds("verify", path, exit_code=1)
    assert f"{shard.name}: record 1" in damaged.stdout
    problems = json.loads(torch2tfds("verify", path, "--json", exit_code=1).stdout)["problems"]
    assert {problem["file"] for problem in problems} == {shard.name}
    missing = torch2tfds("verify", tmp_path, exit_code=1)
    assert missing.stdout.startswith("manifest.json: ")


BAD_FACTORIES = {
    "no colon": ("mine", "MODULE:FACTORY"),
    "no factory": ("mine:", "MODULE:FACTORY"),
    "no module": (":make", "MODULE:FACTORY"),
    "a module that is not there": ("theirs:make", "'theirs'"),
    "a part of a module that is not there": ("mine.data:make", "'mine.data'"),
    "an attribute that is not there": ("mine:made", "'made'"),
    "not callable": ("mine:constant", "must be a callable"),
    "returns something else": ("mine:nothing", "NoneType"),
}


@pytest.mark.parametrize("case", BAD_FACTORIES)
def test_bad_factories(case, main, tmp_path):
    """What is wrong with MODULE:FACTORY is one line on stderr and exit code 2."""
    factory, words = BAD_FACTORIES[case]
    code, out, err = main("export", factory, "data", "--name", "ds")
    assert (code, out) == (2, "")
    assert err.startswith("torch2tfds: ")
    assert err.count("\n") == 1
    assert words in err
    assert not (tmp_path / "data").exists()


RAISING = {
    "the factory": ("mine:raises", RuntimeError, "of the factory"),
    "the loader": ("mine:failing", ZeroDivisionError, "division"),
    "an import of the module": ("broken:make", ModuleNotFoundError, "a_module_that_is_not_there"),
}


@pytest.mark.parametrize("case", RAISING)
def test_what_user_code_raises(case, main, tmp_path):
    """What the user's own code raises passes through as it is."""
    factory, error, words = RAISING[case]
    with pytest.raises(error, match=words):
        main("export", factory, "data", "--name", "ds")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["list", "verify", "info", "generate"])
def test_a_path_without_letters(command, main):
    """An empty path, as a variable of the shell that is not set, is refused: it is not this directory."""
    code, out, err = main(command, "")
    assert (code, out) == (2, "")
    assert "none was given" in err


LOADING = {
    "a factory": "def make(): open(NOWHERE)",
    "a dataset": """
        class Files(list):
            def __getitem__(self, index): return open(NOWHERE)
        def make(): return DataLoader(Files([1, 2]))""",
    "a worker's dataset": """
        class Files(list):
            def __getitem__(self, index): return open(NOWHERE)
        def make(): return DataLoader(Files([1, 2]), num_workers=1)""",
    "a sampler": """
        def draw():
            yield 0
            open(NOWHERE)
        def make(): return DataLoader([1, 2], sampler=draw())""",
    "a built-in function": "def make(): return DataLoader([NOWHERE], batch_size=None, collate_fn=open)",
    "a module that is called like one of Python's": "import this\ndef make(): this.read()",
}


@pytest.mark.parametrize("case", LOADING)
def test_an_error_of_the_users_files(case, main, tmp_path, monkeypatch):
    """What the user's own files raise keeps its traceback, by whatever it is called."""
    code = f"from torch.utils.data import DataLoader\nNOWHERE = {str(tmp_path / 'nowhere')!r}\n"
    (tmp_path / "other.py").write_text(code + textwrap.dedent(LOADING[case]))
    (tmp_path / "this.py").write_text(f"def read(): open({str(tmp_path / 'nowhere')!r})")
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        main("export", "other:make", "data", "--name", "ds")
    sys.modules.pop("this", None)


def test_an_error_of_our_own_files(main, tmp_path, monkeypatch):
    """Where the disk fails while our own files are written or read, that is told in a line: which file, and what to do."""
    namespace = {"__name__": "exporters.anything", "path": tmp_path / ("x" * 300)}
    exec(compile("def app(): open(path)", "ours.py", "exec"), namespace)
    monkeypatch.setattr("exporters.cli.app", namespace["app"])
    assert main() == (2, "", f"torch2tfds: {namespace['path']}: File name too long; give a shorter one\n")


@pytest.mark.once
def test_exit_codes_of_the_process(torch2tfds):
    """The installed command exits 2 with one line for a wrong argument, and 1 with a traceback where user code raises."""
    told = torch2tfds("export", "mine:made", "data", "--name", "ds", exit_code=2)
    assert (told.stdout, told.stderr) == ("", "torch2tfds: module 'mine' has no attribute 'made'\n")
    raised = torch2tfds("export", "mine:raises", "data", "--name", "ds", exit_code=1)
    assert "Traceback" in raised.stderr
    assert "RuntimeError: of the factory" in raised.stderr


BAD_OPTIONS = {
    "name": (("--name", "My-DS"), "my_ds"),
    "no name": ((), "--name"),
    "version": (("--name", "ds", "--version", "1"), "x.y.z"),
    "format": (("--name", "ds", "--format", "parquet"), "'parquet'"),
    "layout": (("--name", "ds", "--layout", "image"), "--layout"),
    "layout of nothing": (("--name", "ds", "--layout", "x=NCHW"), "'x'"),
    "rename": (("--name", "ds", "--rename", "a="), "--rename"),
    "rename twice": (
        ("--name", "ds", "--rename", "a=b", "--rename", "a=c"),
        "--rename is given twice for 'a': 'b' and 'c'; leave one",
    ),
    "layout twice": (("--name", "ds", "--layout", "a=NC", "--layout", "a=NX"), "--layout is given twice for 'a': 'NC' and 'NX'"),
    "hazards twice": (
        ("--name", "ds", "--on-hazard", "warn", "--on-hazard", "error"),
        "--on-hazard is given twice for 'default'",
    ),
    "classes twice": (("--name", "ds", "--classes", "3", "--classes", "label=a,b"), "twice for 'label': '3' and 'label=a,b'"),
    "hazard of no letters": (("--name", "ds", "--on-hazard", ""), "--on-hazard takes NAME=VALUE (got '')"),
    "supervised of no letters": (("--name", "ds", "--supervised", ","), "--supervised takes IN,TARGET (got ',')"),
    "directory of no letters": (("--name", "ds", "--app-dir", ""), "none was given"),
    "shard size": (("--name", "ds", "--shard-mib", "nan"), "shard"),
    "an option there is not": (("--name", "ds", "--shards", "3"), "--shards"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options(case, main, tmp_path):
    """An option that is wrong is told without a traceback, with exit code 2, and nothing is published."""
    options, words = BAD_OPTIONS[case]
    code, out, err = main("export", "mine:single", "data", *options)
    assert (code, out) == (2, "")
    assert words in err
    assert not (tmp_path / "data").exists()


@pytest.mark.once
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 2), (signal.SIGTERM, 0)])
def test_stopped(number, workers, torch2tfds, main, tree, tmp_path):
    """Ctrl-C (to the process and its workers) and SIGTERM end the command within seconds, with the usual exit code and one
    line on stderr that says how to go on; the same command again does, to the same bytes."""
    command = ("export", "mine:slow", "data", "--name", "ds", "--shard-mib", "0.008")
    environment = {**os.environ, "SLOW": str(workers)}
    process = subprocess.Popen(
        [str(SCRIPT), *command], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 100
        while len(list(tmp_path.glob("data/ds/1.0.0.resume/*.shard.json"))) < 3:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.1)
        start = time.monotonic()
        os.killpg(process.pid, number) if workers else process.send_signal(number)
        stderr = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, time.monotonic() - start < 30) == (128 + number, True), stderr
    how = "run the same command again to go on after them"
    kept = f"torch2tfds: stopped; 3 finished shards are kept in {tmp_path}/data/ds/1.0.0.incomplete: {how}"
    assert [line for line in stderr.splitlines() if "stopped" in line or "Error" in line] == [kept]
    assert "going on after 3 finished shards" in main(*command)[2]
    main(*command[:2], "whole", *command[3:])
    assert tree(tmp_path / "data") == tree(tmp_path / "whole")


def test_an_existing_version(main):
    """A version that exists is exit code 2 with the way out; `--overwrite` replaces it."""
    command = ("export", "mine:single", "data", "--name", "ds")
    assert main(*command)[0] == 0
    code, _, err = main(*command)
    assert code == 2
    assert "already published; add --overwrite to replace it, or give another --version" in err
    assert main(*command, "--overwrite")[0] == 0


def test_app_dir(main, tmp_path):
    """`--app-dir` is where MODULE is looked for first."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine.py").rename(tmp_path / "elsewhere" / "other.py")
    assert main("export", "other:single", "data", "--name", "ds", "--app-dir", "elsewhere")[0] == 0
    code, _, err = main("export", "other:single", "data", "--name", "ds2")
    assert code == 2
    assert "'other'" in err


HELP = {
    (): ["export", "verify", "list", "info", "generate", "demo"],
    ("export",): ["MODULE:FACTORY", "DATA_DIR", "--name", "--version", "--format", "--overwrite", "--json"],
    ("verify",): ["PATH", "--json"],
    ("list",): ["DATA_DIR", "--json"],
    ("info",): ["PATH", "--json"],
    ("generate",): ["PATH", "--output"],
    ("demo",): ["--out"],
}


@pytest.mark.parametrize("command", HELP, ids=lambda command: " ".join(command) or "torch2tfds")
def test_help(command, torch2tfds):
    """`--help` names every command, argument and option."""
    text = torch2tfds(*command, "--help").stdout
    assert [word for word in HELP[command] if word not in text] == []


def test_version(torch2tfds):
    """`--version` prints the package's."""
    import exporters

    assert torch2tfds("--version").stdout == f"torch2tfds {exporters.__version__}\n"


@pytest.mark.needs_tensorflow
def test_demo(torch2tfds, tmp_path):
    """The demo exports to both formats, finds every element again, and trains to over 0.95 on each."""
    done = torch2tfds("demo", "--out", "out")
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith(("| tfrecord", "| hdf5"))]
    assert [row[5].strip() for row in rows] == ["yes", "yes"]
    assert all(float(row[6]) > 0.95 for row in rows)
    versions = [tmp_path / "out" / f"digits_{format}" / "1.0.0" for format in ("tfrecord", "hdf5")]
    assert [row[7].strip() for row in rows] == [str(version) for version in versions] or all(v.is_dir() for v in versions)
    assert "tfds_builder.register(" in done.stdout


def test_another_command_after_one_that_stopped(main):
    """After a stop, another command is told what differs in words of its own, and each way out that it names works."""
    command = ("export", "mine:stopping", "data", "--name", "ds")
    with pytest.raises(OSError, match="pulled") as stopped:
        main(*command, "--shard-mib", "0.01")
    assert "run the same command again to go on after them" in stopped.value.__notes__[0]
    code, _, err = main(*command, "--shard-mib", "0.02", "--license", "CC0")
    assert code == 2
    ways = "run the command as it was before to go on after them, or add --overwrite to begin anew"
    assert err.endswith(f"version: --shard-mib: 0.01, now 0.02; --license: none, now CC0; {ways}\n")
    fixed = ("export", "mine:slow", *command[2:], "--shard-mib", "0.01")
    assert "going on after 3 finished shards" in main(*fixed)[2]
    with pytest.raises(OSError, match="pulled"):
        main("export", "mine:stopping", "data", "--name", "two", "--shard-mib", "0.01")
    begun = main("export", "mine:slow", "data", "--name", "two", "--shard-mib", "0.02", "--overwrite")
    assert begun[0] == 0, begun


def labels_of(main, *options, name="ds"):
    """The class names of a dataset that `mine:pairs` gave with these options, and its supervised keys."""
    code, _, err = main("export", "mine:pairs", "data", "--name", name, "--on-hazard", "ignore", *options)
    assert code == 0, err
    manifest = json.loads((pathlib.Path("data") / name / "1.0.0" / "manifest.json").read_text())
    return manifest["labels"], manifest["supervised_keys"]


def test_class_names(main, tmp_path):
    """`--classes` takes names, a file of names or their number, of `label` or of any feature, renamed ones too."""
    (tmp_path / "names.txt").write_text("hot dog\n\nnot hot dog\r\nüber\n", "utf-8")
    assert labels_of(main, "--classes", "cat, dog,bird")[0] == {"label": ["cat", "dog", "bird"]}
    named = labels_of(main, "--rename", "label=kind", "--classes", "kind=names.txt", name="of_a_file")
    assert named == ({"kind": ["hot dog", "not hot dog", "über"]}, ["features", "kind"])
    assert labels_of(main, "--classes", "5", name="of_a_number")[0] == {}
    info = main("info", "data/of_a_number/1.0.0")[1]
    assert "label: ClassLabel of 5 classes" in info


BAD_CLASSES = {
    "no such file": ("nowhere.txt", "expected names separated by commas, a number of classes, or a file with a name a line"),
    "a name twice": ("a,b,a", "--classes a,b,a"),
    "too few": ("a,b", "label"),
    "none": ("0", "--classes 0: a number of classes is at least 1"),
    "more than fit": ("9" * 5000, "at most 18 digits"),
    "no letters": ("", "(got nothing)"),
    "no names": (",", "--classes ,: there is no name of a class in it"),
    "no feature": ("=a,b,c", "--classes takes [FEATURE=]NAMES (got '=a,b,c')"),
    "of no feature": ("kind=a,b,c", "features: ['features', 'label']"),
    "a file that is no text": ("mine.pyc", "mine.pyc"),
}


@pytest.mark.parametrize("case", BAD_CLASSES)
def test_class_names_that_do_not_fit(case, main, tmp_path):
    """Class names that cannot be are told in a line, and nothing is published."""
    names, words = BAD_CLASSES[case]
    (tmp_path / "mine.pyc").write_bytes(b"\xff\x00")
    code, _, err = main("export", "mine:pairs", "data", "--name", "ds", "--classes", names)
    assert (code, "Traceback" in err) == (2, False)
    assert words in err
    assert not (tmp_path / "data" / "ds").exists()


def test_supervised(main):
    """`--supervised` says which features are input and target, and refuses what the data has not."""
    assert labels_of(main, "--supervised", "label,features")[1] == ["label", "features"]
    code, _, err = main("export", "mine:pairs", "data", "--name", "two", "--supervised", "features,kind")
    assert code == 2
    assert "--supervised must be 2 or 3 of ['features', 'label']" in err


def test_features_of_a_file(main, tmp_path):
    """`--features` takes what TFDS writes of features, the class names beside it included; `--classes` adds to it."""
    import numpy as np
    import tensorflow_datasets as tfds

    label = tfds.features.ClassLabel(names=["a", "b", "c"])
    tfds.features.FeaturesDict({"label": label}).save_config(str(tmp_path))
    assert labels_of(main, "--features", "features.json")[0] == {"label": ["a", "b", "c"]}
    zlib = tfds.features.Tensor(shape=(4,), dtype=np.int64, encoding="zlib")
    (tmp_path / "zlib").mkdir()
    tfds.features.FeaturesDict({"features": zlib}).save_config(str(tmp_path / "zlib"))
    assert labels_of(main, "--features", "zlib/features.json", "--classes", "x,y,z", name="two")[0] == {"label": ["x", "y", "z"]}
    assert json.loads(main("info", "data/two/1.0.0", "--json")[1])["columns"][0]["encoding"] != "raw"


BAD_FEATURES = {
    "not there": None,
    "no JSON": b"{",
    "no features": b'{"a": 1}',
    "a link": "link",
    "a class of a module that nobody imported": json.dumps(
        {"pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict", "featuresDict": {"features": {
            "x": {"pythonClassName": "evil.Feature", "jsonFeature": {"json": "{}"}}}}}
    ).encode(),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FEATURES)
def test_features_that_are_none(case, main, tmp_path):
    """A file that holds no features is told in a line; no module that it names is imported."""
    content = BAD_FEATURES[case]
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    if content == "link":
        (tmp_path / "features.json").symlink_to(tmp_path / "mine.py")
    elif content is not None:
        (tmp_path / "features.json").write_bytes(content)
    code, _, err = main("export", "mine:pairs", "data", "--name", "ds", "--features", "features.json")
    assert (code, err.count("\n")) == (2, 1), err
    assert "--features features.json: " in err
    assert "evil" not in sys.modules


def test_the_advice_to_declare_a_feature_works(main, tmp_path):
    """What a message says of `--features` writes, when it is run, the file that the option reads."""
    from exporters import wording

    with wording.command_line():
        advice = wording.argument("features", {"features": wording.Code("tfds.features.Tensor(shape=(4,), dtype=np.int64)")})
    option, _, line = advice.partition(", a file that this writes: ")
    subprocess.run([sys.executable, *shlex.split(line)[1:]], cwd=tmp_path, check=True, timeout=100)
    assert labels_of(main, *option.split(), "--classes", "3")[0] == {}


def test_quiet(main):
    """`--quiet` says nothing on stderr but warnings; the result is still printed."""
    code, out, err = main("export", "mine:single", "data", "--name", "ds", "--quiet")
    assert (code, err) == (0, "")
    assert out.startswith("published ")
    assert main("verify", "data/ds/1.0.0", "--quiet")[2] == ""
    assert "2.00/2.00" in main("export", "mine:single", "data", "--name", "two", "--progress")[2]


@pytest.mark.once
def test_terminals_without_the_letters(main, tmp_path, monkeypatch):
    """Text that a terminal cannot show is escaped, by every command that prints some, and never ends it."""
    main("export", "mine:make", "data", "--name", "ds", "--description", "数据, ü", "--rename", "label=art_ü")
    path = tmp_path / "data" / "ds" / "1.0.0"
    others = (("list", "data"), ("verify", path), ("--help",), ("export", "--help"))
    for encoding, commands in {"utf-8": (), "latin-1": (), "ascii": others}.items():
        monkeypatch.setenv("PYTHONIOENCODING", encoding)
        for command in (("info", path), *commands):
            done = subprocess.run([str(SCRIPT), *map(str, command)], cwd=tmp_path, capture_output=True, timeout=200)
            assert (done.returncode, done.stderr) == (0, b"")
            assert done.stdout.decode(encoding)
            if command[0] == "info":
                assert ("数据" if encoding == "utf-8" else "\\u6570\\u636e") in done.stdout.decode(encoding)
    again = ("export", "mine:make", "data", "--name", "ds", "--rename", "数=据")
    assert subprocess.run([str(SCRIPT), *again], cwd=tmp_path, capture_output=True, timeout=200).returncode == 2


@pytest.mark.parametrize("module", ["sklearn", "torch", "keras", "tensorflow", "h5py"])
def test_the_demo_without_a_package(module, main, monkeypatch, tmp_path):
    """Where a package of the demo is missing it says so, and how to install it, before it does anything."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else find(name))
    code, out, err = main("demo", "--out", "out")
    assert (code, out) == (2, "")
    assert err.startswith("torch2tfds: the demo needs ")
    assert err.endswith(': in a clone of torch2tfds, pip install ".[demo]"\n')
    assert not (tmp_path / "out").exists()
