"""A real browser is started only when it is asked for: it needs packages that nothing else here does."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tfds_builder"))


def pytest_ignore_collect(collection_path, config):
    """Leaves this directory's tests out without `--browser`."""
    return True if collection_path.suffix == ".py" and not config.getoption("--browser") else None
