"""What importing the consumer loads. Which module may import what is in tests/test_house.py."""

import pathlib

import tfds_builder

PACKAGE = pathlib.Path(tfds_builder.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts) for path in PACKAGE.rglob("*.py") if path.stem != "__init__"
)
GRAPH = ("readers.decode_graph", "readers.restore_graph", "readers.tf_data")
"""Modules that import TensorFlow, when a dataset is made."""
HEAVY = ("torch", "tensorflow", "h5py", "exporters", "jax", "pandas", "sklearn")


def test_imports_are_light(run_python):
    """Importing tfds_builder, and then every module of it but those, loads neither TensorFlow nor torch nor h5py."""
    code = """
        import importlib, sys
        for name in sys.argv[1:]:
            importlib.import_module(name)
            print(name, *{module.partition(".")[0] for module in sys.modules})
    """
    names = ["tfds_builder", *(f"tfds_builder.{name}" for name in MODULES if name not in GRAPH)]
    assert set(GRAPH) <= set(MODULES)
    lines = run_python(code, *names).stdout.splitlines()
    assert [line.split()[0] for line in lines] == names
    for line in lines:
        name, *loaded = line.split()
        assert not set(loaded) & set(HEAVY), name


def test_public_names(run_python):
    """Every name in `__all__` is there, and the package alone loads not even TFDS."""
    code = """
        import sys, tfds_builder
        assert "tensorflow_datasets" not in sys.modules and "numpy" not in sys.modules
        for name in tfds_builder.__all__:
            assert getattr(tfds_builder, name).__module__.startswith("tfds_builder"), name
        assert sorted(tfds_builder.__all__) == tfds_builder.__all__
        assert "tensorflow" not in sys.modules
        try:
            tfds_builder.nonsense
        except AttributeError as error:
            print(error)
    """
    assert "nonsense" in run_python(code).stdout


def test_as_torch_without_torch(tmp_path, run_python):
    """Where PyTorch is not installed, `as_torch` says so and how to mend it; importing it does not need it."""
    import consumer_kit as kit

    directory = kit.copy_golden("pairs_hdf5", tmp_path / "catalog")
    code = """
        import sys
        sys.modules["torch"] = None
        from tfds_builder import *
        try:
            as_torch(sys.argv[1])
        except ImportError as error:
            print(error)
    """
    told = 'as_torch needs PyTorch: in a clone of torch2tfds, pip install ".[torch]"\n'
    assert run_python(code, directory).stdout == told


def test_reads_without_torch_or_h5py(tmp_path, run_python):
    """Both formats are registered, verified and read in a process in which torch, h5py and exporters cannot be imported."""
    import consumer_kit as kit

    for name in kit.make.names():
        kit.copy_golden(name, tmp_path / "catalog")
    code = """
        import sys
        for package in ("torch", "h5py", "exporters"):
            sys.modules[package] = None
        import tensorflow_datasets as tfds, tfds_builder
        for name in tfds_builder.register(sys.argv[1]):
            count = len(list(tfds.load(name, split="train", shuffle_files=True)))
            print(name, count, tfds_builder.verify(f"{sys.argv[1]}/{name}/1.0.0").problems)
    """
    lines = run_python(code, tmp_path / "catalog").stdout.splitlines()
    assert lines == [f"{name} {kit.make.DATASETS[name.split('_')[0]]['rows']['train']} []" for name in sorted(kit.make.names())]
