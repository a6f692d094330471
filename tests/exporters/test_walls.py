"""What importing the producer loads. Which room may import which is in tests/test_house.py."""

import pathlib

import exporters

PACKAGE = pathlib.Path(exporters.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py") if not path.stem.startswith("__")
)
OF_A_FORMAT = ("formats.hdf5",)
"""Modules that import h5py, when a format is asked for."""
HEAVY = ("torch", "tensorflow", "h5py", "keras", "jax", "pandas")


def test_imports_are_light(run_python):
    """Importing exporters, and then every module of it but those, loads no framework and no h5py: those wait to be needed."""
    code = """
        import importlib, sys
        for name in sys.argv[1:]:
            importlib.import_module(name)
            print(name, *{module.partition(".")[0] for module in sys.modules})
    """
    names = ["exporters", *(f"exporters.{name}" for name in MODULES if name not in OF_A_FORMAT)]
    assert set(OF_A_FORMAT) <= set(MODULES)
    lines = run_python(code, *names).stdout.splitlines()
    assert [line.split()[0] for line in lines] == names
    for line in lines:
        name, *loaded = line.split()
        assert not set(loaded) & set(HEAVY), name
