"""The directories that are searched for names that are not registered: `TORCH2TFDS_PATH`, and the user's `catalogs.toml`."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import tomllib

from tfds_builder.aliases import JsonObject
from tfds_builder.catalog import location
from tfds_builder.contract.directory import Directory
from tfds_builder.errors import SearchPathError, UnreadableFileError

VARIABLE = "TORCH2TFDS_PATH"
NAMESPACE = re.compile(r"[A-Za-z0-9_-]+")
try:
    _BEGAN_IN = pathlib.Path.cwd()
except FileNotFoundError:  # it was removed
    _BEGAN_IN = pathlib.Path()
"""What relative paths of the variable are of: a process that goes elsewhere still finds what it found."""
_KEYS = {"data_dir", "namespace"}
_EXAMPLE = '[[catalog]]\ndata_dir = "/data/vision"\nnamespace = "vision"'
"""What the file holds; the namespace may be left out."""


@dataclasses.dataclass(frozen=True)
class Searched:
    """A directory of datasets that is searched.

    Attributes:
      data_dir: absolute; it need not exist.
      namespace: what stands before the colon of its names, or "".
      named_by: the variable, or the file, that names it.
    """

    data_dir: Directory
    namespace: str
    named_by: str

    def __str__(self) -> str:
        known_as = f" as {self.namespace}:" if self.namespace else ""
        return f"{self.data_dir}{known_as} ({self.named_by})"


def config_file() -> pathlib.Path | None:
    """Where the user's file is looked for: `~/.config/torch2tfds/catalogs.toml`; None for a user without a home.

    `XDG_CONFIG_HOME` takes the place of `~/.config`, if it is absolute (XDG Base Directory Specification).
    """
    config = os.environ.get("XDG_CONFIG_HOME", "")
    try:
        directory = pathlib.Path(config) if os.path.isabs(config) else pathlib.Path.home() / ".config"
        return directory / "torch2tfds" / "catalogs.toml"
    except RuntimeError:
        return None


def is_configured() -> bool:
    """Whether there is anything to search: quick, and never an error."""
    file = config_file()
    return bool(os.environ.get(VARIABLE)) or (file is not None and os.path.exists(file))


def search_path() -> list[Searched]:
    """What is searched, in this order: the directories of `TORCH2TFDS_PATH`, and those of the file.

    Both are read whenever this is called, so that a change is seen without a restart.

    Raises:
      SearchPathError: the file is no TOML, or says something else than data_dirs; the message has the file and an example.
      UnreadableFileError: this user may not read it.
    """
    given = [text for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]
    found = [Searched(_directory(text, VARIABLE, ""), "", VARIABLE) for text in given]
    return found + _read_file()


def _read_file() -> list[Searched]:
    """What the user's file names, in its order; nothing where there is none."""
    file = config_file()
    if file is None:
        return []
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return []
    except PermissionError as error:
        raise UnreadableFileError.of(file) from error
    except (OSError, ValueError) as error:  # a TOMLDecodeError and a UnicodeDecodeError are ValueErrors
        raise SearchPathError(f"{file} cannot be read: {error}. It holds, for each directory:\n{_EXAMPLE}") from error
    catalogs = content.get("catalog", [])
    if content.keys() - {"catalog"} or not isinstance(catalogs, list):
        other = ", ".join(sorted(content.keys() - {"catalog"})) or "catalog"
        raise SearchPathError(f"{file}: {other} is not understood. It holds, for each directory:\n{_EXAMPLE}")
    return [_entry(one, f"{file}, [[catalog]] number {number}", str(file)) for number, one in enumerate(catalogs, 1)]


def _entry(given: JsonObject, where: str, file: str) -> Searched:
    """One table of the file."""
    texts = isinstance(given, dict) and all(isinstance(text, str) for text in given.values())
    if not texts or given.keys() - _KEYS or not given.get("data_dir"):
        raise SearchPathError(f"{where}: expected a data_dir and perhaps a namespace (got {given!r:.200}), as in\n{_EXAMPLE}")
    namespace = given.get("namespace", "")
    if "namespace" in given and not NAMESPACE.fullmatch(namespace):
        raise SearchPathError(f"{where}: namespace {namespace!r} may have letters, digits, - and _, as in\n{_EXAMPLE}")
    return Searched(_directory(given["data_dir"], where, "a relative path would depend on where you are"), namespace, file)


def _directory(text: str, where: str, refuse_relative: str) -> Directory:
    """A directory as it was written: `~` is the user's home."""
    if location.is_url(text):
        raise SearchPathError(f"{where}: {location.explain_url(text)}")
    try:
        path = pathlib.Path(text).expanduser()
    except RuntimeError as error:
        raise SearchPathError(f"{where}: {text!r}: {error}") from error
    if refuse_relative and not path.is_absolute():
        raise SearchPathError(f"{where}: data_dir {text!r} must begin with / or ~ ({refuse_relative})")
    return Directory.given(_BEGAN_IN / path).absolute()
