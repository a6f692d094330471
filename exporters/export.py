"""`export()`: drains DataLoaders once and publishes what they gave. Wiring only.

    DataLoader -> batches -> columns (checked, channels-last) -> shard writer -> staged shards
               -> manifest + TFDS metadata -> one atomic rename

Everything heavy is imported when it is called, so that `import exporters` costs nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from exporters.aliases import Loader
from exporters.errors import ArgumentError, BrokenInstallError, ExportWarning
from exporters.options.card import Card
from exporters.options.config import Config, config_facts
from exporters.outcome import Action, EngineName, Export, Format, HazardName
from tfds_builder.aliases import Feature, JsonObject
from tfds_builder.install import check_tfds

if TYPE_CHECKING:
    from exporters.hazards.watch import Watch
    from exporters.jobs.job import Job
    from exporters.staging.stage import Stage
    from tfds_builder.contract.directory import Directory
    from tfds_builder.contract.manifest import Manifest

_SHARD_BYTES = 256 * 1024 * 1024


def export(
    loaders: Loader,
    data_dir: str | os.PathLike[str],
    *,
    name: str,
    version: str = "1.0.0",
    config: str | Config | None = None,
    format: Format = "tfrecord",
    names: Sequence[str] | Mapping[str, str] | None = None,
    features: Mapping[str, Feature] | None = None,
    layouts: Mapping[str, str] | None = None,
    supervised_keys: Sequence[str] | None = None,
    unpad: Mapping[str, str] | None = None,
    integers: Sequence[str] | Mapping[str, object] | None = None,
    card: Card | None = None,
    release_notes: Mapping[str, str] | None = None,
    shard_bytes: int = _SHARD_BYTES,
    overwrite: bool = False,
    on_hazard: Action | Mapping[HazardName | Literal["default"], Action] = "warn",
    seed: int | None = None,
    engine: EngineName = "local",
    engine_options: Mapping[str, object] | None = None,
    progress: bool | None = None,
) -> Export:
    """Drains PyTorch DataLoaders once and publishes a dataset that `tfds.load` reads.

    If it is stopped, by whatever, its finished shards stay: the same call goes on after them, to the same bytes.

    >>> result = exporters.export(                                   # doctest: +SKIP
    ...     {"train": train_loader, "test": test_loader}, "/data", name="digits"
    ... )
    image: NCHW (1, 8, 8) -> NHWC (8, 8, 1), Tensor uint8
    label: ClassLabel of 10 classes
    >>> result.path                                                  # doctest: +SKIP
    '/data/digits/1.0.0'

    Args:
      loaders: a `torch.utils.data.DataLoader` (becomes split `train`), or a mapping of split name
        to DataLoader. A batch may be a tensor, an array, a list of str, bytes or numbers, or any
        nesting of those in tuples, lists, dicts, namedtuples and dataclasses. A pair (x, y)
        becomes `image` (or `features`, if x is no image) and `label`.
      data_dir: where datasets are published; made if it is not there.
      name: dataset name, lower_snake_case.
      version: `"x.y.z"`.
      config: one of several configurations of the dataset, which may differ in everything and have versions of their
        own: its name, or an `exporters.Config` with a description. `tfds.load("name/config")` reads it.
      format: `"tfrecord"` or `"hdf5"`.
      names: new names: a sequence for the parts of a tuple, or a mapping of old name to new.
      features: TFDS features that replace the inferred ones, by name
        (`{"label": tfds.features.ClassLabel(names=[...])}`). PNG, JPEG and zlib encodings run in the
        loader's workers, if it has any.
      layouts: layout of the batches as the loader gives them, by name (`{"image": "NCHW"}`); what
        has a `C` is stored channels-last. Inside sequences too: `{"steps/image": "NTCHW"}`, or `"NCHW"` without their axes.
      supervised_keys: feature names of input and target for `as_supervised=True`; set by itself
        for a pair.
      unpad: padded features to be stored without their padding, each with the feature that says how long its rows are, in
        lengths (integers, shape (N,)) or a mask (0 and 1 of any dtype, shape (N, longest)): `{"tokens": "length"}`. A mask that
        is padded to the longest row of its batch is unpadded by itself.
      integers: float images that are stored as the integers they came from, by name (`["image"]`): a quarter of the size, and
        every float comes back bit for bit. Which integers they were is found in the first batch or in the dataset's transforms;
        otherwise say mean and std, as `Normalize` takes them (`{"image": (0.5, 0.5)}`), or give the floats of 0 to 255 as an
        array, shape (256,) or (channels, 256). docs/integers.md.
      card: description, homepage, citation, license. What it leaves out, or all of it, is as the newest version that is
        published and older has it.
      release_notes: what changed, by version (`{"1.1.0": "cleaner labels"}`). Those of the newest version that is published
        and older are kept, unless the same version is told of here; so is the description of its config, if none is given.
      shard_bytes: target size of a shard, bytes. A shard is a run of whole batches. Where rows differ in size, or a batch is an
        item of the dataset, as many batches as a few of them, looked at before, say make that size.
      overwrite: replace the version if it is published already, in one step; what was stopped is
        begun anew, never gone on with.
      on_hazard: what to do where a loader loses, repeats or freezes data: "error", "warn" or
        "ignore", or a mapping of hazard to one of these (`{"drop_last": "ignore"}`; the others are
        warned of, or treated as the key "default" says). docs/hazards.md has every hazard.
      seed: seeds `random`, NumPy's and torch's generators before each batch, from this number, the split and the number of the
        batch: what a dataset or `collate_fn` draws from these is the same then, whatever the engine and however many workers.
        Map-style datasets only.
      engine: who writes the shards: "local", this process, or "processes", several of this machine, each of which runs the
        dataset, `collate_fn` and all that follows for shards of its own, or "ray" or "beam", those of a cluster that shares
        `data_dir`. The bytes are the same. docs/engines.md says more.
      engine_options: of the engine: `{"workers": 4, "start_method": "spawn"}` of "processes", `{"address": "auto"}` of "ray".
      progress: True shows a bar; None shows one in a terminal or a notebook, and elsewhere, as in a log file, a line every
        half minute or tenth of the whole, whichever is later; False says nothing.

    Returns:
      What was published; `.path` is the version directory.

    Raises:
      ExportError: its subclasses say what is wrong and what would mend it. Nothing was published.
      HazardError: of these, a hazard that `on_hazard` says to refuse.
      Exception: whatever the loader raised, as it raised it. Nothing was published.
    """
    call = Call(
        loaders, data_dir, name=name, version=version, config=config, format=format, names=names, features=features,
        layouts=layouts, supervised_keys=supervised_keys, unpad=unpad, integers=integers, card=card, release_notes=release_notes,
        shard_bytes=shard_bytes, overwrite=overwrite, on_hazard=on_hazard, seed=seed, engine=engine,
        engine_options=engine_options, progress=progress,
    )  # fmt: skip
    with opened(call) as (stage, job, watch):
        for split in job.splits:
            job.write_split(split)
        manifest = job.publish()
    return published(call, stage, manifest, watch)


@dataclasses.dataclass(frozen=True)
class Call:
    """What the caller of `export` says: its arguments, with its defaults."""

    loaders: Loader
    data_dir: str | os.PathLike[str]
    _: dataclasses.KW_ONLY
    name: str
    version: str = "1.0.0"
    config: str | Config | None = None
    format: Format = "tfrecord"
    names: Sequence[str] | Mapping[str, str] | None = None
    features: Mapping[str, Feature] | None = None
    layouts: Mapping[str, str] | None = None
    supervised_keys: Sequence[str] | None = None
    unpad: Mapping[str, str] | None = None
    integers: Sequence[str] | Mapping[str, object] | None = None
    card: Card | None = None
    release_notes: Mapping[str, str] | None = None
    shard_bytes: int = _SHARD_BYTES
    overwrite: bool = False
    on_hazard: Action | Mapping[HazardName | Literal["default"], Action] = "warn"
    seed: int | None = None
    engine: EngineName = "local"
    engine_options: Mapping[str, object] | None = None
    progress: bool | None = None


@contextlib.contextmanager
def opened(call: Call, *, joins: bool = False, divides: bool = False) -> Iterator[tuple[Stage, Job, Watch]]:
    """The stage of an export and its job, ready to write; what the loaders themselves show is told.

    Args:
      call: what the caller says.
      joins: whether this is a rank of an array job, which writes a part of what others have planned.
      divides: whether what others will write is planned.
    """
    check_tfds(BrokenInstallError)
    from exporters import formats, wording
    from exporters.engines import registry
    from exporters.hazards.watch import Watch
    from exporters.jobs.crew import Crew
    from exporters.jobs.job import Job
    from exporters.loaders import facts
    from exporters.options import checks
    from exporters.options.features import Options
    from exporters.progress import Progress
    from exporters.staging.hidden_versions import warn_of_hidden_versions
    from exporters.staging.stage import Stage
    from tfds_builder.contract.directory import Directory

    splits = checks.check_splits(call.loaders)
    checks.check_dataset(call.name, call.version, call.shard_bytes)
    checks.check_data_dir(call.data_dir)
    if call.card is not None and not isinstance(call.card, Card):
        raise ArgumentError(f"{wording.called('card')} must be an exporters.Card (got {call.card!r:.80})")
    checks.check_seed(call.seed)
    crew = Crew(call.engine, registry.find(call.engine, call.engine_options), splits, divides=divides)
    encoder = formats.find(call.format)
    options = Options(call.names, call.features, call.layouts, call.supervised_keys, call.unpad, call.integers)
    watch = Watch(call.on_hazard, seeded=call.seed is not None)
    told = {"card": dict(vars(call.card or Card())), **config_facts(call.config, call.release_notes)}
    plan: JsonObject = {
        "name": call.name,
        "version": call.version,
        "format": call.format,
        "shard_bytes": call.shard_bytes,
        "seed": call.seed,
        **_carry_over(told, Directory.given(call.data_dir).below(call.name), call.version),
    }
    place = Stage(call.data_dir, call.name, call.version, config=plan["config_name"], overwrite=call.overwrite, joins=joins)
    with _sigterm_as_exit(), place as stage:
        warn_of_hidden_versions(stage.target, "/".join(filter(None, (call.name, plan["config_name"]))), call.format)
        reads = not stage.has_finished_shards()
        for split, loader in crew.loaders.items() if not joins else ():
            watch.inspect(split, loader, crew.loaders.values(), reads=reads)
        with (
            Progress(call.progress, facts.expected_total(crew.loaders.values()), call.name) as bar,
            contextlib.closing(Job(stage, crew, options, encoder, bar, watch, plan)) as job,
        ):
            yield stage, job, watch


def published(call: Call, stage: Stage, manifest: Manifest, watch: Watch) -> Export:
    """What was published; its builder module is written."""
    from tfds_builder.catalog.builder_module import generate
    from tfds_builder.errors import DatasetError

    try:
        module = generate(stage.target)
    except (OSError, DatasetError) as error:
        module = ""
        again = f"torch2tfds generate {shlex.quote(os.fspath(stage.target))}"
        warnings.warn(f"{stage.target} is published, but not its builder module: {error}; write it with {again}", stacklevel=3)
    return Export(
        path=os.fspath(stage.target),
        module=module,
        name=call.name,
        config=manifest.config_name,
        version=call.version,
        format=call.format,
        examples={split: content.examples for split, content in manifest.splits.items()},
        shards={split: len(content.shards) for split, content in manifest.splits.items()},
        bytes=sum(file.bytes for file in manifest.files),
        decisions=tuple(manifest.decisions),
        hazards=tuple(watch.found),
        counts=watch.counts,
    )


def _carry_over(facts: JsonObject, dataset_dir: Directory, version: str) -> JsonObject:
    """What the caller says of a dataset, a config and of releases, and, where it says nothing, what the version before has said.

    Args:
      facts: of `config_facts`, and the `card`.
      dataset_dir: of all versions, or configs, of the dataset.
      version: that is exported; versions that are newer say nothing about it.
    """
    from tfds_builder.catalog.listing import list_versions
    from tfds_builder.catalog.read import read_manifest
    from tfds_builder.errors import DatasetError

    def order(text: str) -> list[int]:
        return [int(part) for part in text.split(".")]

    directory = dataset_dir.below(facts["config_name"])
    try:
        before = next((found for found in list_versions(directory) if order(found) < order(version)), None)
        if before is None:
            return facts
        manifest = read_manifest(directory.below(before))
    except DatasetError as error:
        text = f"nothing of its card, its release notes or its config's description was taken from the version before {version}, "
        text += "which cannot be read"
        warnings.warn(f"{text}: {error}", ExportWarning, stacklevel=5)
        return facts
    return {
        **facts,
        "card": {field: text or manifest.card.get(field, "") for field, text in facts["card"].items()},
        "config_description": facts["config_description"] or manifest.config_description,
        "release_notes": {**manifest.release_notes, **facts["release_notes"]},
    }


@contextlib.contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """SIGTERM ends the export as Ctrl-C does, by an exception (`SystemExit`), unless the program handles it itself."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
