"""What cannot be stored is refused with its place, in words of ours, and what the error says to do works."""

from __future__ import annotations

import decimal
import fractions
import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader

import exporters
from exporters import ExportError, LoaderError, SchemaError

F = tfds.features
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*(nested tensors|MaskedTensors|Sparse CSR|complex32|ComplexHalf|prototype|quantized).*"
)


def export(rows, data_dir, format="tfrecord", collate_fn=list, **options):
    loader = DataLoader([{"x": row} for row in rows], batch_size=2, collate_fn=collate_fn)
    return exporters.export(loader, data_dir, name="ds", format=format, progress=False, on_hazard="ignore", **options)


def masked():
    return torch.masked.masked_tensor(torch.ones(3), torch.tensor([True, False, True]))


class Wrapper(torch.Tensor):
    """A subclass whose values PyTorch does not hand out as an array."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.numpy:
            raise RuntimeError("no array of this")
        return super().__torch_function__(func, types, args, kwargs or {})


TENSORS = {
    "complex32": lambda: torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex32),
    "float8": lambda: torch.ones(3).to(torch.float8_e4m3fn),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "csr": lambda: torch.eye(3).to_sparse_csr(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.quint8),
    "wrapper": lambda: torch.ones(3).as_subclass(Wrapper),
    "datetime": lambda: np.array(["2020-01-01"], "M8[D]"),
    "longdouble": lambda: np.ones(2, np.longdouble),
}


@pytest.mark.parametrize("name", TENSORS)
def test_the_mend_works(name, format, tmp_path):
    """What cannot be stored as it is, is refused with its place, and what the error says to do with `x` works."""
    with pytest.raises(LoaderError, match=r"split 'train', batch 0: 'x' ") as caught:
        export([TENSORS[name]() for _ in range(4)], tmp_path / "refused", format)
    assert not (tmp_path / "refused").exists()
    mend = re.search(r"convert it in collate_fn(?:, for example)?:? (x\.[^,]*|torch\.tensor\(.*\))", str(caught.value))
    assert mend is not None, str(caught.value)
    rows = [eval(mend[1], {"torch": torch, "numpy": np, "x": TENSORS[name]()}) for _ in range(4)]
    assert export(rows, tmp_path / "data", format).examples == {"train": 4}
    if name == "complex32":  # the imaginary part is kept
        assert rows[0].tolist() == [1 + 2j, 3 - 4j]


REFUSED = {
    "masked": (masked, "get_mask"),
    "meta": (lambda: torch.ones(3, device="meta"), "no values"),
    "fraction": (lambda: fractions.Fraction(1, 3), "float(x)"),
    "decimal": (lambda: decimal.Decimal("1.5"), "str(x)"),
    "structured": (lambda: np.zeros(2, [("a", "i4")]), "fields as features"),
    "a set": (lambda: {1, 2}, "a set"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_its_place(name, format, tmp_path):
    """What has no form that could be stored is refused with split, batch and feature, and nothing is left behind."""
    make, words = REFUSED[name]
    with pytest.raises(ExportError, match=r"split 'train', (batch 0: |first batch: feature )'x' ") as caught:
        export([make() for _ in range(4)], tmp_path / "data", format)
    assert words in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_nested_tensors_in_a_list(format, tmp_path, read_back):
    """An example that is a nested tensor is a sequence of its parts, of either layout."""
    for layout in (torch.strided, torch.jagged):
        rows = [torch.nested.nested_tensor([torch.arange(2.0), torch.arange(n + 1.0)], layout=layout) for n in range(4)]
        result = export(rows, tmp_path / str(layout), format)
        assert read_back(result)["x/ragged_flat_values"].values.tolist() == [v for n in range(4) for v in [0, 1, *range(n + 1)]]


def test_arrays_of_numpys_strings(format, tmp_path, read_back):
    """NumPy's strings of variable width are text."""
    rows = [np.array(["a", "日本"], np.dtypes.StringDType())] * 4
    assert read_back(export(rows, tmp_path, format))["x"].tolist() == [[b"a", "日本".encode()]] * 4


def test_images_that_no_reader_takes(format, tmp_path):
    """The bytes of a GIF are refused for an Image: TensorFlow reads them as several frames."""
    gif = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
    with pytest.raises(SchemaError, match=r"feature 'x', row 0: the bytes are not those of a JPEG, PNG or BMP file"):
        export([gif] * 4, tmp_path / "data", format, features={"x": F.Image(shape=(None, None, 3))})
    assert not (tmp_path / "data").exists()


@pytest.mark.needs_tensorflow
def test_samples_for_a_feature_that_stores_files(format, tmp_path):
    """Samples are refused for an Audio that stores the files of sounds, and leaving lazy_decode out works."""
    rows = [np.arange(n) for n in (3, 5, 2, 4)]
    with pytest.raises(SchemaError, match=r"feature 'x': with lazy_decode=True.*leave lazy_decode out"):
        export(rows, tmp_path / "refused", format, features={"x": F.Audio(file_format="wav", lazy_decode=True)})
    export(rows, tmp_path / "data", format, features={"x": F.Audio()})


def test_without_assertions(run_python, monkeypatch, tmp_path):
    """Under `python -O`, which leaves out every `assert`, wrong input is refused as ever."""
    monkeypatch.setenv("PYTHONOPTIMIZE", "1")
    code = """
        import json, operator, pathlib, sys
        import numpy as np, tensorflow_datasets as tfds, torch
        from torch.utils.data import DataLoader
        import exporters, tfds_builder

        assert False, "never run"
        F = tfds.features

        def export(*batches, **options):
            loader = DataLoader(list(batches), collate_fn=operator.itemgetter(0))
            return exporters.export(loader, sys.argv[1], **{"name": "ds", "progress": False, **options})

        def without_index():
            path = pathlib.Path(export({"text": ["a", "bc"]}, name="text").path)
            manifest = json.loads((path / "manifest.json").read_text())
            del manifest["splits"][0]["shards"][0]["index"]
            (path / "manifest.json").write_text(json.dumps(manifest))
            tfds_builder.as_torch(path)[0]

        x = torch.zeros(2, 3)
        cases = [
            lambda: exporters.export([1, 2], sys.argv[1], name="ds"),
            lambda: export({"x": x}, {"x": x.double()}),
            lambda: export({"x": x}, {"x": x[:, :2]}),
            lambda: export({"x": x}, {"y": x}),
            lambda: export({"x": [torch.zeros(1), torch.zeros(2)]}, features={"x": F.Tensor(shape=(2,), dtype=np.float32)}),
            lambda: export({"x": [[1, 2], [3]]}, features={"x": F.ClassLabel(num_classes=4)}),
            lambda: export({"x": x}, features={"x": F.ClassLabel(num_classes=4)}),
            lambda: export({"x": x}, {"x": ["a", "b"]}),
            lambda: export({"x": ["a", "b"]}, {"x": x}),
            lambda: export({"x": x}, features={"x": F.Sequence(F.Text())}),
            lambda: export({"x": x}, shard_bytes="1"),
            lambda: export({"x": x}, on_hazard="warm"),
            without_index,
        ]
        for case in cases:
            try:
                case()
                print("taken")
            except (exporters.ExportError, tfds_builder.DatasetError) as error:
                print(type(error).__name__)
                print(error, file=sys.stderr)
    """
    done = run_python(code, tmp_path / "data")
    told = done.stdout.split()
    assert told == ["LoaderError", *["SchemaError"] * 9, "ArgumentError", "ArgumentError", "ManifestError"], done.stderr
