"""What the consumer's tests share. Their helpers are in `consumer_kit.py`, which this makes importable."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import pytest


@pytest.fixture(scope="session")
def golden(tmp_path_factory):
    """A copy of the golden datasets that no test changes."""
    import consumer_kit

    data_dir = tmp_path_factory.mktemp("golden")
    for name in consumer_kit.make.names():
        consumer_kit.copy_golden(name, data_dir)
    return data_dir
