"""A catalog directory -> registered builders, without running any code found in it."""

from __future__ import annotations

import os
import warnings

from tensorflow_datasets.core.utils import file_utils

from tfds_builder.builder import make_builder_class
from tfds_builder.catalog.location import enumerate_some
from tfds_builder.catalog.metadata_files import FEATURES
from tfds_builder.catalog.survey import Entry, find_root, survey
from tfds_builder.contract.directory import Directory
from tfds_builder.errors import DatasetError, DatasetWarning, SearchPathError
from tfds_builder.finding import search_path
from tfds_builder.finding.provider import NAMESPACE, catalog_of, offer_search_path


def register(data_dir: str | os.PathLike[str] | None = None, *, namespace: str | None = None) -> list[str]:
    """Makes every dataset under a directory known to `tfds.load`, in this process.

    >>> tfds_builder.register("/data")           # doctest: +SKIP
    ['digits']
    >>> tfds.load("digits", split="train")       # doctest: +SKIP

    `"digits"` is the newest version without a config; if all have one, that of the first config by name. `"digits/large"` and
    `"digits/large:1.0.0"` say which. What is published later is found too, if the dataset was there before.

    Where two directories have datasets of one name, or TFDS has that name, a namespace tells them apart:

    >>> tfds_builder.register("/data", namespace="vision")   # doctest: +SKIP
    ['digits']
    >>> tfds.load("vision:digits", split="train")            # doctest: +SKIP

    Without a directory, those that the environment variable `TORCH2TFDS_PATH` lists and `~/.config/torch2tfds/catalogs.toml`
    names are searched whenever a name is asked for that is not registered; what is published there later is found as well:

    >>> tfds_builder.register()                              # doctest: +SKIP
    ['digits', 'vision:faces']

    Only directories are listed, and of each dataset one manifest is asked what it is of; nothing found there is imported,
    executed or unpickled. A dataset that is damaged, or that this user may not read, is an error when it is loaded, not before.
    Registering again replaces what was registered under the same name. A DatasetWarning says when nothing is found, and what
    then stays registered, and names folders that look like datasets and are data_dirs of their own.

    Args:
      data_dir: a directory that datasets were exported to; None for those of the search path.
      namespace: letters, digits, - and _, to stand before the names and a colon; they are not known without it then.

    Returns:
      The names registered, sorted, without the namespace; of the search path the names found now, each as `tfds.load` takes it.

    Raises:
      ValueError: the namespace has other characters, or is one of TFDS's own (`tfds.core.community`); or it is given without a
        directory.
      SearchPathError: there is no directory given, and none to search; or `catalogs.toml` makes no sense.
      MissingFileError: the directory does not exist, or it is too high or too deep: the message says which folder is meant.
      UnreadableFileError: this user may not list it.
    """
    if data_dir is None:
        return _search(namespace)
    root = find_root(data_dir).absolute()
    catalog = catalog_of(NAMESPACE if namespace is None else namespace)
    entries, notes = survey(root)
    names = sorted({entry.name for entry in entries})
    for name in names:
        catalog.add(make_builder_class(name, root.path))
    if not names:
        before = [f"{name} from {builder.DATA_DIR}" for name, builder in catalog.builders.items()]
        stays = f"; what was registered before stays: {enumerate_some(before, 'and')}" if before else ""
        notes.append(f"nothing is published under {root}, so nothing was registered{stays}")
    if namespace is None and (entry := _find_shadowed(root, entries)):
        notes.append(
            f"TFDS looks for datasets in {root} by itself, and has its own reader read TFRecord if a version is named, as by "
            f"tfds.load({entry.tfds_name!r}): the same values, slower and in another order. Have torch2tfds read it by "
            f"tfds.load({f'{NAMESPACE}:{entry.tfds_name}'!r})"
        )
    for note in notes:
        warnings.warn(note, DatasetWarning, stacklevel=2)
    return names


def _search(namespace: str | None) -> list[str]:
    """The names that the search path has; TFDS knows its namespaces from then on."""
    if namespace is not None:
        raise ValueError(f"namespace={namespace!r} is of a directory: register(data_dir, namespace={namespace!r})")
    searched = offer_search_path()
    if not searched:
        raise SearchPathError(
            f"register() searches what {search_path.VARIABLE} lists and {search_path.config_file()} names, neither names any: "
            "pass a directory, as in register('/data'), or name one there"
        )
    names = set()
    for one in searched:
        try:
            entries, notes = survey(one.data_dir)
        except DatasetError as error:
            entries, notes = [], [f"{one} cannot be searched: {error}"]
        names |= {f"{one.namespace}:{entry.name}" if one.namespace else entry.name for entry in entries}
        for note in notes:
            warnings.warn(note, DatasetWarning, stacklevel=3)
    return sorted(names)


def _find_shadowed(root: Directory, entries: list[Entry]) -> Entry | None:
    """A version that TFDS finds by itself and reads without asking the catalog, when that version is named."""
    if root.resolved() not in {Directory.given(path).resolved() for path in file_utils.list_data_dirs()}:
        return None
    return next((entry for entry in entries if entry.version and Directory.at(entry.path).has(FEATURES)), None)
