"""Versions of the libraries that decide bytes: in the plan, where something is encoded by them; others are refused."""

from __future__ import annotations

import zlib

import numpy as np
import PIL
import pytest
import tensorflow_datasets as tfds
import torch
from torch.utils.data import DataLoader, Dataset

import exporters
from exporters.features import codecs

F = tfds.features


@pytest.mark.parametrize(("feature", "names"), [
    (F.Image(shape=(4, 4, 3)), ["Pillow", "zlib of Pillow"]),
    (F.Image(shape=(4, 4, 3), encoding_format="jpeg"), ["Pillow", "libjpeg of Pillow"]),
    (F.Sequence({"deep": F.Image(shape=(4, 4, 1))}), ["Pillow", "zlib of Pillow"]),
    (F.Tensor(shape=(3,), dtype=np.float64, encoding="zlib"), ["zlib"]),
    (F.Tensor(shape=(3,), dtype=np.float64, encoding="bytes"), []),
    (F.Text(), []),
])  # fmt: skip
def test_what_decides_bytes(feature, names):
    """Each has the version that is here, and nothing is named that does not matter."""
    found = codecs.codecs_of(F.FeaturesDict({"x": feature, "label": F.ClassLabel(num_classes=2)}))
    assert list(found) == names
    assert found.get("Pillow", PIL.__version__) == PIL.__version__
    assert found.get("zlib", zlib.ZLIB_RUNTIME_VERSION) == zlib.ZLIB_RUNTIME_VERSION
    assert all(found.values())


class Images(Dataset):
    """Does something at its last image."""

    def __init__(self, action=None):
        self.action = action

    def __len__(self):
        return 9

    def __getitem__(self, index):
        if index == 8 and self.action is not None:
            self.action()
        return torch.full((3, 4, 4), index, dtype=torch.uint8)


def export(data_dir, action=None, **options):
    features = {"image": F.Image(shape=(4, 4, 3))}
    loader = DataLoader(Images(action), 2)
    return exporters.export(loader, data_dir, name="ds", features=features, shard_bytes=99, progress=False, **options)


def stop():
    raise RuntimeError("stopped")


@pytest.mark.once
def test_going_on_with_another_version(monkeypatch, tmp_path):
    """A stopped export is not gone on with by a library that makes other bytes: the error names it, and both versions."""
    with pytest.raises(RuntimeError, match="stopped"):
        export(tmp_path, stop, on_hazard="ignore")
    monkeypatch.setattr(PIL, "__version__", "0.1")
    with pytest.raises(exporters.ResumeError, match=r"version of Pillow: [\d.]+, now 0.1; .*overwrite=True"):
        export(tmp_path, on_hazard="ignore")


@pytest.mark.once
def test_a_process_with_another_version(monkeypatch, tmp_path):
    """A process of an engine whose library makes other bytes is refused before it writes any."""
    prepare = exporters.jobs.session.SplitWork.prepare

    def with_another(work, *which):
        monkeypatch.setattr(PIL, "__version__", "0.1")
        prepare(work, *which)

    monkeypatch.setattr(exporters.jobs.session.SplitWork, "prepare", with_another)
    with pytest.raises(exporters.EngineError, match=r"split 'train'.*it has Pillow 0.1, not [\d.]+.*; install there"):
        export(tmp_path, engine="processes", engine_options={"workers": 1, "start_method": "fork"})
    assert not (tmp_path / "ds").exists()
