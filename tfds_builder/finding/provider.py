"""The builders this process knows, and how TFDS comes to ask for them."""

from __future__ import annotations

import difflib
import functools
import os
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from tensorflow_datasets.core import community, naming, registered
from tensorflow_datasets.core.community import config, register_base

from tfds_builder.aliases import Builder, BuilderClass
from tfds_builder.catalog import survey
from tfds_builder.catalog.location import enumerate_some
from tfds_builder.errors import DatasetError, SearchPathError
from tfds_builder.finding import search_path

NAMESPACE = "torch2tfds"
"""`tfds.load("torch2tfds:digits:1.0.0")` is read by torch2tfds, whatever else TFDS finds under that name."""


class Catalog(register_base.BaseRegister):
    """The builders this process knows, offered to `tfds.load` before TFDS's own.

    TFDS asks its providers in turn (`registered.add_dataset_builder_provider`); being first lets a
    published `mnist` win over TFDS's and a second `register` replace the first.

    Providers are not asked what they have, and are passed over where a version is given and files of that name lie where
    TFDS looks by itself. A namespace of `tfds.core.community` is: `tfds.list_builders` lists what its register has, and
    `tfds.load` leaves a name in it to the register, version or not. So the catalog is one too, and whoever registers may
    name other namespaces, each of which has a catalog of its own.

    What was registered comes first, and then the directories of the search path, which are looked into whenever a name is
    asked for: what was published in the meantime is found.

    Args:
      namespace: what stands before the colon of the names of this catalog.
      is_provider: whether `tfds.load` finds its names without a namespace too.
    """

    def __init__(self, namespace: str, *, is_provider: bool) -> None:
        self._namespace = namespace
        self._is_provider = is_provider
        self._builders: dict[str, BuilderClass] = {}

    def add(self, builder: BuilderClass) -> None:
        self._builders[builder.name] = builder

    @property
    def builders(self) -> Mapping[str, BuilderClass]:
        """The builder classes that were registered by name, in the order they were registered."""
        return self._builders

    def find(self, name: str) -> BuilderClass | None:
        """The builder class of a name: registered, or else of the first directory of the search path that has one.

        Raises:
          SearchPathError, UnreadableFileError: what the user wrote there makes no sense, or cannot be read.
        """
        if name in self._builders:
            return self._builders[name]
        for searched in self.searched():
            if _has(searched, name):
                return _open(name, searched.data_dir.path)
        return None

    def searched(self) -> list[search_path.Searched]:
        """The directories of the search path that are known by this catalog's namespace."""
        own = "" if self._is_provider else self._namespace
        return [one for one in search_path.search_path() if one.namespace == own]

    def has_dataset(self, name: str) -> bool:
        """TFDS's provider protocol: whether this one knows the dataset."""
        return self.find(name) is not None

    def get_builder_cls(self, name: str) -> BuilderClass:
        """TFDS's provider protocol: the builder class of a dataset it knows."""
        found = self.find(name)
        if found is None:  # it went after TFDS had asked
            raise registered.DatasetNotFoundError(explain_unknown(name))
        return found

    def classes(self) -> dict[str, BuilderClass]:
        """The builder classes of all names, sorted; directories of the search path that cannot be listed are passed over."""
        found = dict(self._builders)
        for searched in self.searched():
            for name in _list_names(searched):
                found.setdefault(name, _open(name, searched.data_dir.path))
        return dict(sorted(found.items()))

    def list_builders(self) -> Sequence[str]:
        """TFDS's register protocol: every dataset by the shortest name that `tfds.load` takes."""
        return [name if self._is_provider else f"{self._namespace}:{name}" for name in self.classes()]

    def list_dataset_references(self) -> Iterator[naming.DatasetReference]:
        """TFDS's register protocol: every dataset, and where it lies."""
        for name, builder in self.classes().items():
            data_dir = None if builder.DATA_DIR is None else os.fspath(builder.DATA_DIR)
            yield naming.DatasetReference(dataset_name=name, namespace=self._namespace, data_dir=data_dir)

    def builder_cls(self, name: naming.DatasetName) -> BuilderClass:
        """TFDS's register protocol: the builder class of a name in the namespace.

        Raises:
          DatasetNotFoundError: there is nothing of that name. The message says what there is, and the nearest name.
        """
        found = self.find(name.name)
        if found is None:
            raise registered.DatasetNotFoundError(explain_unknown(name.name, self._namespace))
        return found

    def builder(self, name: naming.DatasetName, **builder_kwargs: object) -> Builder:
        """TFDS's register protocol: a builder of a name in the namespace. Raises as `builder_cls` does, and the builder."""
        return self.builder_cls(name)(**builder_kwargs)


class _LastProvider:
    """Asked by TFDS when no other provider has a name: the error then says what torch2tfds has searched, and the nearest name.

    TFDS takes the first provider that says yes. One that is added after this one is asked before it says so.
    """

    def __init__(self) -> None:
        self._asking = threading.local()

    def has_dataset(self, name: str) -> bool:
        if getattr(self._asking, "now", False) or not any(found.builders or found.searched() for found in _catalogs.values()):
            return False
        self._asking.now = True
        try:
            registered.imported_builder_cls(name)
        except registered.DatasetNotFoundError:
            return True
        finally:
            self._asking.now = False
        return False

    def get_builder_cls(self, name: str) -> BuilderClass:
        raise registered.DatasetNotFoundError(explain_unknown(name))


def _has(searched: search_path.Searched, name: str) -> bool:
    """Whether a directory of the search path has a dataset. One that cannot be listed has none, and is named if none is found."""
    try:
        return survey.has_dataset(searched.data_dir, name)
    except DatasetError:
        return False


def _list_names(searched: search_path.Searched) -> list[str]:
    """The datasets of a directory of the search path, none where it cannot be listed."""
    try:
        return sorted({entry.name for entry in survey.survey(searched.data_dir)[0]})
    except DatasetError:
        return []


_makers: list[Callable[[str, pathlib.Path], BuilderClass]] = []


def make_builders_by(make: Callable[[str, pathlib.Path], BuilderClass]) -> None:
    """Says how a builder class is made of a name and a data_dir: the builder, which stands above this module, says it."""
    _makers.append(make)


@functools.cache
def _open(name: str, data_dir: pathlib.Path) -> BuilderClass:
    """The builder class of a dataset that the search path has: the same one each time."""
    return _makers[-1](name, data_dir)


def _offer(offered: Catalog, namespace: str, info: str) -> Catalog:
    """Makes a namespace known to TFDS, which keeps it until the process ends."""
    known = config.NamespaceConfig(paths=[pathlib.Path("/")], info=info)
    community.community_register().add_namespace(namespace, known, [offered])
    return offered


catalog = Catalog(NAMESPACE, is_provider=True)
registered.add_dataset_builder_provider(catalog, index=0)
registered.add_dataset_builder_provider(_LastProvider())
if not community.community_register().has_namespace(NAMESPACE):
    _offer(catalog, NAMESPACE, "Datasets that tfds_builder.register found.")

_catalogs = {NAMESPACE: catalog}


def catalog_of(namespace: str) -> Catalog:
    """The catalog of a namespace, which is made when it is first asked for.

    Raises:
      ValueError: TFDS takes no such namespace, or has one of that name itself.
    """
    if namespace in _catalogs:
        return _catalogs[namespace]
    if not search_path.NAMESPACE.fullmatch(namespace):
        raise ValueError(f"namespace {namespace!r}: pass letters, digits, - and _, as in namespace='vision'")
    if community.community_register().has_namespace(namespace):
        raise ValueError(f"namespace {namespace!r} is one of TFDS's own (tfds.load({f'{namespace}:...'!r})); pass another")
    _catalogs[namespace] = _offer(Catalog(namespace, is_provider=False), namespace, "Datasets that tfds_builder.register found.")
    return _catalogs[namespace]


def offer_search_path() -> list[search_path.Searched]:
    """The directories of the search path, whose namespaces TFDS knows from then on.

    Raises:
      SearchPathError, UnreadableFileError: what the user wrote there makes no sense, or cannot be read.
    """
    found = search_path.search_path()
    for searched in found:
        try:
            catalog_of(searched.namespace or NAMESPACE)
        except ValueError as error:
            raise SearchPathError(f"{searched.named_by}: {error}") from error
    return found


def find_builder_cls(name: naming.DatasetName) -> BuilderClass | None:
    """The builder class of a name, with a namespace or without; None if it is not of this process's catalogs.

    Raises:
      SearchPathError, UnreadableFileError: what the user wrote there makes no sense, or cannot be read.
    """
    if name.namespace and name.namespace not in _catalogs:
        offer_search_path()
    found = _catalogs.get(name.namespace or NAMESPACE)
    return None if found is None else found.find(name.name)


def explain_unknown(name: str, namespace: str = "") -> str:
    """What a name that is not found is answered: which names there are, which directories were searched, what is near.

    >>> explain_unknown("digts")                  # doctest: +SKIP
    'Dataset digts not found. torch2tfds knows digits and faces, of /data/team (TORCH2TFDS_PATH). Did you mean digits?'
    """
    catalogs = {namespace: _catalogs[namespace]} if namespace in _catalogs else _catalogs
    known: dict[str, str] = {}
    for space, found in reversed(catalogs.items()):
        before = f"{space}:" if namespace == space or found is not catalog else ""
        known |= {other: before + other for other in found.classes()}
    places = dict.fromkeys(place for found in catalogs.values() for place in _describe_places(found))
    what = f"{enumerate_some(sorted(known.values()), 'and', 20)}" if known else "nothing"
    of = f", of {enumerate_some(list(places), 'and', 20)}" if places else ""
    near = difflib.get_close_matches(name, known, n=3)
    meant = f" Did you mean {' or '.join(known[other] for other in near)}?" if near else ""
    return f"Dataset {f'{namespace}:' if namespace else ''}{name} not found. torch2tfds knows {what}{of}.{meant}"


def _describe_places(found: Catalog) -> Iterator[str]:
    """The directories that a catalog's datasets are of, and why one cannot be searched if so."""
    for builder in found.builders.values():
        if builder.DATA_DIR is not None:
            yield f"{os.fspath(builder.DATA_DIR)} (registered)"
    for searched in found.searched():
        try:
            survey.survey(searched.data_dir)
        except DatasetError as error:
            yield f"{searched}, which cannot be searched: {error}"
        else:
            yield str(searched)
