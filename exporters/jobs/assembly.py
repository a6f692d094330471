"""The manifest of staged shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from exporters.hazards.registry import HAZARDS
from exporters.outcome import Hazard
from exporters.plans.plan import Plan
from exporters.plans.shard import ShardResult
from tfds_builder.contract.integers import Integers
from tfds_builder.contract.manifest import Column, File, Geometry, Manifest, Shard, Split, ToldHazard


def assemble(
    plan: Plan,
    columns: tuple[Column, ...],
    splits: Mapping[str, Split],
    geometries: Sequence[Geometry],
    told: Iterable[Hazard] = (),
) -> Manifest:
    """The manifest of a plan whose shards are there, without the files of metadata.

    Args:
      plan: what was planned.
      columns: as they are stored.
      splits: the shards of each.
      geometries: the byte tables that shards have.
      told: what was told of the loaders, in any order.
    """
    known, places = list(HAZARDS), list(splits)
    told = sorted(told, key=lambda hazard: (places.index(hazard.split), known.index(hazard.name)))
    return Manifest(
        name=plan.name,
        version=plan.version,
        format=plan.format,
        features=plan.features,
        labels=plan.labels,
        supervised_keys=plan.supervised_keys,
        card=plan.card,
        decisions=plan.decisions,
        columns=columns,
        geometries=tuple(geometries),
        splits=splits,
        producer=plan.producer,
        config_name=plan.config_name,
        config_description=plan.config_description,
        release_notes=plan.release_notes,
        hazards=tuple(ToldHazard(hazard.name, hazard.split, HAZARDS[hazard.name].meaning) for hazard in told),
        integers=tuple(Integers.from_json(table, "plan") for table in plan.integers),
    )


def place_shards(
    results: Sequence[ShardResult], geometries: list[Geometry], place: Callable[[File, str], File], split: str, plan: Plan
) -> Split:
    """A split's shards as the manifest has them; adds the geometries not seen before.

    Args:
      results: its shards; those without rows are left out.
      geometries: those seen before.
      place: is given a staged file and its published name, and says under which name it lies there.
      split: its name.
      plan: what they are named after.
    """
    places = {geometry: number for number, geometry in enumerate(geometries)}
    shards, results = [], [result for result in results if result.rows]
    for number, result in enumerate(results):
        if result.geometry not in places:
            places[result.geometry] = len(geometries)
            geometries.append(result.geometry)
        named = result.files(plan.format, plan.name, split, number, len(results))
        data, *index = [place(file, name) for file, name in named]
        shards.append(Shard(data=data, rows=result.rows, geometry=places[result.geometry], index=index[0] if index else None))
    return Split(shards=tuple(shards))
