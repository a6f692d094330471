"""The page that leads to all others, and the feed: a row a dataset (a config), of its newest version.

>>> index, feed = index_of(pages, {}, entries, "/data")           # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfds_builder.cards.licences import licence_of
from tfds_builder.catalog.survey import Entry
from tfds_builder.pages.texts import cap
from tfds_builder.site import render

SIZES = (
    (1e7, "s", "below 10 MB"),
    (1e9, "m", "10 MB to 1 GB"),
    (1e11, "l", "1 GB to 100 GB"),
    (float("inf"), "x", "over 100 GB"),
)
"""Classes of sizes: the bytes each ends at, its value in the page, and what it is called."""
FEED_ENTRIES = 50
_LENGTHS = ((1000, 200), (300, 100), (60, 0))
"""Characters of the text that is searched and of the description, in pages that may be long, and in shorter ones."""
_COVER_WIDTH = 126


def index_of(
    pages: Sequence[Mapping[str, Any]], problems: Mapping[str, str], entries: Sequence[Entry], title: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `index.html.j2` and `feed.xml.j2` show.

    Args:
      pages: of every version that has one, the newest version of a dataset first.
      problems: why others have none, by name.
      entries: all versions that there are.
      title: what the directory of datasets is called.
    """
    newest: dict[tuple[str, str], Mapping[str, Any]] = {}
    counts: dict[tuple[str, str], int] = {}
    for page in pages:
        key = page["summary"]["name"], page["summary"]["config"]
        newest.setdefault(key, page)
        counts[key] = counts.get(key, 0) + 1
    rows = [_row(page, counts[key]) for key, page in newest.items()]
    known = {entry.tfds_name: entry for entry in entries}
    rows += [_problem_row(known[name], text) for name, text in problems.items() if name in known]
    rows.sort(key=lambda row: (row["title"], row["version"]))
    shown = [page["summary"] for page in newest.values()]
    index = {
        "title": cap(title, 200),
        "rows": rows,
        "datasets": len({row["title"] for row in rows}),
        "versions": len(pages),
        "is_newest_only": len(pages) == len(newest),
        "examples": sum(summary["total"] for summary in shown),
        "bytes": sum(page["summary"]["bytes"] for page in pages),
        "choices": {
            "format": _choices(summary["format"] for summary in shown),
            "task": _choices(task for summary in shown for task in summary["tasks"]),
            "feature": _choices(kind for summary in shown for kind in summary["kinds"]),
            "licence": _choices(row["licence"] for row in rows),
            "size": [(value, text) for _, value, text in SIZES if any(row["size_class"] == value for row in rows)],
        },
    }
    recent = sorted((page["summary"] for page in pages), key=lambda summary: summary["date"], reverse=True)[:FEED_ENTRIES]
    feed = {
        "title": cap(title, 200),
        "updated": recent[0]["date"] if recent else "1970-01-01T00:00:00+00:00",
        "entries": [
            {key: summary[key] for key in ("tfds_name", "digest", "date", "page")} | {"summary": _in_a_line(summary)}
            for summary in recent
        ],
    }
    return index, feed


def _row(page: Mapping[str, Any], versions: int) -> dict[str, Any]:
    summary = page["summary"]
    record = summary["verified"]
    return {
        "title": "/".join(filter(None, (summary["name"], summary["config"]))),
        "version": summary["version"],
        "page": summary["page"],
        "problem": str(cap(f"Its examples cannot be read: {page['unread']}", 300)) if page["unread"] else "",
        "description": str(cap(summary["description"].strip().split("\n")[0], 160)),
        "search": page["search"],
        "format": summary["format"],
        "tasks": summary["tasks"],
        "kinds": summary["kinds"],
        "led_by": next((kind for kind in summary["kinds"] if kind not in ("label", "number")), ""),
        "licence": licence_of(summary["license"]).spdx or str(cap(summary["license"].strip(), 40)),
        "is_default": bool(summary["config"]) and summary["config"] == summary["default_config"],
        "classes": summary["classes"],
        "size_class": next(value for limit, value, _ in SIZES if summary["bytes"] < limit),
        "bytes": summary["bytes"],
        "total": summary["total"],
        "date": summary["date"],
        "versions": versions,
        "verified": None if record is None else record["whole"],
        "cover": page.get("cover", ""),
        "cover_width": _COVER_WIDTH,
        "balance": render.columns(page["balance"], "spark f0", "examples by class") if page.get("balance") else "",
    }


def _problem_row(entry: Entry, problem: str) -> dict[str, Any]:
    """A version that has no page."""
    empty: dict[str, Any] = {"tasks": [], "kinds": [], "bytes": 0, "total": 0, "versions": 0, "classes": 0}
    texts = dict.fromkeys(("page", "led_by", "description", "format", "licence", "size_class", "date", "cover", "balance"), "")
    title = "/".join(filter(None, (entry.name, entry.config)))
    return {
        **empty, **texts, "title": title, "version": entry.version, "search": title.lower(),
        "problem": str(cap(problem, 300)), "verified": None, "cover_width": _COVER_WIDTH, "is_default": False,
    }  # fmt: skip


def index_page(index: Mapping[str, Any], limit: int) -> bytes:
    """The page of `index_of`, of at most so many bytes: with as many pictures as fit, and where there are very many datasets, or
    hostile ones, with shorter texts, or only the first of them.
    """
    rows, level = list(index["rows"]), 0
    while True:
        short = [row | {"cover": "", "balance": ""} for row in (_shortened(row, level) for row in rows)]
        content = dict(index) | {"rows": short, "left_out": len(index["rows"]) - len(rows)}
        page = render.render("index.html.j2", **content)
        if len(page) <= limit or not rows:
            break
        level += 1
        if level >= len(_LENGTHS):
            rows = rows[: len(rows) // 2]
    room = limit - len(page)
    for row, full in zip(short, rows, strict=True):
        room -= len(full["cover"]) + len(full["balance"]) + 100
        if room < 0:
            break
        row |= {"cover": full["cover"], "balance": full["balance"]}
    return render.render("index.html.j2", **content)


def _shortened(row: Mapping[str, Any], level: int) -> dict[str, Any]:
    search, description = _LENGTHS[min(level, len(_LENGTHS) - 1)]
    return dict(row) | {"search": row["search"][:search], "description": row["description"][:description]}


def _choices(values: Any) -> list[tuple[str, str]]:
    """What can be chosen, with how often it is there; the most frequent, where there are very many."""
    counts: dict[str, int] = {}
    for value in filter(None, values):
        counts[value] = counts.get(value, 0) + 1
    often = sorted(counts, key=lambda value: -counts[value])[:60]
    return [(value, f"{value} ({counts[value]})") for value in sorted(often)]


def _in_a_line(summary: Mapping[str, Any]) -> str:
    what = f"{summary['total']:,} examples, {render.size(summary['bytes'])}, {summary['format']}"
    return f"{what}. {summary['description']}" if summary["description"] else what
