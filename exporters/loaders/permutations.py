"""What PyTorch's own shuffle draws, as arrays: the same indices from the same generators as its iterator gives them one by one.

A list of 100 million integers of Python takes 4 GB and most of a minute; the permutation itself takes 0.8 GB and seconds.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from exporters.aliases import RandomGenerator, Sampler
from exporters.loaders.order import Run
from exporters.tensors.pytorch import torch_module

_CHUNK = 1 << 20
_LARGEST = (2**32 - 1) // 20
"""Longer permutations draw 64-bit numbers (aten/src/ATen/native/TensorFactories.cpp, `randperm_cpu`)."""


@dataclasses.dataclass(frozen=True)
class Shuffle:
    """The batches of `DataLoader(..., shuffle=True)`, or of a BatchSampler over a RandomSampler without replacement.

    Attributes:
      sampler: PyTorch's RandomSampler.
      batch_size, drop_last: of the batches.
    """

    sampler: Sampler
    batch_size: int
    drop_last: bool

    @classmethod
    def of(cls, batches: Sampler) -> Shuffle | None:
        """The shuffle of a batch sampler; None unless it is PyTorch's own, which draws as `runs` does."""
        data = torch_module().utils.data
        if type(batches) is not data.BatchSampler or type(batches.sampler) is not data.RandomSampler:
            return None
        return None if batches.sampler.replacement else cls(batches.sampler, batches.batch_size, batches.drop_last)

    def runs(self) -> Iterator[Run]:
        """The indices in the order in which they are drawn, and how they are cut into batches: runs of whole permutations.

        Draws as `RandomSampler.__iter__` does (torch/utils/data/sampler.py), the permutation after the last index included.
        """
        torch, count = torch_module(), len(self.sampler.data_source)
        generator, total = self.sampler.generator, self.sampler.num_samples
        if generator is None:
            seed = int(torch.empty((), dtype=torch.int64).random_().item())
            generator = torch.Generator()
            generator.manual_seed(seed)
        left = total - total % self.batch_size if self.drop_last else total
        for _ in range(total // count):
            indices = torch.randperm(count, generator=generator).numpy()[:left]
            left -= len(indices)
            yield Run(indices.astype("<i8", copy=False), self.batch_size)
            del indices
        if not total % count:
            _pass_over(generator, count)
            return
        rest = torch.randperm(count, generator=generator).numpy()[: min(left, total % count)]
        yield Run(np.ascontiguousarray(rest.astype("<i8", copy=False)), self.batch_size)


def _pass_over(generator: RandomGenerator, count: int) -> None:
    """Moves a generator on as a permutation of so many does: without one, where that is known to be the same.

    A permutation draws one 32-bit number for each element but the last (aten/src/ATen/native/TensorFactories.cpp,
    `randperm_cpu`); filling a tensor draws them too, in a tenth of the time.
    """
    torch = torch_module()
    if generator.device.type != "cpu" or count > _LARGEST or not _fills_as_it_permutes():
        torch.randperm(count, generator=generator)
        return
    for start in range(0, count - 1, _CHUNK):
        _fill(min(_CHUNK, count - 1 - start), generator)


@functools.cache
def _fills_as_it_permutes() -> bool:
    """Whether this release of PyTorch moves a generator on alike by both."""
    torch, states = torch_module(), []
    for draw in (lambda generator: torch.randperm(1000, generator=generator), lambda generator: _fill(999, generator)):
        generator = torch.Generator().manual_seed(7)
        draw(generator)
        states.append(generator.get_state())
    return bool(torch.equal(*states))


def _fill(count: int, generator: RandomGenerator) -> None:
    torch_module().empty(count, dtype=torch_module().int32).random_(generator=generator)
