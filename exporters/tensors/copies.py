"""Copies of examples that a `collate_fn` may write into. Only the rows are copied, not the storage they are views of."""

from __future__ import annotations

import copy
import functools
import types
from collections.abc import Callable
from typing import Any

from exporters.aliases import RawValue, Tensor
from exporters.tensors.pytorch import torch_module


def copy_example(value: RawValue, memo: dict[int, object] | None = None) -> RawValue:
    """As `copy.deepcopy`, but a tensor that is a view of a larger storage becomes one of its own size.

    >>> pool = torch.zeros(1_000_000_000)                            # doctest: +SKIP
    >>> copy_example((pool[:5], "text"))                             # 20 bytes, not 4 GB     # doctest: +SKIP

    Tensors are found in lists, tuples, dicts, dataclasses and other plain objects. What is one object in `value` is one object in
    the copy. Of a view of a NumPy array, only the view is copied.

    Args:
      value: an example, or several.
      memo: copies made so far, by the `id` of what they are of.
    """
    memo = {} if memo is None else memo
    if id(value) not in memo:
        memo[id(value)] = _copy(value, memo)
    return memo[id(value)]


def copy_callable(function: object, shared: RawValue) -> RawValue:
    """A copy of a `collate_fn` with copies of what it keeps, in its attributes or in what it closes over.

    What a function keeps in a module's variables is not copied. If something cannot be copied, the function itself is returned.

    Args:
      function: the function, or object that is called.
      shared: what is not to be copied, the dataset: the copy refers to the same one.
    """
    memo = {id(shared): shared}
    try:
        return _copy_callable(function, memo)
    except Exception:  # whatever objects raise that cannot be copied
        return function


def _copy_callable(function: object, memo: dict[int, object]) -> RawValue:
    if isinstance(function, functools.partial):
        args, keywords = copy.deepcopy((function.args, function.keywords), memo)
        return functools.partial(_copy_callable(function.func, memo), *args, **keywords)
    if not isinstance(function, types.FunctionType) or not function.__closure__:
        return copy.deepcopy(function, memo)
    cells = tuple(types.CellType(_copy_callable(cell.cell_contents, memo)) for cell in function.__closure__)
    twin = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__, cells)
    twin.__kwdefaults__, twin.__module__ = function.__kwdefaults__, function.__module__
    return twin


def keeps_nothing(function: object) -> bool:
    """Whether a `collate_fn` is a plain function, which can keep nothing between two calls but in a module's variables."""
    return isinstance(function, types.FunctionType) and not function.__closure__


def _copy(value: RawValue, memo: dict[int, object]) -> RawValue:
    kind: Any = type(value)
    if isinstance(value, torch_module().Tensor):
        return _copy_tensor(value, memo)
    if kind in (list, dict) or _is_plain(value):  # it may hold itself, so it is known before its parts are copied
        memo[id(value)] = twin = kind() if kind in (list, dict) else object.__new__(kind)
        if kind is list:
            twin.extend(copy_example(item, memo) for item in value)
        else:
            into = twin if kind is dict else vars(twin)
            into.update({key: copy_example(item, memo) for key, item in (value if kind is dict else vars(value)).items()})
        return twin
    if isinstance(value, tuple) and (kind is tuple or hasattr(value, "_fields")):
        make: Callable[..., Any] = kind if kind is tuple else kind._make
        return make([copy_example(item, memo) for item in value])
    return copy.deepcopy(value, memo)


def _copy_tensor(tensor: Tensor, memo: dict[int, object]) -> RawValue:
    torch = torch_module()
    if tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized or tensor.is_meta:
        return copy.deepcopy(tensor, memo)
    if tensor.untyped_storage().nbytes() <= tensor.nbytes:
        return copy.deepcopy(tensor, memo)
    with torch.no_grad():
        return tensor.clone().requires_grad_(tensor.requires_grad)


def _is_plain(value: RawValue) -> bool:
    """Whether an object consists of its attributes and nothing else, and has no way of its own to be copied."""
    kind: Any = type(value)
    if not hasattr(value, "__dict__") or isinstance(value, type) or callable(value) or kind.__new__ is not object.__new__:
        return False
    own = ("__reduce__", "__reduce_ex__", "__getstate__")
    is_usual = all(getattr(kind, name) is getattr(object, name) for name in own)
    others = ("__copy__", "__deepcopy__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
    return (
        is_usual
        and not any(hasattr(kind, name) for name in others)
        and not any("__slots__" in vars(base) for base in kind.__mro__)
    )
