"""One export under way: splits into staged shards, then manifest, metadata and the rename."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from exporters import loader as loader_lib
from exporters import plan as plan_lib
from exporters import schema as schema_lib
from exporters.card import Card
from exporters.engines import local
from exporters.errors import SchemaError
from exporters.formats import Format, ShardContext
from exporters.hazards import Watch
from exporters.loader import Columns
from exporters.names import Options
from exporters.observation import Observer
from exporters.plan import Plan
from exporters.progress import Progress
from exporters.schema import Schema
from exporters.shard import ShardResult, stored_bytes, write_shard
from exporters.staging import Stage
from exporters.version import PRODUCER
from tfds_builder import manifest as manifest_lib
from tfds_builder import metadata
from tfds_builder.manifest import STRINGS, Column, Geometry, Manifest, Shard, Split

_PLAN = "plan.json"


class Job:
    """Writes splits into a stage and publishes them.

    Args:
      stage: the entered stage.
      encoder: the format.
      bar: what the user sees.
      name, version, format, shard_bytes: as given to `export`.
    """

    def __init__(
        self, stage: Stage, encoder: Format, bar: Progress, *, name: str, version: str, format: str, shard_bytes: int
    ) -> None:
        self._stage, self._encoder, self._bar = stage, encoder, bar
        self._name, self._version, self._format, self._shard_bytes = name, version, format, shard_bytes
        self._schema: Schema | None = None
        self._columns: tuple[Column, ...] = ()
        self._plan: Plan | None = None
        self._splits: dict[str, list[ShardResult]] = {}

    def write_split(
        self, split: str, loader: Any, loaders: Mapping[str, Any], options: Options, card: Card, watch: Watch
    ) -> None:
        """Drains one split into staged shards. The first split's first batch settles the schema.

        Raises:
          ExportError: the loader is empty, its batches contradict the schema, or it has a hazard that is an error.
        """
        first, raws = loader_lib.peek(loader, split)
        if self._schema is None:
            self._start(first, split, loaders, options, card)
        assert self._schema is not None
        observer = Observer(watch, split, loader, self._schema)
        runs = plan_lib.cut_into_shards(self._encode(raws, split, observer), self._size, self._shard_bytes)
        expected = self._expected_rows(loader)
        results = local.run(
            runs,
            lambda number, batches: self._write(split, number, batches, expected[number] if number < len(expected) else None),
        )
        self._splits[split] = list(results)
        written = sum(result.rows for result in self._splits[split])
        if not written:
            raise SchemaError(f"split {split!r}: the loader gives no example; leave the split out, or fill its dataset")
        self._bar.say(observer.finish(written))

    def _start(self, first: Any, split: str, loaders: Mapping[str, Any], options: Options, card: Card) -> None:
        """Settles schema and plan from the first batch, says what was decided, writes the plan."""
        batch = loader_lib.to_batch(first, split, 0)
        loader_lib.check_first(first, batch, loaders[split], split)
        self._schema = schema_lib.infer(batch, loader_lib.position_names(first), _classes(loaders), options)
        for decision in self._schema.decisions:
            self._bar.say(decision)
        self._columns = self._encoder.columns(self._schema.columns)
        self._plan = Plan(
            name=self._name,
            version=self._version,
            format=self._format,
            shard_bytes=self._shard_bytes,
            splits=tuple(loaders),
            features=metadata.features_to_json(self._schema.features),
            columns=tuple(column.to_json() for column in self._columns),
            labels=metadata.labels_of(self._schema.features),
            supervised_keys=self._schema.supervised_keys,
            card=dict(vars(card)),
            decisions=self._schema.decisions,
        )
        self._stage.write(_PLAN, self._plan.to_json())

    def _encode(self, raws: Iterator[Any], split: str, observer: Observer) -> Iterator[Columns]:
        """Raw batches to stored columns; batches without rows are passed over."""
        assert self._schema is not None
        for number, raw in enumerate(raws):
            batch = loader_lib.to_batch(raw, split, number)
            columns = self._schema.encode(batch, split)
            if batch.rows:
                observer.add(columns, batch.number)
                yield columns
                self._bar.add_batch(batch.rows, self._size(columns))

    def _size(self, columns: Columns) -> int:
        return stored_bytes(columns, self._columns)

    def _expected_rows(self, loader: Any) -> list[int]:
        """Rows of each shard, if the loader can tell; strings differ in size, and so do then the shards."""
        batches = loader_lib.expected_batches(loader)
        if batches is None or any(column.encoding == STRINGS for column in self._columns):
            return []
        row_bytes = sum(column.width for column in self._columns)
        runs = plan_lib.cut_into_shards(batches, lambda rows: rows * row_bytes, self._shard_bytes)
        return [sum(run) for run in runs]

    def _write(self, split: str, number: int, batches: Iterator[Columns], expected_rows: int | None) -> ShardResult:
        context = dataclasses.replace(self._context(split, number), expected_rows=expected_rows)
        result = write_shard(self._encoder, context, self._stage.path, f"{split}-{number:05d}", batches)
        self._bar.add_shard()
        return result

    def _context(self, split: str, number: int) -> ShardContext:
        """What a shard says about itself (HDF5 keeps it in attributes)."""
        assert self._schema is not None
        assert self._plan is not None
        facts: dict[str, dict[str, Any]] = {}
        for field in self._schema.fields:
            name = field.column.name
            facts[name] = {"feature": type(field.feature).__name__, "dtype": field.column.dtype}
            if field.layout is not None:
                facts[name] |= {"layout": field.layout.stored, "source_layout": field.layout.source}
            if name in self._plan.labels:
                facts[name]["class_names"] = self._plan.labels[name]
        return ShardContext(
            columns=self._columns,
            lists={field.column.name: field.list for field in self._schema.fields},
            attributes={
                "dataset": self._name,
                "version": self._version,
                "split": split,
                "shard": number,
                "features": self._plan.features,
                "producer": PRODUCER,
            },
            column_attributes=facts,
        )

    def publish(self) -> Manifest:
        """Final names, TFDS metadata, manifest, then the one rename."""
        assert self._plan is not None
        (self._stage.path / _PLAN).unlink()
        manifest = self._manifest()
        files = tuple(self._stage.describe(name) for name in metadata.write(manifest, self._stage.path))
        manifest = dataclasses.replace(manifest, metadata=files)
        self._stage.write(manifest_lib.FILENAME, manifest.to_json())
        self._stage.publish()
        return manifest

    def _manifest(self) -> Manifest:
        assert self._plan is not None
        plan, geometries = self._plan, list[Geometry]()
        splits = {split: self._split(split, results, geometries) for split, results in self._splits.items()}
        return Manifest(
            name=plan.name,
            version=plan.version,
            format=plan.format,
            features=plan.features,
            labels=plan.labels,
            supervised_keys=plan.supervised_keys,
            card=plan.card,
            decisions=plan.decisions,
            columns=self._columns,
            geometries=tuple(geometries),
            splits=splits,
            producer=PRODUCER,
        )

    def _split(self, split: str, results: list[ShardResult], geometries: list[Geometry]) -> Split:
        """Gives a split's shards their published names; adds the geometries not seen before."""
        places = {geometry: number for number, geometry in enumerate(geometries)}
        shards = []
        for number, result in enumerate(results):
            if result.geometry not in places:
                places[result.geometry] = len(geometries)
                geometries.append(result.geometry)
            names = [metadata.shard_file_name(kind, self._name, split, number, len(results)) for kind in (self._format, "index")]
            shards.append(
                Shard(
                    data=self._stage.rename(result.data, names[0]),
                    rows=result.rows,
                    geometry=places[result.geometry],
                    index=None if result.index is None else self._stage.rename(result.index, names[1]),
                )
            )
        return Split(shards=tuple(shards))


def _classes(loaders: Mapping[str, Any]) -> list[str] | None:
    """`dataset.classes` of the splits that have them.

    Raises:
      SchemaError: two splits have different ones.
    """
    found = {split: names for split, loader in loaders.items() if (names := loader_lib.class_names(loader)) is not None}
    for split, names in found.items():
        first, expected = next(iter(found.items()))
        if names != expected:
            raise SchemaError(
                f"split {split!r}: dataset.classes differs from that of split {first!r} ({names[:5]}... and {expected[:5]}...); "
                "all splits must have the same classes, in the same order"
            )
    return next(iter(found.values()), None)
