"""What every test shares: a quiet TensorFlow, Hypothesis without deadlines, an fsync that does not wait, Python in a process
of its own, and the table of docs/reliability.md, which a run with `--endurance` writes."""

from __future__ import annotations

import functools
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

if missing := [module for module in ("hypothesis", "pytest_timeout") if importlib.util.find_spec(module) is None]:
    told = 'in a clone of torch2tfds, pip install ".[test]"'
    pytest.exit(f"the tests need {', '.join(missing)}, not installed here: {told}", returncode=4)

import hypothesis

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

hypothesis.settings.register_profile("suite", deadline=None, max_examples=40)  # timing never decides a test
hypothesis.settings.load_profile("suite")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background: processes of tests would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--endurance", action="store_true", help="run the tests marked endurance too (many minutes)")
    parser.addoption("--kills", type=int, default=100, help="how many processes of each engine --endurance kills (100)")
    parser.addoption("--kills-seed", type=int, help="of what is drawn of such kills: which, and when; printed by each run")
    parser.addoption(
        "--peers", action="store_true", help="run TFDS's own tests of its features too; tox -e peers has what they need"
    )
    parser.addoption("--browser", action="store_true", help="run the tests in a browser too; tox -e browser has what they need")
    parser.addoption("--write-compatibility", action="store_true", help="write docs/tfds_compatibility.md, don't compare it")


def pytest_collection_modifyitems(config, items):
    """Leaves the endurance tests out unless they are asked for, whatever -m says."""
    if config.getoption("--endurance"):
        return
    left_out = [item for item in items if item.get_closest_marker("endurance")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("endurance")]


@pytest.fixture(scope="session", autouse=True)
def fsync_that_does_not_wait(request):
    """No test cuts the power, so none can tell whether the disk was waited for, which is most of the time that a small export
    takes (it fsyncs twenty times). That fsync is called, and when, is tested (`test_stage`, `test_resume`, `test_disk`);
    processes that tests start, and runs with `--endurance`, do wait."""
    with pytest.MonkeyPatch.context() as patch:
        if not request.config.getoption("--endurance"):
            patch.setattr(os, "fsync", os.fstat)  # which, too, refuses what is no open file
        yield


@pytest.fixture(scope="session", autouse=True)
def no_search_path(tmp_path_factory):
    """No test finds the datasets of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TORCH2TFDS_PATH", raising=False)
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(autouse=True)
def own_catalog():
    """What a test registers is forgotten after it, in every namespace: tests of both packages run in one process."""
    before = {namespace: dict(catalog.builders) for namespace, catalog in known_catalogs().items()}
    yield
    for namespace, catalog in known_catalogs().items():
        catalog._builders = before.get(namespace, {})


def known_catalogs():
    """The catalogs of this process; none before it has asked for any."""
    provider = sys.modules.get("tfds_builder.finding.provider")
    return {} if provider is None else provider._catalogs


RELIABILITY = pathlib.Path(__file__).parents[1] / "docs" / "reliability.md"
BEGIN, END = "<!-- endurance: begin -->", "<!-- endurance: end -->"
FAULTS = (
    "killed at a random instant", "a process killed, engine `processes`", "a process killed, engine `ray`",
    "a process killed, engine `beam`", "a process killed, ranks of an array job",
    "a process killed, engine `processes`, a stream in parts", "a disk that fails", "a bit flipped", "a file cut off",
    "a hostile manifest", "a hostile shard or index", "hostile records",
)  # fmt: skip
"""The rows of the table, in order."""


def read_table(text):
    """What comes before the table, its rows by their first cell, and what comes after it."""
    before, _, rest = text.partition(BEGIN)
    table, _, after = rest.partition(END)
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.startswith("| ") and "---" not in line}
    return before, {fault: rows[fault] for fault in FAULTS if fault in rows}, after


@pytest.fixture
def endurance():
    """`endurance(amount, fault, tried, lost, text)`: prints what came of a kind of fault; the whole amount goes to
    docs/reliability.md, in place of the row that is there."""

    def report(amount, fault, tried, lost, text):
        row = f"| {fault} | {tried:,} | {tried - lost:,} | {lost:,} | {text} |"
        print(f"\n  {row}", file=sys.stderr)
        assert fault in FAULTS
        if amount == "whole":
            before, rows, after = read_table(RELIABILITY.read_text())
            rows[fault] = row
            table = ["| fault | tried | survived | lost | what happened |", "|---|---|---|---|---|"]
            table += [rows[fault] for fault in FAULTS if fault in rows]
            RELIABILITY.write_text(before + "\n".join([BEGIN, *table, END]) + after)

    return report


@pytest.fixture(scope="session")
def run_python_in():
    """`run_python_in(directory, code, *args)`: runs code in a fresh interpreter, in an empty directory, so that the installed
    package is what it imports. Returns the finished process; asserts that it exited with `code` (None: whatever it did)."""

    def run(directory, source, *args, exit_code=0):
        script = directory / "script.py"
        script.write_text(textwrap.dedent(source))
        command = [sys.executable, str(script), *map(str, args)]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=200)
        assert exit_code is None or done.returncode == exit_code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def run_python(run_python_in, tmp_path):
    """`run_python(code, *args)`: the same in the test's own directory."""
    return functools.partial(run_python_in, tmp_path)
