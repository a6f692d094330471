"""Datasets are found without a path: what `TORCH2TFDS_PATH` lists and `catalogs.toml` names, whenever a name is asked for."""

import pathlib
import shutil
import subprocess
import sys
import textwrap

import consumer_kit as kit
import pytest
import tensorflow_datasets as tfds

import tfds_builder
from tfds_builder.errors import DatasetWarning, MissingFileError, SearchPathError, UnreadableFileError
from tfds_builder.finding import provider, search_path

pytestmark = pytest.mark.once


def refuses(expected, call=search_path.search_path, kind=SearchPathError):
    """The error's words are checked whole enough to be followed."""
    with pytest.raises(kind) as caught:
        call()
    for part in expected:
        assert part in str(caught.value), caught.value


def test_the_first_directory_wins(data_dir, other, variable, tmp_path):
    """Names are searched in the order of the variable; what is registered comes before; `tfds_builder`'s own readers agree."""
    variable(other, data_dir, tmp_path / "nowhere")
    with pytest.warns(DatasetWarning, match=r"nowhere \(TORCH2TFDS_PATH\) cannot be searched: .*not a directory"):
        assert tfds_builder.register() == ["alpha", "beta", "gamma"]
    assert [kit.first_row(name) for name in ("alpha", "beta", "gamma", "torch2tfds:alpha:1.0.0")] == [70, 30, 80, 70]
    assert tfds_builder.statistics("gamma")["row"].mean == 81.5
    tfds_builder.register(data_dir)
    assert kit.first_row("alpha") == 0


def test_new_datasets_are_seen(data_dir, variable):
    """What is published, and a new version, is found without registering again; what is removed is not, any more."""
    variable(data_dir)
    assert tfds_builder.register() == ["alpha", "beta"]
    kit.write_table(data_dir, "delta", {"train": kit.numbers(4, 50)})
    assert kit.first_row("delta") == 50
    kit.write_table(data_dir, "delta", {"train": kit.numbers(4, 60)}, version="1.1.0")
    assert kit.first_row("delta") == 60
    shutil.rmtree(data_dir / "delta")
    with pytest.raises(tfds.core.DatasetNotFoundError):
        tfds.builder("delta")


def test_a_file_with_namespaces(data_dir, other, toml, variable):
    """The file's directories come after the variable's; a namespace keeps names apart, in `as_torch` and `tfds.load` alike."""
    file = toml(f'[[catalog]]\ndata_dir = "{other}"\n\n[[catalog]]\ndata_dir = "{data_dir}"\nnamespace = "team-1"\n')
    assert tfds_builder.register() == ["alpha", "gamma", "team-1:alpha", "team-1:beta"]
    assert [kit.first_row(name) for name in ("alpha", "team-1:alpha", "team-1:beta:1.2.*")] == [70, 0, 20]
    with pytest.raises(tfds.core.DatasetNotFoundError, match="beta not found"):
        tfds.builder("beta")
    variable(data_dir)
    assert kit.first_row("alpha") == 0
    file.unlink()
    with pytest.raises(tfds.core.DatasetNotFoundError, match=r"team-1:alpha not found\. torch2tfds knows nothing"):
        tfds.load("team-1:alpha")


@pytest.mark.needs_torch
def test_as_torch_without_registering(data_dir, other, toml, variable):
    """`as_torch` finds names of the search path too, also in a namespace that nobody has named before; if not, it says where."""
    toml(f'[[catalog]]\ndata_dir = "{other}"\nnamespace = "fresh"\n')
    variable(data_dir)
    assert int(tfds_builder.as_torch("beta")[0]["row"]) == 30
    assert int(tfds_builder.as_torch("fresh:gamma")[0]["row"]) == 80
    refuses(
        ["'gama' is neither", f"of {data_dir} (TORCH2TFDS_PATH) and {other} as fresh: (", "Did you mean fresh:gamma?"],
        lambda: tfds_builder.as_torch("gama"),
        MissingFileError,
    )


def test_not_found(data_dir, other, variable, tmp_path):
    """A name that nobody has is TFDS's error, and says what is known, which directories were searched, and the nearest name."""
    tfds_builder.register(other)
    variable(data_dir, tmp_path / "nowhere")
    parts = [
        "Dataset bet not found. torch2tfds knows alpha, beta and gamma",
        f"of {other} (registered), {data_dir} (TORCH2TFDS_PATH) and {tmp_path / 'nowhere'} (TORCH2TFDS_PATH), which cannot be",
        "Did you mean beta?",
        "- mnist",  # TFDS's own list
    ]
    refuses(parts, lambda: tfds.load("bet"), tfds.core.DatasetNotFoundError)


def test_nothing_to_say(variable):
    """Where nothing is registered or searched, an unknown name is TFDS's own error alone."""
    with pytest.raises(tfds.core.DatasetNotFoundError) as caught:
        tfds.builder("bet")
    assert "torch2tfds" not in str(caught.value)


def test_a_provider_that_comes_later(data_dir, variable, monkeypatch):
    """Another package's provider is asked before a name is said to be unknown, also if it was added last."""
    from tensorflow_datasets.core import registered

    class Other:
        def has_dataset(self, name):
            return name == "theirs"

        def get_builder_cls(self, name):
            return tfds.builder_cls("mnist")

    monkeypatch.setattr(registered, "_DATASET_PROVIDER_REGISTRY", list(registered._DATASET_PROVIDER_REGISTRY))
    registered.add_dataset_builder_provider(Other())
    variable(data_dir)
    assert tfds.builder_cls("theirs").name == "mnist"
    with pytest.raises(tfds.core.DatasetNotFoundError, match="torch2tfds knows alpha"):
        tfds.builder_cls("nobodys")


def test_links_and_what_is_no_dataset(data_dir, variable):
    """As `register` does, the search passes over links and folders that hold no dataset, and never reads outside of them."""
    (data_dir / "linked").symlink_to(data_dir / "alpha")
    (data_dir / "empty").mkdir()
    variable(data_dir)
    assert [provider.catalog.has_dataset(name) for name in ("linked", "empty", "../catalog/alpha", "alpha/1.0.0", "")] == [
        False
    ] * 5


@pytest.mark.parametrize(("text", "expected"), [
    ("[[catalog", ["catalogs.toml cannot be read: ", "data_dir = "]),
    ("data_dir = '/x'", ["catalogs.toml: data_dir is not understood", "[[catalog]]"]),
    ("catalog = '/x'", ["catalogs.toml: catalog is not understood", "[[catalog]]"]),
    ("catalog = ['/x']", ["[[catalog]] number 1", "got '/x'"]),
    ("[[catalog]]\ndata_dir='/x'\n[[catalog]]\npath='/x'", ["[[catalog]] number 2", "expected a data_dir", "'path'"]),
    ("[[catalog]]\ndata_dir=3", ["expected a data_dir", "got {'data_dir': 3}"]),
    ("[[catalog]]\nnamespace='x'", ["expected a data_dir"]),
    ("[[catalog]]\ndata_dir='x'", ["data_dir 'x' must begin with / or ~"]),
    ("[[catalog]]\ndata_dir='/x'\nnamespace='a:b'", ["namespace 'a:b' may have letters"]),
    ("[[catalog]]\ndata_dir='s3://bucket/x'", ["s3://bucket/x is a URL"]),
    ("[[catalog]]\ndata_dir='/x'\nnamespace='huggingface'", ["catalogs.toml", "'huggingface' is one of TFDS's own"]),
])  # fmt: skip
def test_a_file_that_makes_no_sense(text, expected, toml):
    """A file that names no directories is an error that says where, what it got and what it should be; nothing is guessed."""
    toml(text)
    refuses(expected, tfds_builder.register)


def test_errors_come_when_asked(toml, monkeypatch, data_dir):
    """A file that makes no sense, or may not be read, is an error of whoever asks for a name, and of no one else."""
    file = toml("[[catalog")
    for kind in (SearchPathError, UnreadableFileError):
        refuses([str(file)], lambda: tfds.load("anything"), kind)
        monkeypatch.setattr(pathlib.Path, "read_text", lambda *_: (_ for _ in ()).throw(PermissionError()))
    assert tfds_builder.builder_from_directory(data_dir / "alpha" / "1.0.0").info.splits["train"].num_examples == 4


def test_register_without_anything(toml, variable):
    """`register()` where nothing is named says what could be; a namespace needs a directory."""
    refuses(["TORCH2TFDS_PATH", "catalogs.toml names, neither names any", "register('/data')"], tfds_builder.register)
    refuses(["register(data_dir, namespace='vision')"], lambda: tfds_builder.register(namespace="vision"), ValueError)


def test_where_the_file_is(monkeypatch, tmp_path):
    """`~/.config`, or an absolute `XDG_CONFIG_HOME`, as its specification has it; a user without a home has none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for config, expected in ((str(tmp_path / "x"), tmp_path / "x"), ("x", tmp_path / ".config"), ("", tmp_path / ".config")):
        monkeypatch.setenv("XDG_CONFIG_HOME", config)
        assert search_path.config_file() == expected / "torch2tfds" / "catalogs.toml"
    monkeypatch.setattr(pathlib.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError()))
    assert search_path.config_file() is None
    assert search_path.search_path() == []


def test_relative_directories(data_dir, variable, monkeypatch, run_python, tmp_path):
    """A relative path in the variable is of the directory in which the process began, wherever it goes."""
    variable("catalog")
    code = """
        import os, tfds_builder
        os.chdir("/")
        print(tfds_builder.register())
    """
    assert run_python(code).stdout == "['alpha', 'beta']\n"


def test_home_of_the_user(monkeypatch, toml, data_dir, tmp_path):
    """`~` in the file and in the variable is the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    toml('[[catalog]]\ndata_dir = "~/catalog"\n')
    assert tfds_builder.register() == ["alpha", "beta"]


LOADS = """
    import sys
    def refuse(event, args):
        if event.startswith("socket."):
            print("asked for the network:", event, args, file=sys.stderr)
    sys.addaudithook(refuse)
    import tfds_builder, tensorflow_datasets as tfds
    print(tfds_builder.register(), int(tfds.data_source("beta", split="train")[0]["row"]))
    for name in ("bet", "fresh:gama"):
        try:
            tfds.load(name)
        except tfds.core.DatasetNotFoundError as error:
            print("torch2tfds knows" in str(error))
"""


def test_no_call_leaves_the_machine(data_dir, other, toml, variable, run_python):
    """Finding a name, and not finding one, asks nothing of the network, as Python sees it."""
    toml(f'[[catalog]]\ndata_dir = "{other}"\nnamespace = "fresh"\n')
    variable(data_dir)
    run = run_python(LOADS)
    assert run.stdout.splitlines() == ["['alpha', 'beta', 'fresh:alpha', 'fresh:gamma'] 30", "True", "True"]
    assert "asked for the network" not in run.stderr


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace, a package of the system, is not installed")
def test_no_call_leaves_the_machine_by_strace(data_dir, other, toml, variable, tmp_path):
    """The same as the kernel sees it: no socket but local ones is opened by any thread or child."""
    toml(f'[[catalog]]\ndata_dir = "{other}"\nnamespace = "fresh"\n')
    variable(data_dir)
    log = tmp_path / "strace.log"
    traced = ["strace", "-f", "-qq", "-e", "trace=socket,connect,sendto", "-o", log, sys.executable, "-c"]
    run = subprocess.run([*traced, textwrap.dedent(LOADS)], capture_output=True, text=True, timeout=200)
    assert run.stdout.splitlines()[1:] == ["True", "True"], run.stderr
    assert [line for line in log.read_text().splitlines() if "AF_INET" in line or "AF_NETLINK" in line] == []
