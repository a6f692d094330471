"""What every test shares: a quiet TensorFlow, Hypothesis without deadlines, Python in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import hypothesis
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

hypothesis.settings.register_profile("suite", deadline=None, max_examples=40)  # timing never decides a test
hypothesis.settings.load_profile("suite")


def pytest_addoption(parser):
    parser.addoption("--endurance", action="store_true", help="run the tests marked endurance too (many minutes)")
    parser.addoption("--write-compatibility", action="store_true", help="write docs/tfds_compatibility.md, don't compare it")


def pytest_collection_modifyitems(config, items):
    """Leaves the endurance tests out unless they are asked for, whatever -m says."""
    if config.getoption("--endurance"):
        return
    left_out = [item for item in items if item.get_closest_marker("endurance")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("endurance")]


@pytest.fixture
def run_python(tmp_path):
    """`run_python(code, *args)`: runs code in a fresh interpreter, in an empty directory, so that the installed package
    is what it imports. Returns the finished process; asserts that it exited with `code` (None: whatever it did)."""

    def run(source, *args, exit_code=0):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(source))
        command = [sys.executable, str(script), *map(str, args)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert exit_code is None or done.returncode == exit_code, done.stdout + done.stderr
        return done

    return run
