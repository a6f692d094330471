"""Today's exporter still writes the bytes of `tests/golden`, which every other test reads.

What it wrote in earlier format versions is still read: `test_format_versions.py`."""

import consumer_kit as kit
import pytest

pytestmark = [pytest.mark.needs_torch, pytest.mark.needs_tensorflow]


def contents(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.suffix != ".pyc" and path.is_file()
    }


@kit.every_golden
def test_exporter_writes_the_golden_bytes(name, tmp_path):
    """The exporter writes every file of the golden dataset, the generated module included, byte for byte, and no other."""
    if name.startswith("coded_"):
        pytest.skip("its bytes are also those of the zlib and libpng installed; the next test covers it")
    kit.make.publish(tmp_path, name)
    found, expected = contents(tmp_path / name), contents(kit.GOLDEN / name)
    assert sorted(found) == sorted(expected)
    for file, data in expected.items():
        assert found[file] == data, (
            f"{name}/{file} differs; if that is meant, say so in docs/format.md and run tests/golden/make.py"
        )


@kit.both_formats
def test_exporter_writes_the_golden_configs(format, tmp_path):
    """The exporter writes the golden dataset with configs, and what lies beside them, byte for byte, and no other file."""
    kit.make.publish_variants(tmp_path, f"variants_{format}")
    assert contents(tmp_path) == {
        name: data for name, data in contents(kit.GOLDEN).items() if name.startswith(f"variants_{format}")
    }


@kit.both_formats
def test_exporter_writes_the_golden_rows(format, tmp_path):
    """The exporter writes the golden dataset whose rows differ in length byte for byte, and no other file."""
    kit.make.publish_rows(tmp_path, f"rows_{format}")
    assert contents(tmp_path) == {name: data for name, data in contents(kit.GOLDEN).items() if name.startswith(f"rows_{format}")}


@kit.every_golden
def test_exporter_writes_the_golden_values(name, tmp_path):
    """What the exporter writes today comes back as the golden values."""
    from tfds_builder import builder_from_directory, verify

    kit.make.publish(tmp_path, name)
    assert verify(tmp_path / name / "1.0.0").problems == []
    for split, columns in kit.make.truth(name).items():
        assert kit.outcome(builder_from_directory(tmp_path / name / "1.0.0").as_dataset(split=split))[2] == kit.examples(columns)
