"""The datasets that others wrap are found, each once, also where they hold each other."""

import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from exporters.loaders.datasets import datasets_of


class Wrapper:
    def __init__(self, **held):
        self.__dict__.update(held)


def test_what_is_wrapped():
    """Subset, ConcatDataset and anything with `dataset`, `datasets` or `datapipe` give what they wrap; nothing else does."""
    inner, other = TensorDataset(torch.zeros(1)), TensorDataset(torch.zeros(1))
    whole = Wrapper(dataset=Subset(ConcatDataset([inner, inner]), []), transform=other)
    assert [item for item in datasets_of(whole) if isinstance(item, TensorDataset)] == [inner]
    assert list(datasets_of(Wrapper(datapipe=other)))[1] is other


def test_what_holds_itself():
    """A circle of datasets comes to an end."""
    one, two = Wrapper(), Wrapper()
    one.dataset, two.dataset = two, one
    assert list(datasets_of(one)) == [one, two]
