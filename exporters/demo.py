"""`torch2tfds demo`: the whole job on real images, in well under two minutes.

Scikit-learn's digits (1,797 images that its wheel carries) leave a PyTorch DataLoader in both
formats, come back through `tfds.load`, are compared element by element with the loader, and train
a small Keras model each.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import time

import numpy as np

from exporters.aliases import Loader, Tensor
from exporters.errors import MissingDependencyError
from exporters.outcome import Export
from tfds_builder.aliases import Array
from tfds_builder.install import how_to_install

_TRAIN = 1437
_BATCH = 64
_EPOCHS = 15
_GOAL = 0.95
_PACKAGES = {"torch": "PyTorch", "sklearn": "scikit-learn", "h5py": "h5py", "tensorflow": "TensorFlow", "keras": "Keras"}


def make_loaders() -> dict[str, Loader]:
    """Train and test DataLoaders of the digits: pairs of 1x8x8 uint8 images and labels."""
    import torch
    from torch.utils.data import DataLoader

    return {
        "train": DataLoader(
            _Digits(train=True), batch_size=_BATCH, shuffle=True, num_workers=2, generator=torch.Generator().manual_seed(0)
        ),
        "test": DataLoader(_Digits(train=False), batch_size=_BATCH, num_workers=2),
    }


class _Digits:
    """A map-style dataset as torchvision makes them: `(image, label)` items and `.classes`."""

    classes = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

    def __init__(self, *, train: bool) -> None:
        import torch
        from sklearn.datasets import load_digits

        digits = load_digits()
        part = slice(None, _TRAIN) if train else slice(_TRAIN, None)
        order = np.random.default_rng(0).permutation(len(digits.images))[part]
        self._images = torch.from_numpy((digits.images[order, None] * 15.9375).astype(np.uint8))  # 0..16 -> 0..255
        self._labels = digits.target[order].tolist()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._images[index], self._labels[index]


def run(out: pathlib.Path) -> int:
    """Runs the demo; returns the exit code (0 if everything held).

    Raises:
      MissingDependencyError: a package it needs is missing; nothing was done.
    """
    from exporters.export import export
    from exporters.options.card import Card

    _check_packages()
    card = Card(
        description="8x8 images of handwritten digits.",
        homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        license="CC BY 4.0",
    )
    for loader in make_loaders().values():
        next(iter(loader))  # imports and forks once, so that the rates below are of the export alone
    exported, rates = dict[str, Export](), dict[str, float]()
    for format in ("tfrecord", "hdf5"):
        print(f"\n== exporting to {format}", flush=True)
        start = time.perf_counter()
        name = f"digits_{format}"
        exported[format] = export(make_loaders(), out, name=name, format=format, card=card, overwrite=True)
        rates[format] = sum(exported[format].examples.values()) / (time.perf_counter() - start)
    originals = {split: _collect(loader) for split, loader in make_loaders().items()}
    print("\n== loading back with tfds.load", flush=True)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    results = {format: _check_and_train(out, f"digits_{format}", originals) for format in exported}
    print("\n" + _summary(exported, rates, results, out))
    return 0 if all(same and accuracy >= _GOAL for same, accuracy, _ in results.values()) else 1


def _check_packages() -> None:
    missing = [package for module, package in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingDependencyError(f"the demo needs {', '.join(missing)}: {how_to_install('demo')}")


def _collect(loader: Loader) -> tuple[Array, Array]:
    """What a loader gives: images and labels, as NumPy arrays."""
    batches = [(images.numpy(), labels.numpy()) for images, labels in loader]
    return tuple(np.concatenate(part) for part in zip(*batches, strict=True))  # type: ignore[return-value]


def _check_and_train(out: pathlib.Path, name: str, originals: dict[str, tuple[Array, Array]]) -> tuple[bool, float, float]:
    """Whether `tfds.load` gives back every element; test accuracy of a model; examples/s read."""
    import tensorflow_datasets as tfds

    import tfds_builder

    tfds_builder.register(out)
    same = True
    next(iter(tfds.load(name, split="train")))  # TensorFlow starts up
    start = time.perf_counter()
    for split, (images, labels) in originals.items():
        loaded = list(tfds.as_numpy(tfds.load(name, split=split, as_supervised=True)))
        same &= len(loaded) == len(labels)
        for (image, label), original, expected in zip(loaded, images, labels, strict=True):
            same &= image.dtype == original.dtype and np.array_equal(image, original.transpose(1, 2, 0)) and label == expected
    rate = sum(len(labels) for _, labels in originals.values()) / (time.perf_counter() - start)
    print(f"{name}: every element {'equals' if same else 'DIFFERS FROM'} what the DataLoader gave", flush=True)
    return same, _train(name), rate


def _train(name: str) -> float:
    """Trains a small Keras model on the train split; returns its accuracy on the test split."""
    import keras
    import tensorflow_datasets as tfds

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, activation="relu", padding="same"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, activation="relu", padding="same"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(2e-3), loss=loss, metrics=["accuracy"])
    model.fit(
        tfds.load(name, split="train", as_supervised=True).shuffle(2048).batch(_BATCH), epochs=_EPOCHS, shuffle=False, verbose=0
    )
    _, accuracy = model.evaluate(tfds.load(name, split="test", as_supervised=True, batch_size=256), verbose=0)
    print(f"{name}: test accuracy {accuracy:.3f}", flush=True)
    return float(accuracy)


def _summary(
    exported: dict[str, Export], rates: dict[str, float], results: dict[str, tuple[bool, float, float]], out: pathlib.Path
) -> str:
    """The table at the end, and how to load the data elsewhere."""
    lines = [
        "| format   | exported/s | loaded one by one/s | bytes   | same as loader | accuracy | where |",
        "|----------|-----------:|--------------------:|--------:|----------------|---------:|-------|",
    ]
    for format, result in exported.items():
        same, accuracy, read = results[format]
        lines.append(
            f"| {format:8} | {rates[format]:10,.0f} | {read:19,.0f} | {result.bytes:7,} | {'yes' if same else 'NO':14} "
            f"| {accuracy:8.3f} | {result.path} |"
        )
    lines += [
        "",
        "Load it on any machine with TensorFlow:",
        "",
        "    import tensorflow_datasets as tfds, tfds_builder",
        f"    tfds_builder.register({os.fspath(out.absolute())!r})",
        '    train = tfds.load("digits_tfrecord", split="train", as_supervised=True, batch_size=64)',
    ]
    return "\n".join(lines)
