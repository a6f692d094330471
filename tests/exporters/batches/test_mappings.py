"""Batches are asked for nothing but keys and values: no truth value, length or equality; a loader for no state it has not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

ROWS = 12


class Strict(Mapping):
    """A mapping that has keys and values, and refuses everything else."""

    def __init__(self, **parts):
        self.parts = parts

    def __getitem__(self, key):
        return self.parts[key]

    def keys(self):
        return self.parts.keys()

    def __iter__(self):
        raise RuntimeError("iterates over rows")

    def __len__(self):
        raise RuntimeError("has no length")

    def __bool__(self):
        raise RuntimeError("has no truth value")

    def __eq__(self, other):
        raise RuntimeError("is compared element by element")

    __hash__ = None


def row(index):
    return {"image": torch.full((3, 8, 8), index, dtype=torch.uint8), "y": index, "sub": {"z": torch.full((2,), index)}}


def strict(value):
    return Strict(**{key: strict(part) if isinstance(part, dict) else part for key, part in value.items()})


def stack(rows):
    parts = torch.utils.data.default_collate(rows)
    return strict(parts)


LOADERS = {
    "batches": lambda: DataLoader([row(index) for index in range(ROWS)], batch_size=4, collate_fn=stack),
    "rows": lambda: DataLoader([strict(row(index)) for index in range(ROWS)], batch_size=4, collate_fn=list),
    "ready": lambda: DataLoader([stack([row(k) for k in range(i, i + 4)]) for i in (0, 4, 8)], batch_size=None, collate_fn=same),
}


def same(item):
    return item


@pytest.mark.parametrize("make", LOADERS)
def test_mappings_of_any_kind(make, publish, read_back):
    """A mapping that has neither truth value nor length, and iterates over something else, is exported as the dict it is."""
    found = read_back(publish(LOADERS[make](), on_hazard="ignore"))
    assert found["y"].tolist() == found["image"][:, 0, 0, 0].tolist() == found["sub/z"][:, 1].tolist() == list(range(ROWS))
    assert found["image"].shape == (ROWS, 8, 8, 3)


@pytest.mark.parametrize("make", ["batches", "rows", "ready", "default"])
def test_tensordict(make, publish, read_back):
    """tensordict's TensorDict is exported as the dict it is, as a batch and as a row."""
    tensordict = pytest.importorskip("tensordict")
    rows = [tensordict.TensorDict({**row(index), "y": torch.tensor(index)}, batch_size=[]) for index in range(ROWS)]
    loaders = {
        "batches": DataLoader(rows, batch_size=4, collate_fn=torch.stack),
        "rows": DataLoader(rows, batch_size=4, collate_fn=list),
        "ready": DataLoader([torch.stack(rows[i : i + 4]) for i in (0, 4, 8)], batch_size=None, collate_fn=same),
        "default": DataLoader(torch.stack(rows), batch_size=4, collate_fn=same),
    }
    found = read_back(publish(loaders[make], on_hazard="ignore"))
    assert found["y"].tolist() == found["image"][:, 0, 0, 0].tolist() == found["sub/z"][:, 1].tolist() == list(range(ROWS))


# --- states ---------------------------------------------------------------------------------------


class Stream(IterableDataset):
    """Rows that stop once."""

    def __init__(self, switch):
        self.switch = switch

    def __iter__(self):
        for index in range(40):
            if index == 33 and self.switch.stops:
                raise RuntimeError("stopped")
            yield torch.full((50,), index)


class Switch:
    stops = False


class WithoutState(DataLoader):
    """What accelerate's prepared loaders are: the methods are there, the state is not."""

    def __iter__(self):
        yield from super().__iter__()

    def state_dict(self):
        return self.dl_state_dict

    def load_state_dict(self, state):
        raise AttributeError("load_state_dict")


class Unsaved(WithoutState):
    """A state that cannot be written down."""

    def state_dict(self):
        return {"lambda": lambda: 0}


class Refusing(WithoutState):
    """A state that is given and not taken back."""

    def state_dict(self):
        return {"rows": 0}


@pytest.mark.parametrize("kind", [WithoutState, Unsaved, Refusing])
def test_a_state_that_cannot_be_had(kind, goes_on, publish, read_back):
    """A loader whose state cannot be had, written down or put back is a stream without one: it is run past what is done."""
    switch = Switch()
    result = goes_on(lambda path: publish(kind(Stream(switch), batch_size=4), data_dir=path, shard_bytes=5000), switch)
    assert read_back(result)["features"][:, 0].tolist() == list(range(40))


def test_accelerate(publish, read_back):
    """A loader that accelerate prepared is exported."""
    accelerate = pytest.importorskip("accelerate")
    loader = accelerate.Accelerator(cpu=True).prepare(DataLoader([row(index) for index in range(ROWS)], batch_size=4))
    assert read_back(publish(loader, on_hazard="ignore"))["y"].tolist() == list(range(ROWS))
