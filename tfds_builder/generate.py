"""What lies beside the versions of a dataset: a module anyone can import to register it, and which config is the default."""

from __future__ import annotations

import contextlib
import importlib.resources
import json
import os
import pathlib
import secrets
import string
from typing import TYPE_CHECKING

from tfds_builder import location
from tfds_builder import manifest as manifest_lib
from tfds_builder.describe import describe
from tfds_builder.errors import DatasetError, ManifestError
from tfds_builder.files import read_limited
from tfds_builder.install import how_to_install
from tfds_builder.listing import list_configs
from tfds_builder.validators import parse_json

if TYPE_CHECKING:
    from tfds_builder.manifest import Manifest


_DEFAULT_CONFIG = pathlib.Path(".config", "metadata.json")
"""Where stock TFDS, which has no list of configs, looks for the default one (`dataset_builder.load_default_config_name`)."""
_TRIES = 10


def module_name(name: str) -> str:
    """Name of the generated file of a dataset: `<name>_dataset_builder.py`."""
    return f"{name}_dataset_builder.py"


def generate(version_dir: str | os.PathLike[str], output: str | os.PathLike[str] | None = None) -> str:
    """Writes the builder module of a published dataset, and beside it which config is the default, if it has configs.

    >>> tfds_builder.generate("/data/digits/1.0.0")        # doctest: +SKIP
    '/data/digits/digits_dataset_builder.py'

    Args:
      version_dir: `<data_dir>/<name>/<version>` or `<data_dir>/<name>/<config>/<version>`.
      output: where to write it; `<data_dir>/<name>/<name>_dataset_builder.py` by default, where it
        finds its data by itself: one module for all configs and versions.

    Returns:
      Path of the module.

    Raises:
      MissingFileError, ManifestError, DamagedFileError: `version_dir` is no version directory this can read.
      OSError: the module cannot be written there.
    """
    directory = pathlib.Path(version_dir).absolute()
    manifest = manifest_lib.read(directory)
    if manifest.config_name and directory.parent.name != manifest.config_name:
        raise ManifestError(location.explain_misplaced(directory, manifest.place))
    dataset_dir = directory.parents[len(manifest.place) - 2]
    path = pathlib.Path(output) if output is not None else dataset_dir / module_name(manifest.name)
    _replace(path, render(manifest))
    if output is None:
        _note_default_config(dataset_dir)
    return os.fspath(path)


def _replace(path: pathlib.Path, text: str) -> None:
    """Writes a file by one rename."""
    partial = path.parent / f".{path.name}.{secrets.token_hex(8)}.incomplete"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask, as every new file
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def _note_default_config(dataset_dir: pathlib.Path) -> None:
    """Says which config stock TFDS shall take for the default, or nothing if there are versions without a config.

    It looks again after it has written: of several exports at once, the last to write has then seen what all published.
    """
    path = dataset_dir / _DEFAULT_CONFIG
    if path.parent.is_symlink():
        return
    for _ in range(_TRIES):
        default = next((config for config, versions in list_configs(dataset_dir).items() if versions), "")
        if _noted_default_config(path) == default:
            return
        if default:
            path.parent.mkdir(exist_ok=True)
            _replace(path, json.dumps({"default_config_name": default}))
        else:
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # not empty: somebody else has something there
                path.parent.rmdir()


def _noted_default_config(path: pathlib.Path) -> str | None:
    """The config that the file names; "" if there is no file, None if it makes no sense."""
    if not os.path.lexists(path):
        return ""
    try:
        name = parse_json(read_limited(path, 10_000), 100, os.fspath(path))["default_config_name"]
    except (DatasetError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def render(manifest: Manifest) -> str:
    """The module's source. Text of the dataset goes in escaped: it can neither end the docstring nor run."""
    template = importlib.resources.files("tfds_builder").joinpath("dataset_builder.py.tmpl").read_text("utf-8")
    features = [(_inert(f.name), str(f.shape), _inert(f.dtype), _inert(f.note)) for f in describe(manifest)]
    rows = [("feature", "shape", "dtype", ""), *features]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["    " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += ["", "    " + ", ".join(f"{_inert(n)}: {s.examples:,} examples" for n, s in manifest.splits.items())]
    load_name, holds = _inert(manifest.name), f"version {_inert(manifest.version)}"
    if manifest.config_name:
        load_name, holds = f"{load_name}/{_inert(manifest.config_name)}", f"config {_inert(manifest.config_name)}, {holds}"
    return string.Template(template).substitute(
        name=_inert(manifest.name),
        name_repr=f'"{_inert(manifest.name)}"',
        load_repr=f'"{load_name}"',
        published="published config and version" if manifest.config_name else "published version",
        holds=holds,
        supervised=str(manifest.supervised_keys is not None),
        summary="\n".join(lines),
        install=how_to_install("tensorflow"),
    )


def _inert(text: str) -> str:
    """Text as printable ASCII without quotes or backslashes of its own: harmless in any Python literal."""
    return "".join(c if c.isascii() and c.isprintable() and c not in "\"'\\" else f"<U+{ord(c):04X}>" for c in text)
