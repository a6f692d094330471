"""What the transforms of a dataset say of the floats they make, whichever library they are of."""

import functools

import numpy as np
import torch
from integers_kit import MEAN, STD, Compose, Normalize, ToTensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, Subset, default_collate

from exporters.integers.transforms import known_scales, with_scales
from exporters.options.features import Options

UNIT = ((0.0,), (1.0,))


class Pictures(Dataset):
    def __init__(self, **held):
        self.__dict__ |= held

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.zeros(3, 4, 4)


def scales(collate_fn=None, **held):
    return known_scales([DataLoader(Pictures(**held), collate_fn=collate_fn)])


def test_what_is_found():
    """Mean and std of whatever has them, in datasets that others wrap too, and the plain division of what only divides."""
    normalize = Normalize()
    assert scales(transform=Compose(ToTensor(), normalize)) == ((MEAN, STD), UNIT)
    assert scales(transform=ToTensor()) == (UNIT,)
    whole = ConcatDataset([Subset(Pictures(transform=normalize), [1]), Pictures(transform=ToTensor())])
    assert known_scales([DataLoader(whole)]) == ((MEAN, STD), UNIT)
    whole = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    np.testing.assert_allclose(scales(transform=Normalize(*whole))[1], (MEAN, STD))
    tensors = Normalize()
    tensors.mean, tensors.std = torch.tensor([0.5]), np.array([0.25])
    assert scales(transforms={"image": tensors}) == (((0.5,), (0.25,)), UNIT)

    class Processor:
        image_mean, image_std = None, None

        def __init__(self):
            self.image_mean, self.image_std = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]

    assert scales(image_processor=Processor())[0] == ((0.5,) * 3, (0.5,) * 3)


def test_what_collate_fn_names():
    """What `collate_fn` holds counts as well."""
    normalize = Normalize((0.1,), (0.2,))

    def collate(examples, transform):
        return transform(default_collate(examples))

    assert scales(functools.partial(collate, transform=normalize))[0] == ((0.1,), (0.2,))


def test_what_is_none():
    """Nothing is told by what has no such numbers, or other ones."""
    odd = Normalize()
    odd.std = [0.0, 1.0, 1.0]
    assert scales() == ()
    assert scales(transform=lambda image: image) == ()
    assert scales(transform=odd) == ()


def test_only_where_it_is_asked_for():
    """Without `integers=` nothing is looked at."""
    loader = DataLoader(Pictures(transform=ToTensor()))
    assert with_scales(Options(), [loader]).scales == ()
    assert with_scales(Options(integers=["image"]), [loader]).scales == (UNIT,)
