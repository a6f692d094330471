"""Where a search path is configured, importing this package is all that `tfds.load` needs, and nothing else is changed."""

import pytest

pytestmark = pytest.mark.once

IMPORTS = {
    "TFDS first": "import tensorflow_datasets as tfds, tfds_builder",
    "TFDS last": "import tfds_builder, sys; assert 'tensorflow_datasets' not in sys.modules; import tensorflow_datasets as tfds",
    "register": "import tfds_builder; tfds_builder.register(); import tensorflow_datasets as tfds",
}


@pytest.mark.parametrize("order", IMPORTS)
def test_import_is_enough(order, data_dir, other, toml, variable, run_python):
    """Where a search path is configured, `import tfds_builder` is all that `tfds.load` needs, before or after TFDS's import,
    namespaces included; TFDS is as it would have been."""
    toml(f'[[catalog]]\ndata_dir = "{other}"\nnamespace = "fresh"\n')
    variable(data_dir)
    code = f"""
        {IMPORTS[order]}
        from importlib import resources
        print(tfds.data_source("beta", split="train")[0]["row"])
        print(tfds.builder("fresh:gamma").info.splits["train"].num_examples)
        print(type(tfds.__spec__.loader).__name__, tfds.__loader__ is tfds.__spec__.loader, resources.files(tfds).is_dir())
    """
    assert run_python(code).stdout.splitlines() == ["30", "4", "SourceFileLoader True True"]


def test_import_with_a_file_that_makes_no_sense(toml, run_python):
    """A file that makes no sense is a warning when TFDS is imported, and TFDS still is."""
    toml("[[catalog")
    code = """
        import warnings, tfds_builder
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import tensorflow_datasets as tfds
        told = [str(one.message)[:43] for one in caught if one.category is tfds_builder.DatasetWarning]
        print(told, tfds.core.Version("1.0.0"))
    """
    assert run_python(code).stdout == "['datasets are not found by their names alone'] 1.0.0\n"


def test_nothing_is_hooked_unless_configured(run_python):
    """Without a search path, importing this package changes nothing about imports, and TFDS is told nothing."""
    code = """
        import sys
        before = list(sys.meta_path)
        import tfds_builder
        assert sys.meta_path == before
        from tensorflow_datasets.core import registered
        print([type(one).__module__ for one in registered._DATASET_PROVIDER_REGISTRY])
    """
    module = "tensorflow_datasets.core.registered"
    assert run_python(code).stdout == f"{[module, module]}\n"
