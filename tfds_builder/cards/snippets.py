"""Lines that load a version, for every framework there is: what a person copies from its page.

>>> snippets(manifest, "/data")[0].title                     # doctest: +SKIP
'TensorFlow'
"""

from __future__ import annotations

import keyword
import shlex
from typing import NamedTuple

from tfds_builder import formats
from tfds_builder.catalog.describe import describe
from tfds_builder.catalog.location import is_url
from tfds_builder.contract.manifest import Manifest

COPY = "data"
"""What the lines call a copy of a data_dir that is shown by its URL."""
_LISTS = "  # lists of examples, which differ in size"


class Snippet(NamedTuple):
    """Lines of code, and with what they load."""

    title: str
    code: str


def snippets(manifest: Manifest, data_dir: str) -> list[Snippet]:
    """The lines for a version, ready to be run where the data_dir is called that.

    Args:
      manifest: of the version. Its names are put in as Python has them, whatever is in them.
      data_dir: as whoever reads the page calls it. Of a URL, which nothing reads, the lines are for a copy in `COPY`.
    """
    if is_url(data_dir):
        told = f"# {COPY!r} is your copy of {data_dir!r}: URLs are not read\n"
        return [Snippet(title, told + code) for title, code in snippets(manifest, COPY)]
    stored = formats.find(manifest.format)
    split = "train" if "train" in manifest.splits else next(iter(manifest.splits), "train")
    name, version_dir = manifest.tfds_name, "/".join([data_dir.rstrip("/"), *manifest.place])
    column = _first_fixed(manifest)
    supervised = ", as_supervised=True" if manifest.supervised_keys else ""
    features = describe(manifest)
    is_nested = any(feature.note.split(", ")[0] == "Dataset" for feature in features)
    differs = is_nested or any(None in feature.shape for feature in features)
    loader, batch = (f", collate_fn=list){_LISTS}", f", batch_fn=list){_LISTS}") if differs else (")", ")")
    register = f"tfds_builder.register({data_dir!r})\n"
    found = [
        Snippet(
            "TensorFlow",
            "import tensorflow_datasets as tfds, tfds_builder\n\n"
            f"{register}{_variable(split)} = tfds.load({name!r}, split={split!r}{supervised}"
            + (")  # each with datasets in it, which TensorFlow cannot batch" if is_nested else ", batch_size=256)"),
        ),
        Snippet(
            "PyTorch",
            "import tfds_builder\nfrom torch.utils.data import DataLoader\n\n"
            f"{register}dataset = tfds_builder.as_torch({name!r}, {split!r})\n"
            f"loader = DataLoader(dataset, batch_size=256, shuffle=True{loader}",
        ),
        Snippet(
            "Grain (JAX)",
            "import grain, tensorflow_datasets as tfds, tfds_builder\n\n"
            f"{register}source = tfds.data_source({name!r}, split={split!r})\n"
            f"{_variable(split)} = grain.MapDataset.source(source).shuffle(seed=0).batch(256{batch}",
        ),
        Snippet(
            "NumPy",
            "import tensorflow_datasets as tfds, tfds_builder\n\n"
            f"{register}source = tfds.data_source({name!r}, split={split!r})\nexample = source[0]  # any, in any order"
            + (
                ""
                if column is None
                else f"\n\ntable = tfds_builder.Table.of_split({version_dir!r}, {split!r})\n"
                f"columns = table.read(slice(0, 256), [{column!r}])  # many at once, as they are stored"
            ),
        ),
    ]
    file = next((shard.data.file for shard in manifest.splits[split].shards if shard.rows), None) if manifest.splits else None
    outside = None if file is None else stored.read_without_us(version_dir, manifest.columns, split, file)
    if outside is not None:
        found.append(Snippet(*outside))
    return [*found, Snippet("Command line", _command_line(version_dir))]


def _command_line(version_dir: str) -> str:
    path = shlex.quote(version_dir)
    return f"torch2tfds info {path}\ntorch2tfds verify {path}\ntorch2tfds verify --deep {path}  # decodes every value too"


def _first_fixed(manifest: Manifest) -> str | None:
    """A column that holds its values as they are; the supervised target, if it does."""
    names = [column.name for column in manifest.columns if not column.is_variable]
    wanted = [key for key in reversed(manifest.supervised_keys or ()) if key in names]
    return next(iter([*wanted, *names]), None)


def _variable(split: str) -> str:
    """What the split is called in the code."""
    return split if split.isidentifier() and not keyword.iskeyword(split) else "dataset"
