"""The generated module: a DatasetBuilder subclass anyone can import to register the dataset."""

from __future__ import annotations

import importlib.resources
import os
import pathlib
import string
import tempfile
from typing import TYPE_CHECKING

from tfds_builder import manifest as manifest_lib

if TYPE_CHECKING:
    from tfds_builder.manifest import Column, Manifest


def module_name(name: str) -> str:
    """Name of the generated file of a dataset: `<name>_dataset_builder.py`."""
    return f"{name}_dataset_builder.py"


def generate(version_dir: str | os.PathLike[str], output: str | os.PathLike[str] | None = None) -> str:
    """Writes the builder module of a published dataset.

    >>> tfds_builder.generate("/data/digits/1.0.0")        # doctest: +SKIP
    '/data/digits/digits_dataset_builder.py'

    Args:
      version_dir: `<data_dir>/<name>/<version>`.
      output: where to write it; `<data_dir>/<name>/<name>_dataset_builder.py` by default, where it
        finds its data by itself.

    Returns:
      Path of the module.

    Raises:
      MissingFileError, ManifestError, DamagedFileError: `version_dir` is no version directory this can read.
      OSError: the module cannot be written there.
    """
    directory = pathlib.Path(version_dir).absolute()
    manifest = manifest_lib.read(directory)
    path = pathlib.Path(output) if output is not None else directory.parent / module_name(manifest.name)
    source = render(manifest)
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".incomplete", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(source)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    return os.fspath(path)


def render(manifest: Manifest) -> str:
    """The module's source. Text of the dataset goes in escaped: it can neither end the docstring nor run."""
    template = importlib.resources.files("tfds_builder").joinpath("dataset_builder.py.tmpl").read_text("utf-8")
    rows = [("feature", "shape", "dtype")] + [_describe(column) for column in manifest.columns]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += ["", "    " + ", ".join(f"{_inert(n)}: {s.examples:,} examples" for n, s in manifest.splits.items())]
    return string.Template(template).substitute(
        name=_inert(manifest.name),
        name_repr=f'"{_inert(manifest.name)}"',
        version=_inert(manifest.version),
        supervised=str(manifest.supervised_keys is not None),
        summary="\n".join(lines),
    )


def _describe(column: Column) -> tuple[str, str, str]:
    return _inert(column.name), str(column.shape), column.dtype


def _inert(text: str) -> str:
    """Text as printable ASCII without quotes or backslashes of its own: harmless in any Python literal."""
    return "".join(c if c.isascii() and c.isprintable() and c not in "\"'\\" else f"<U+{ord(c):04X}>" for c in text)
