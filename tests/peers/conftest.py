"""TFDS's own tests are collected only when they are asked for: they need packages that nothing else here does."""


def pytest_ignore_collect(collection_path, config):
    """Leaves this directory's tests out without `--peers`."""
    return True if collection_path.suffix == ".py" and not config.getoption("--peers") else None
