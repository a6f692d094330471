"""Nothing is published until it is whole, and whatever happens before leaves nothing behind."""

from __future__ import annotations

import errno
import operator
import os
import pathlib
import signal
import socket
import subprocess
import sys
import traceback

import pytest
from producer_kit import ITEMS as X
from producer_kit import Failing, MyError, raise_my_error
from torch.utils.data import DataLoader, IterableDataset

import exporters
import tfds_builder
from exporters import AlreadyPublishedError, DataDirError
from exporters.staging import stage as staging

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:nothing is published under")]  # which is what is to be seen


def test_errors_of_the_loader(format, refuses):
    """What the dataset raises arrives as it was raised, with the line that raised it, and nothing is published."""
    error = refuses(DataLoader(Failing(raise_my_error)), MyError, "of the dataset", format=format, shard_bytes=50)
    assert error.code == 7
    assert "raise_my_error" in "".join(traceback.format_exception(error))


def test_errors_of_workers(run_python, tmp_path):
    """What a worker raises arrives with its own type and the worker's traceback, and nothing is published."""
    source = """
        import os, sys, traceback, exporters
        from torch.utils.data import DataLoader
        class MyError(Exception): pass
        class Failing(list):
            def __getitem__(self, index):
                if index == 5:
                    raise MyError("of the worker")
                return index
        try:
            exporters.export(DataLoader(Failing(range(9)), num_workers=2), sys.argv[1], name="ds", progress=False)
        except MyError:
            print(traceback.format_exc(), flush=True)
            os._exit(0)  # torch would wait ten seconds for its workers
    """
    done = run_python(source, tmp_path / "data")
    assert 'raise MyError("of the worker")' in done.stdout
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError])
def test_exceptions_that_are_no_error(kind, format, refuses):
    """Ctrl-C and its kin pass through and publish nothing."""

    def leave():
        raise kind("now")

    refuses(DataLoader(Failing(leave)), kind, "now", format=format)


def test_a_worker_that_is_killed(run_python, tmp_path):
    """A worker that dies ends the export (torch raises out of a signal handler, anywhere), and the next one goes through."""
    source = """
        import os, signal, sys, exporters, tfds_builder
        from torch.utils.data import DataLoader
        class Deadly(list):
            def __getitem__(self, index):
                return os.kill(os.getpid(), signal.SIGKILL) if index == 5 else index
        for workers in (1, 1, 1, 0):
            try:
                data = DataLoader((Deadly if workers else list)(range(9)), num_workers=workers)
                result = exporters.export(data, sys.argv[1], name="ds", progress=False)
                print("published with", workers, "workers:", tfds_builder.verify(result.path).problems, flush=True)
            except Exception as error:  # RuntimeError, OSError, EOFError: as torch happens to notice it
                assert "another export" not in str(error), error
                print("failed", flush=True)
        os._exit(0)  # torch would wait for the dead
    """
    assert run_python(source, tmp_path / "data").stdout == "failed\n" * 3 + "published with 0 workers: []\n"
    assert sorted(os.listdir(tmp_path / "data" / "ds")) == ["1.0.0", "ds_dataset_builder.py"]


def test_an_interrupted_cleanup(publish, loader_of, tmp_path, monkeypatch):
    """Ctrl-C while an export cleans up after itself does not lock this process out of the version."""

    def rmdir(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", rmdir)
        with pytest.raises(KeyboardInterrupt):
            publish(DataLoader(Failing(raise_my_error)), data_dir=tmp_path)
    assert tfds_builder.verify(publish(loader_of(X), data_dir=tmp_path).path).problems == []
    assert sorted(os.listdir(tmp_path / "ds")) == ["1.0.0", "ds_dataset_builder.py"]


@pytest.mark.parametrize("at", range(4))
def test_an_error_at_any_batch(at, format, refuses):
    """Whichever batch fails, in whichever shard and split, nothing of the export is left."""

    class Stream(IterableDataset):
        def __iter__(self):
            yield from [{"x": X}] * at
            raise MyError(f"at {at}")

    bad = DataLoader(Stream(), collate_fn=operator.itemgetter(0))
    refuses(
        {"train": DataLoader([{"x": X}] * 2, collate_fn=operator.itemgetter(0)), "test": bad},
        MyError,
        f"at {at}",
        format=format,
        shard_bytes=320,
    )
    refuses(bad, MyError, f"at {at}", format=format, shard_bytes=320)


def nothing_or_whole(data_dir, expected):
    """Whether a data_dir holds the version; asserts that it is whole and one of those expected."""
    version = data_dir / "ds" / "1.0.0"
    if version.exists():
        assert tfds_builder.verify(version).problems == []
        assert (version / "manifest.json").read_bytes() in expected
    return version.exists()


FAULTS = [
    (os, "fsync"),
    (os, "rename"),
    (os, "open"),
    (os, "mkdir"),
    (os, "unlink"),
    (os, "listdir"),
    (os, "rmdir"),
]


@pytest.mark.filterwarnings("ignore:.*is published, but not its builder module")
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("function", FAULTS, ids=lambda function: function[1])
def test_an_operating_system_that_fails(function, overwrite, format, publish, loader_of, tmp_path, monkeypatch):
    """Whichever call into the operating system fails, the version is old, new or absent; the next export succeeds."""
    owner, name = function
    real, calls, data = getattr(owner, name), [], loader_of({"x": X, "t": ["a"] * 8})
    options = {"format": format, "shard_bytes": 10**6, "overwrite": overwrite}
    new = (pathlib.Path(publish(data, **options).path) / "manifest.json").read_bytes()
    old = (pathlib.Path(publish(loader_of({"x": X[:3]})).path) / "manifest.json").read_bytes()

    def fail_at(count):
        def call(*args, **kwargs):
            calls.append(args)
            if len(calls) == count:
                raise OSError(errno.EIO, "made to fail")
            return real(*args, **kwargs)

        return call

    for count in range(1, 100):
        data_dir = tmp_path / str(count)
        if overwrite:
            publish(loader_of({"x": X[:3]}), data_dir=data_dir)
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail_at(count))
            try:
                publish(data, data_dir=data_dir, **options)
            except (OSError, UserWarning) as error:  # the warning: published, but the module beside it could not be written
                assert "made to fail" in str(error)  # noqa: PT017 (the last round does not raise)
        published = nothing_or_whole(data_dir, [old, new])
        assert published or not overwrite
        publish(data, data_dir=data_dir, **{**options, "overwrite": True})
        assert sorted(os.listdir(data_dir / "ds")) == ["1.0.0", "ds_dataset_builder.py"]
        if len(calls) < count:
            break
    else:
        pytest.fail("the export never came to an end")
    assert published


def test_a_full_disk(run_python, tmp_path):
    """Where a file cannot grow any more, the export says so and leaves nothing."""
    source = """
        import operator, os, resource, sys, torch, exporters
        from torch.utils.data import DataLoader
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        data = DataLoader([torch.zeros(1000, 100)] * 20, collate_fn=operator.itemgetter(0))
        for format in ("tfrecord", "hdf5"):
            try:
                exporters.export(data, sys.argv[1], name="ds", format=format, progress=False)
            except (OSError, RuntimeError) as error:  # a RuntimeError of h5py's
                print("File too large" in str(error), os.path.exists(sys.argv[1]))
    """
    done = run_python(source, tmp_path / "data")
    assert done.stdout == "True False\n" * 2, done.stderr


def test_an_existing_version_is_refused_unread(publish, loader_of, tmp_path, tree):
    """An existing version is refused before the loader is asked for anything, and stays as it was."""
    publish(loader_of(X), data_dir=tmp_path)
    before = tree(tmp_path)
    with pytest.raises(AlreadyPublishedError, match="overwrite=True"):
        publish(DataLoader(Failing(raise_my_error), sampler=[5]), data_dir=tmp_path)
    assert tree(tmp_path) == before


HOLD = """
    import operator, os, signal, sys, torch, exporters
    from torch.utils.data import DataLoader, IterableDataset
    class Stream(IterableDataset):
        def __iter__(self):
            yield from [torch.zeros(2, 3)] * 5
            {action}
    loader = DataLoader(Stream(), collate_fn=operator.itemgetter(0), num_workers=int(sys.argv[3]))
    exporters.export(loader, sys.argv[1], name="ds",
                     format=sys.argv[2], shard_bytes=40, progress=False)
"""


def test_a_version_that_is_being_written(publish, loader_of, tmp_path, tree):
    """While one process writes a version another is told so and touches nothing; once it is killed its stage is taken over."""
    script = tmp_path / "hold.py"
    script.write_text("if True:" + HOLD.format(action='print("holding", flush=True); sys.stdin.read()'))
    command = [sys.executable, str(script), str(tmp_path / "data"), "tfrecord", "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path) as holder:
        assert holder.stdout.readline() == b"holding\n"
        who = rf"process {holder.pid} on {socket.gethostname()}, since \d{{4}}-"
        with pytest.raises(DataDirError, match=rf"another export \({who}.*\) is writing .*1\.0\.0\.incomplete"):
            publish(loader_of(X), data_dir=tmp_path / "data")
        publish(loader_of(X), data_dir=tmp_path / "data", version="2.0.0")
        left = sorted(os.listdir(tmp_path / "data" / "ds" / "1.0.0.incomplete"))
        holder.kill()
    assert len(left) > 3
    assert not (tmp_path / "data" / "ds" / "1.0.0").exists()
    publish(loader_of(X), data_dir=tmp_path / "data", overwrite=True)
    publish(loader_of(X), data_dir=tmp_path / "clean")
    assert tree(tmp_path / "data" / "ds" / "1.0.0") == tree(tmp_path / "clean" / "ds" / "1.0.0")
    assert sorted(os.listdir(tmp_path / "data" / "ds")) == ["1.0.0", "2.0.0", "ds_dataset_builder.py"]


def test_workers_that_outlive_their_process(publish, loader_of, tmp_path):
    """Once the process that writes a version is killed, its workers, busy as they may be, keep nobody from writing it."""
    script = tmp_path / "hold.py"
    script.write_text("if True:" + HOLD.format(action='print("busy", flush=True); import time; time.sleep(100)'))
    command = [sys.executable, str(script), str(tmp_path / "data"), "tfrecord", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, start_new_session=True) as holder:
        try:
            assert holder.stdout.readline() == b"busy\n"
            holder.kill()
            holder.wait()
            result = publish(loader_of(X), data_dir=tmp_path / "data", overwrite=True)
            os.killpg(holder.pid, 0)  # the worker is still there
        finally:
            os.killpg(holder.pid, signal.SIGKILL)
    assert tfds_builder.verify(result.path).problems == []


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c(workers, run_python, tmp_path):
    """SIGINT in the middle of an export ends the process as KeyboardInterrupt, and says how to go on."""
    action = "os.kill(os.getppid() if int(sys.argv[3]) else os.getpid(), signal.SIGINT); yield from [torch.zeros(2, 3)] * 10**7"
    done = run_python(HOLD.format(action=action), tmp_path / "data", "tfrecord", workers, exit_code=None)
    assert done.returncode == -2, done.stderr
    assert "KeyboardInterrupt" in done.stderr
    assert "run the same export again to go on" in done.stderr
    assert tfds_builder.register(tmp_path / "data") == []


def test_a_killed_export_publishes_nothing(run_python, tmp_path, format, publish, loader_of):
    """SIGKILL leaves a stage that no reader sees, and another export of the version takes its place if it is told to."""
    done = run_python(HOLD.format(action="os.kill(os.getpid(), 9)"), tmp_path / "data", format, 0, exit_code=None)
    assert done.returncode == -9
    assert sorted(os.listdir(tmp_path / "data" / "ds")) == ["1.0.0.incomplete", "1.0.0.resume"]
    assert tfds_builder.register(tmp_path / "data") == []
    with pytest.raises(exporters.ResumeError, match="overwrite=True"):
        publish(loader_of(X), format, data_dir=tmp_path / "data")
    result = publish(loader_of(X), format, data_dir=tmp_path / "data", overwrite=True)
    assert tfds_builder.verify(result.path).problems == []
    assert sorted(os.listdir(tmp_path / "data" / "ds")) == ["1.0.0", "ds_dataset_builder.py"]


def test_a_stage_leaves_what_is_not_its_own(tmp_path):
    """Leaving a stage removes the directories it made, and none that holds something else or was there before."""
    (tmp_path / "old").mkdir()
    with staging.Stage(tmp_path / "old" / "new", "ds", "1.0.0", overwrite=False) as stage:
        (stage.path.parent / "theirs").touch()
    assert os.listdir(tmp_path / "old" / "new" / "ds") == ["theirs"]
    with staging.Stage(tmp_path / "old" / "x" / "y", "ds", "1.0.0", overwrite=False):
        pass
    assert os.listdir(tmp_path / "old") == ["new"]
