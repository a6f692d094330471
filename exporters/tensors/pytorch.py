"""PyTorch, imported when it is first needed, and its tensors as NumPy arrays."""

from __future__ import annotations

import functools

import numpy as np

from exporters.aliases import Tensor, TorchDType
from exporters.errors import LoaderError, MissingDependencyError
from exporters.tensors.arrays import shown
from tfds_builder.aliases import Array, Package
from tfds_builder.install import how_to_install


@functools.cache
def torch_module() -> Package:
    """torch, imported when it is first needed.

    Raises:
      MissingDependencyError: it is not installed.
    """
    try:
        import torch
        import torch.utils.data
    except ImportError as error:
        raise MissingDependencyError(f"exporting needs PyTorch: {how_to_install('torch')}") from error
    return torch


def is_tensor(value: object) -> bool:
    """Whether a value is a tensor of PyTorch's."""
    return isinstance(value, torch_module().Tensor)


def tensor_to_numpy(tensor: Tensor, path: str, where: str) -> Array:
    """A tensor of any device, layout in memory and autograd state as a NumPy view of its values."""
    torch = torch_module()
    try:
        if tensor.is_cpu and not (tensor.requires_grad or tensor.is_conj() or tensor.is_neg()) and tensor.dtype in plain_dtypes():
            plain: Array = tensor.numpy()  # as it nearly always is: the calls below cost more than a small batch
            return plain
        tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
        if tensor.dtype == torch.bfloat16:
            import ml_dtypes

            bits: Array = tensor.view(torch.int16).numpy()
            return bits.view(ml_dtypes.bfloat16)
        array: Array = tensor.numpy()
    except (TypeError, RuntimeError, NotImplementedError):  # whatever kind of tensor it is that has none
        what, mend = _refusal(tensor)
        raise LoaderError(f"{where}: {shown(path)} {what}; {mend}") from None
    return array


def integers_to_tensor(array: Array) -> Tensor:
    """An array of uint8 or uint16 as a tensor of the same memory; one of uint16 as int16, which PyTorch always had."""
    return torch_module().from_numpy(array if array.itemsize == 1 else array.view(np.int16))


def integers_of_tensor(tensor: Tensor) -> Array:
    """The inverse of `integers_to_tensor`."""
    array: Array = tensor.numpy()
    return array if array.itemsize == 1 else array.view(np.uint16)


def _refusal(tensor: Tensor) -> tuple[str, str]:
    """Why a tensor cannot be had as an array, and what to do about it in `collate_fn`."""
    torch, kind = torch_module(), type(tensor)
    if tensor.is_meta:
        return "is a meta tensor, which has no values", "leave it out of the batch, or make it on a device"
    if tensor.layout in (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc):
        return f"is a {tensor.layout} tensor", "convert it in collate_fn: x.to_dense()"
    if tensor.is_quantized:
        return "is a quantized tensor", "convert it in collate_fn: x.dequantize()"
    if "MaskedTensor" in kind.__name__:
        return "is a masked tensor", "give its values and its mask as two features: x.get_data(), x.get_mask()"
    if hasattr(tensor, "full_tensor"):
        return f"is a {kind.__name__}", "convert it in collate_fn: x.full_tensor()"
    dtype = str(tensor.dtype)
    if tensor.dtype == torch.complex32:
        return f"has dtype {dtype}, which TFDS cannot decode", "convert it in collate_fn: x.to(torch.complex64)"
    if "float" in dtype and tensor.dtype not in plain_dtypes():
        return f"has dtype {dtype}, which TFDS cannot decode", "convert it in collate_fn: x.to(torch.float32)"
    if tensor.dtype not in plain_dtypes():
        return f"has dtype {dtype}, which TFDS cannot decode", "convert it in collate_fn, for example x.to(torch.uint8)"
    return f"is a {kind.__name__}, which has no .numpy()", "convert it in collate_fn: torch.tensor(x.tolist())"


@functools.cache
def plain_dtypes() -> frozenset[TorchDType]:
    """Dtypes that PyTorch and NumPy share."""
    torch = torch_module()
    names = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64", "complex128")
    return frozenset(getattr(torch, name) for name in names)
