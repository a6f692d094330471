"""LeRobot's own datasets, whose images are always float32: exported frame by frame and in windows, and every float back.

`tox run -e lerobot` installs what this needs; elsewhere it is passed over.
"""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

lerobot = pytest.importorskip("ledataset.datasets.lerobot_dataset")
torch = pytest.importorskip("torch")
tfds = pytest.importorskip("tensorflow_datasets")

from torch.utils.data import DataLoader  # noqa: E402

import exporters  # noqa: E402
import tfds_builder  # noqa: E402

CAMERA, EPISODES, STEPS = "observation.images.top", 2, 12
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": (6,), "names": None},
    "action": {"dtype": "float32", "shape": (3,), "names": None},
    "next.done": {"dtype": "bool", "shape": (1,), "names": None},
}
WINDOWS = {CAMERA: [-0.1, 0.0], "action": [0.0, 0.1, 0.2]}
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "integers.md"


@pytest.fixture(scope="module", params=["image", "video"])
def root(request, tmp_path_factory):
    """A dataset as LeRobot makes it: images in a table, or a video a camera."""
    directory = tmp_path_factory.mktemp("lerobot") / "toy"
    camera = {"dtype": request.param, "shape": (96, 128, 3), "names": ["height", "width", "channels"]}
    dataset = lerobot.LeRobotDataset.create(
        "me/toy",
        fps=10,
        features={**FEATURES, CAMERA: camera},
        root=directory,
        robot_type="toy",
        use_videos=request.param == "video",
    )
    rows, columns = np.mgrid[:96, :128]
    draw = np.random.default_rng(0)
    for episode in range(EPISODES):
        for step in range(STEPS):
            image = np.stack([columns * 2 + step * 5, rows * 2 + episode * 40, rows + columns + step * 3], axis=-1) % 256
            numbers = {
                name: draw.normal(size=FEATURES[name]["shape"]).astype(np.float32) for name in ("observation.state", "action")
            }
            done = np.array([step == STEPS - 1])
            dataset.add_frame({**numbers, "next.done": done, CAMERA: image.astype(np.uint8), "task": "pick the cube"})
        dataset.save_episode()
    dataset.finalize()
    return directory


@pytest.mark.parametrize("windows", [None, WINDOWS])
def test_every_float_comes_back(windows, root, tmp_path):
    """What stock TFDS reads is uint8; restored, and by `as_torch`, it is what LeRobotDataset gives, and so is all else."""
    dataset = lerobot.LeRobotDataset("me/toy", root=root, delta_timestamps=windows)
    result = exporters.export(
        DataLoader(dataset, batch_size=8), tmp_path, name="toy", integers={CAMERA: (0, 1)}, progress=False, on_hazard="ignore"
    )
    assert result.examples == {"train": EPISODES * STEPS}
    assert any(text.endswith("float32 images, stored as the uint8 they came from: x/255") for text in result.decisions)
    stock, back = tfds.builder_from_directory(result.path), tfds_builder.as_torch(result.path)
    ds = stock.as_dataset(split="train")
    assert ds.element_spec[CAMERA].dtype == "uint8"
    assert ds.element_spec[CAMERA].shape == ((2,) if windows else ()) + (96, 128, 3)
    for number, example in enumerate(ds.map(tfds_builder.restore(stock)).as_numpy_iterator()):
        given = dataset[number]
        assert example[CAMERA].dtype == np.float32
        assert np.array_equal(np.moveaxis(example[CAMERA], -1, -3), given[CAMERA].numpy())
        assert back[number].keys() == given.keys()
        for name, value in given.items():
            assert torch.equal(back[number][name], value) if isinstance(value, torch.Tensor) else back[number][name] == value


def test_the_page(root, tmp_path):
    """The script of docs/integers.md runs as it stands, and is no longer than it says."""
    (script,) = [block.partition("```")[0] for block in PAGE.read_text().split("```python\n") if "LeRobotDataset" in block]
    assert len(script.splitlines()) <= 40
    tmp_path.joinpath("toy").symlink_to(root)
    tmp_path.joinpath("script.py").write_text(script)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "frames TensorSpec(shape=(96, 128, 3), dtype=tf.uint8" in done.stdout
    assert "windows TensorSpec(shape=(2, 96, 128, 3), dtype=tf.uint8" in done.stdout
