"""What tests of `integers=` share: images of integers, and the pipelines that make floats of them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch

ROWS, BATCH = 24, 8
"""Images, and those of a batch."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def of_channels(numbers):
    return torch.tensor(numbers)[:, None, None]


class ToTensor:
    """As torchvision's."""

    def __call__(self, image):
        return image.float().div(255)


class Normalize:
    """As torchvision's, of what `ToTensor` gives."""

    def __init__(self, mean=MEAN, std=STD):
        self.mean, self.std = list(mean), list(std)

    def __call__(self, image):
        return (image - of_channels(self.mean)) / of_channels(self.std)


class Compose:
    def __init__(self, *transforms):
        self.transforms = transforms

    def __call__(self, image):
        for transform in self.transforms:
            image = transform(image)
        return image


def pixels(rows=ROWS, lowest=0, highest=255, shape=(3, 8, 8), dtype=np.uint8):
    """Images of integers, each of which has the lowest and the highest in all channels."""
    images = np.random.default_rng(3).integers(lowest, highest, (rows, *shape), endpoint=True).astype(dtype)
    images[..., 0, :2] = lowest, highest
    return images


PIPELINES = {
    "ToTensor": ToTensor(),
    "Normalize": Compose(ToTensor(), Normalize()),
    "x/127.5 - 1": lambda x: x.float() / 127.5 - 1,
    "times a reciprocal": lambda x: x.float() * (1 / 255),
    "2x - 1": lambda x: x.float() / 255 * 2 - 1,
    "whole": lambda x: (x.float() - of_channels(MEAN) * 255) / (of_channels(STD) * 255),
    "mean only": lambda x: x.float() - of_channels((103.939, 116.779, 123.68)),
    "128": lambda x: (x.float() - 127.5) / 128,
    "float64": lambda x: (x.double() / 255 - of_channels(MEAN).double()) / of_channels(STD).double(),
    "in float64": lambda x: ((x.double() / 255 - 0.1307) / 0.3081).float(),
    "float16": Compose(ToTensor(), Normalize(), torch.Tensor.half),
    "bfloat16": Compose(ToTensor(), torch.Tensor.bfloat16),
    "turned round": lambda x: 1 - (255 - x.int()).float() / 255,
    "x/256": lambda x: x.float() / 256,
}


def to_numpy(tensor):
    """A tensor of any dtype of floats as an array."""
    return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16) if tensor.dtype == torch.bfloat16 else tensor.numpy()


def floats_of(name, images):
    """What a pipeline makes of images, one batch of them, as an array."""
    return to_numpy(torch.stack([PIPELINES[name](torch.from_numpy(image)) for image in images]))
