"""States of loaders: taken after each shard, put back to go on from there, and left as they were."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Iterator, Mapping
from typing import Any

from exporters.aliases import Loader
from exporters.loaders.facts import is_torchdata, twin_of
from exporters.tensors.pytorch import torch_module


def state_of(loader: Loader) -> bytes | None:
    """The `state_dict` of a loader; None if it says nothing of the dataset (torchdata would read a stream from its start),
    or cannot be had."""
    try:
        state = loader.state_dict()
        if is_torchdata(type(loader).__iter__) and not _holds_dataset(state):
            return None
        stream = io.BytesIO()
        torch_module().save(state, stream)
    except Exception:  # a class may have the method, and its objects no state: then it is a stream without one
        return None
    return stream.getvalue()


def _holds_dataset(state: object) -> bool:
    """Whether a state of torchdata's loader, of any number of workers, holds that of a dataset or of its iterator."""
    if not isinstance(state, Mapping):
        return False
    own = (state.get(prefix + key) for prefix in ("", "_") for key in ("dataset_state", "dataset_iter_state"))
    return any(value is not None for value in own) or any(map(_holds_dataset, state.values()))


def restore_state(loader: Loader, content: bytes) -> bool:
    """Puts a loader into a state that `state_of` gave; False if that takes more than tensors and plain values. Runs no code
    found in it."""
    try:
        loader.load_state_dict(torch_module().load(io.BytesIO(content), weights_only=True))
    except Exception:  # torch's own, and others, where it is no tensor or plain value; the loader's own where it takes none
        return False
    return True


@contextlib.contextmanager
def state_kept(loader: Loader) -> Iterator[Loader]:
    """Gives a loader that may be put into another state in place of the given one, which has a state of its own. Afterwards the
    given loader and its dataset are as they were before.

    torchdata's loader has a twin; another is used itself, and put back into the state it was in.
    """
    has_twin = is_torchdata(getattr(type(loader), "__iter__", None))
    used: Loader = twin_of(loader, _iterator=None, _initial_iter_for_state_dict=False) if has_twin else loader
    owners = [loader.dataset] if has_twin else [loader, loader.dataset]
    attributes, states = dict(getattr(loader.dataset, "__dict__", {})), list[tuple[Any, Any]]()
    for owner in owners:
        with contextlib.suppress(Exception):  # what has no state needs not be put back
            states.append((owner, copy.deepcopy(owner.state_dict())))
    try:
        yield used
    finally:
        if has_twin:
            used._iterator = None  # with its workers
        for owner, state in states:
            with contextlib.suppress(Exception):  # it may take no state that is no iteration's
                owner.load_state_dict(state)
        if attributes:
            vars(loader.dataset).clear()
            vars(loader.dataset).update(attributes)
