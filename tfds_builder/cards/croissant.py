"""A version in Croissant 1.1 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html), the format of catalogs of data.

>>> croissant_of(manifest, "/data", preview, annotations)["recordSet"][0]["@id"]           # doctest: +SKIP
'splits'

Files are named with size and SHA-256, as the manifest has them. Record sets: `splits`; `classes/FEATURE`, the names of its
classes; `examples`, the features as they lie in the shards, which no Croissant library reads so far; and `preview`, a few of
them as JSON lines beside this file, which they all do. Statistics are annotations of `examples`, each of which says of how many
examples it is, and whether of a sample.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tfds_builder import formats
from tfds_builder.cards.preview import TEXT, Preview, encode
from tfds_builder.cards.schema_org import address_of, dataset_of, tell
from tfds_builder.catalog.describe import Loaded, describe
from tfds_builder.contract.manifest import File, Manifest
from tfds_builder.pages.figures import FeatureStatistics, Measured, SplitStatistics, Statistics
from tfds_builder.pages.texts import cap

FILE, PREVIEW_FILE = "croissant.json", "preview.jsonl"
Annotations = Mapping[str, Sequence[Mapping[str, Any]]]
"""Of each feature, by its flat name."""
FILES = 10_000
"""Files that are named at most; the list beside the page has all."""
_DESCRIPTION = 100_000
_ANNOTATED, _SPLITS, _CLASSES = 100, 4, 1000
"""Features, splits and classes whose statistics are annotations, at most."""
_CONTEXT: Mapping[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "annotation": "cr:annotation", "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs", "column": "cr:column", "conformsTo": "dct:conformsTo", "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/", "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"}, "dct": "http://purl.org/dc/terms/",
    "ddi-stats": "http://rdf-vocabulary.ddialliance.org/cv/SummaryStatisticType/2.1.2/",
    "description": {"@container": "@language"}, "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "excludes": "cr:excludes", "extract": "cr:extract",
    "field": "cr:field", "fileObject": "cr:fileObject", "fileProperty": "cr:fileProperty", "fileSet": "cr:fileSet",
    "format": "cr:format", "includes": "cr:includes", "isArray": "cr:isArray", "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5", "name": {"@container": "@language"},
    "parentField": "cr:parentField", "path": "cr:path", "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/", "readLines": "cr:readLines", "recordSet": "cr:recordSet",
    "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace",
    "samplingRate": "cr:samplingRate", "sc": "https://schema.org/", "sdVersion": "cr:sdVersion", "separator": "cr:separator",
    "source": "cr:source", "subField": "cr:subField", "transform": "cr:transform", "unArchive": "cr:unArchive",
}  # fmt: skip
"""Appendix 1 of the specification, less `value`, which libraries look for in schema.org; and `path`, `repeated`, `replace` and
`samplingRate`, which the library of Croissant's own asks for besides."""
_DTYPES: Mapping[str, str] = {
    "bool": "sc:Boolean", "string": "sc:Text", "bfloat16": "sc:Float", "complex64": "sc:Float", "complex128": "sc:Float",
    **{f"float{bits}": f"cr:Float{bits}" for bits in (16, 32, 64)},
    **{f"{sign}int{bits}": f"cr:{sign.upper()}Int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}  # fmt: skip
_ROLES = (
    ("train", "cr:TrainingSplit"), ("validation", "cr:ValidationSplit"), ("valid", "cr:ValidationSplit"),
    ("val", "cr:ValidationSplit"), ("test", "cr:TestSplit"),
)  # fmt: skip
_MEDIA_TYPES = (
    ("manifest.json", "application/json"), (".json", "application/json"), (".txt", "text/plain"), ("LICENSE", "text/plain"),
)  # fmt: skip


def croissant_of(manifest: Manifest, data_dir: str, preview: Preview | None, annotations: Annotations) -> dict[str, Any]:
    """A version as the content of a Croissant file.

    Args:
      manifest: of the version.
      data_dir: as readers of the file call it: a path or an address.
      preview: of it, if there is one; the file lies beside this one as `PREVIEW_FILE`.
      annotations: of its features, as `annotations_of` gives them.
    """
    found = {
        "@context": _CONTEXT, "@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.1",
        **dataset_of(manifest, _DESCRIPTION), "isLiveDataset": False,
    }  # fmt: skip
    if citation := manifest.card.get("citation", "").strip():
        found["citeAs"] = str(cap(citation, _DESCRIPTION))
    if manifest.producer:
        agent = {"@type": "prov:SoftwareAgent", "prov:label": str(cap(manifest.producer, 200))}
        found["prov:wasGeneratedBy"] = {"@type": "prov:Activity", "prov:label": "export", "prov:wasAssociatedWith": agent}
    found["distribution"] = list(_distribution(manifest, data_dir, preview))
    found["recordSet"] = list(_record_sets(manifest, preview, annotations))
    return found


def _distribution(manifest: Manifest, data_dir: str, preview: Preview | None) -> Iterator[dict[str, Any]]:
    """The files of a version, its shards as one set, and the preview."""
    stored = formats.find(manifest.format)
    shards = {shard.data.file for split in manifest.splits.values() for shard in split.shards}
    for file in manifest.files[:FILES]:
        media_type = stored.media_type if file.file in shards else _media_type(file)
        yield _file(f"files/{encode(file.file)}", file, media_type, address_of(data_dir, *manifest.place, file.file))
    if shards:
        told = f"All {len(shards):,} shards, split by split."
        if len(manifest.files) > FILES:
            told += f" Of all files, {len(manifest.files):,}, the first {FILES:,} are named here."
        masks = [
            stored.template.format(DATASET=manifest.name, SPLIT=name, FILEFORMAT=stored.tfds_name, SHARD_X_OF_Y="*")
            for name, split in manifest.splits.items()
            if split.shards
        ]
        yield {
            "@type": "cr:FileSet", "@id": "shards", "name": "shards", "description": told, "encodingFormat": stored.media_type,
            "includes": masks,
        }  # fmt: skip
    if preview is not None:
        data = preview.text.encode()
        file = File(file=PREVIEW_FILE, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        yield _file(PREVIEW_FILE, file, "application/jsonlines", PREVIEW_FILE)


def _file(identity: str, file: File, media_type: str, address: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject", "@id": identity, "name": str(cap(file.file, 255)), "contentUrl": address,
        "contentSize": f"{file.bytes} B", "encodingFormat": media_type, "sha256": file.sha256,
    }  # fmt: skip


def _media_type(file: File) -> str:
    return next((kind for ending, kind in _MEDIA_TYPES if file.file.endswith(ending)), "application/octet-stream")


def _record_sets(manifest: Manifest, preview: Preview | None, annotations: Annotations) -> Iterator[dict[str, Any]]:
    features = describe(manifest)
    if manifest.splits:
        yield _splits(manifest)
    for feature in features:
        if manifest.labels.get(feature.name):
            yield _classes(feature.name, manifest.labels[feature.name])
    if any(split.shards for split in manifest.splits.values()):
        yield _examples(manifest, features, annotations)
    if preview is not None:
        yield _preview(manifest, features, preview)


def _splits(manifest: Manifest) -> dict[str, Any]:
    roles = dict(_ROLES)
    rows = [
        {"splits/name": name, "splits/url": roles.get(name), "splits/examples": split.examples, "splits/bytes": split.bytes}
        for name, split in manifest.splits.items()
    ]
    return {
        "@type": "cr:RecordSet", "@id": "splits", "name": "splits", "description": "The splits, and how large they are.",
        "dataType": "cr:Split", "key": {"@id": "splits/name"},
        "field": [
            _field("splits/name", "name", "sc:Text"),
            _field("splits/url", "url", "sc:URL", description="What the split is for, if its name says so."),
            _field("splits/examples", "examples", "sc:Integer"),
            _field("splits/bytes", "bytes", "sc:Integer"),
        ],
        "data": rows,
    }  # fmt: skip


def _class_fields(name: str) -> tuple[str, str]:
    """The identities of the fields that number and name the classes of a label."""
    return f"class-numbers/{encode(name)}", f"class-names/{encode(name)}"


def _classes(name: str, classes: Sequence[str]) -> dict[str, Any]:
    number_field, name_field = _class_fields(name)
    return {
        "@type": "cr:RecordSet", "@id": f"classes/{encode(name)}", "name": str(cap(f"classes of {name}", 200)),
        "dataType": "sc:Enumeration",
        "key": {"@id": number_field},
        "field": [_field(number_field, "number", "sc:Integer"), _field(name_field, "name", "sc:Text")],
        "data": [
            {number_field: number, name_field: text} for number, text in enumerate(classes)
        ],
    }  # fmt: skip


def _examples(manifest: Manifest, features: Sequence[Loaded], annotations: Annotations) -> dict[str, Any]:
    """The features as they lie in the shards."""
    prefix = re.escape(manifest.name)
    names = "|".join(map(re.escape, manifest.splits))
    split = _field(
        "split", "split", "sc:Text", references={"field": {"@id": "splits/name"}},
        source={
            "fileSet": {"@id": "shards"}, "extract": {"fileProperty": "filename"},
            "transform": {"regex": f"^{prefix}-({names})[.-].*$"},
        },
    )  # fmt: skip
    fields = []
    for feature in features:
        source = {"fileSet": {"@id": "shards"}, "extract": {"column": feature.name}}
        more: dict[str, Any] = {"annotation": annotations[feature.name]} if annotations.get(feature.name) else {}
        if manifest.labels.get(feature.name):
            more["references"] = {"field": {"@id": _class_fields(feature.name)[0]}}
        fields.append(_feature("examples", feature, source=source, **more))
    total = sum(split.examples for split in manifest.splits.values())
    count = _field("statistics", "number of examples", ["sc:Integer", "http://www.wikidata.org/entity/Q4049983"], value=total)
    return {
        "@type": "cr:RecordSet", "@id": "examples", "name": "examples",
        "description": f"All examples, as {manifest.format}; tfds.load and as_torch of torch2tfds read them.",
        "annotation": [count], "field": [split, *fields],
    }  # fmt: skip


def _preview(manifest: Manifest, features: Sequence[Loaded], preview: Preview) -> dict[str, Any]:
    """The examples that lie beside the file."""

    def source(column: str, key: str) -> dict[str, Any]:
        return {
            "fileObject": {"@id": PREVIEW_FILE}, "extract": {"column": column}, "transform": {"jsonPath": f'"{key}"'},
        }  # fmt: skip

    told = [
        f"A preview: {preview.rows} of the {preview.of:,} examples of {preview.split}, evenly spaced. NaN and infinities are "
        f"null, texts are cut after {TEXT} characters."
    ]
    left_out = [f"{name} ({why})" for name, why in preview.left_out.items()]
    told += [f"Left out: {'; '.join(left_out)}."] if left_out else []
    shown = set(preview.features)
    return {
        "@type": "cr:RecordSet", "@id": "preview", "name": "preview", "description": str(cap(" ".join(told), 2000)),
        "field": [
            _field("preview.split", "split", "sc:Text", source=source("place", "split")),
            _field("preview.row", "row", "sc:Integer", source=source("place", "row")),
            *(
                _feature("preview", feature, source=source("example", encode(feature.name)))
                for feature in features if feature.name in shown
            ),
        ],
    }  # fmt: skip


def _feature(record_set: str, feature: Loaded, **more: Any) -> dict[str, Any]:
    """A feature as a field."""
    data_type = _DTYPES.get(feature.dtype, "sc:Text")
    pair = (2,) if feature.dtype.startswith("complex") else ()
    shape = ",".join("-1" if size is None else str(size) for size in (*feature.shape, *pair))
    arrays = {"isArray": True, "arrayShape": shape} if shape else {}
    types = [data_type, "cr:Label"] if "ClassLabel" in feature.note else data_type
    told = tell(feature) + (", as pairs of the real and the imaginary part" if pair else "")
    return _field(f"{record_set}/{encode(feature.name)}", str(cap(feature.name, 200)), types, description=told, **arrays, **more)


def _field(identity: str, name: str, data_type: str | list[str], **more: Any) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": identity, "name": name, "dataType": data_type, **more}


def annotations_of(statistics: Statistics) -> dict[str, list[dict[str, Any]]]:
    """Statistics as annotations of each feature, by its flat name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for split, content in list(statistics.splits.items())[:_SPLITS]:
        for name, feature in list(content.features.items())[:_ANNOTATED]:
            found.setdefault(name, []).extend(_annotations(split, content, feature))
    return found


def _annotations(split: str, content: SplitStatistics, feature: FeatureStatistics) -> Iterator[dict[str, Any]]:
    """What is known of a feature in a split."""
    start = f"statistics/{encode(split)}/{encode(feature.name)}"

    def tell_one(key: str, value: Any, data_type: str | list[str], measured: Measured) -> dict[str, Any]:
        rows, of = measured.rows, f"all {measured.rows:,} examples of {split}"
        if measured.is_sample:
            of = f"a sample of {rows:,} of the {content.examples:,} examples of {split}, evenly spaced"
        name = f"{key.replace('_', ' ')} in {split}" + (" (of a sample)" if measured.is_sample else "")
        return _field(f"{start}.{key}", name, data_type, description=f"Of {of}.", value=value)

    if (numbers := feature.values) is not None:
        for key, value, data_type in (
            ("minimum", numbers.minimum, "sc:Float"),
            ("maximum", numbers.maximum, ["sc:Float", "ddi-stats:8321e79"]),
            ("mean", numbers.mean, ["sc:Float", "ddi-stats:7975ed0"]),
            ("standard_deviation", numbers.std, "sc:Float"),
        ):
            if value is not None:
                yield tell_one(key, value, data_type, numbers)
    if (lengths := feature.lengths) is not None and lengths.minimum is not None:
        for key, length in (("minimum", lengths.minimum), ("maximum", lengths.maximum), ("mean", lengths.mean)):
            yield tell_one(f"{key}_length_in_{lengths.unit}", length, "sc:Float" if key == "mean" else "sc:Integer", lengths)
    if (classes := feature.classes) is not None:
        counts = {str(number): count for number, count in sorted(classes.counts.items())[:_CLASSES]}
        yield tell_one("examples_by_class", json.dumps(counts), "sc:Text", classes)
        yield tell_one("unlabelled", classes.unlabelled, "sc:Integer", classes)
    if (not_finite := feature.not_finite) is not None:
        yield tell_one("NaN", not_finite.nan, "sc:Integer", not_finite)
        yield tell_one("infinite", not_finite.infinite, "sc:Integer", not_finite)
    if (strings := feature.strings) is not None and strings.distinct is not None:
        yield tell_one("distinct", strings.distinct, "sc:Integer", strings)
