"""Tensors as arrays: whatever their layout in memory, and whatever stands for their values."""

from __future__ import annotations

import pytest
import torch

X = torch.arange(7 * 6, dtype=torch.float32).reshape(7, 2, 3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_memory_formats(dtype, memory, format, round_trip, assert_same):
    """An image batch comes back channels-last whatever its memory format."""
    images = torch.arange(5 * 3 * 4 * 6).reshape(5, 3, 4, 6).to(dtype).contiguous(memory_format=memory)
    assert_same(round_trip(images, format=format), {"image": images.permute(0, 2, 3, 1).contiguous()})


def test_lazy_conjugate_and_negative(format, round_trip, assert_same):
    """A tensor whose conjugation or sign is only a flag comes back as the values it stands for."""
    numbers = torch.complex(X, X)
    batch = {"conj": numbers.conj(), "neg": numbers.conj().imag}
    assert batch["conj"].is_conj()
    assert batch["neg"].is_neg()
    assert_same(round_trip(batch, format=format), {"conj": torch.complex(X, -X), "neg": -X})
