"""Pages out of templates: everything is escaped, every style and script is named by its hash, every link is looked at.

What is shown comes from datasets nobody vouches for. So the templates escape by themselves (Jinja's autoescape), what a person
would not see (control characters, marks that turn lines round) is shown as its number, long texts are cut and say so, and the
policy of a page lets nothing run or load that is not of this package.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.util
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tfds_builder.errors import MissingPackageError
from tfds_builder.install import how_to_install
from tfds_builder.pages.texts import Text, clean

TEMPLATES = pathlib.Path(__file__).parent / "templates"
_CLASSES = 8
"""So many colours a series can have; the style sheet has them as `f0`, `f1`, ..."""


def size(count: int) -> str:
    """A number of bytes for people.

    >>> size(204_900)
    '204.9 kB'
    """
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:,.0f} {unit}" if unit == "B" else f"{amount:,.1f} {unit}"


def bars(counts: Sequence[int], rows: Sequence[Mapping[str, Any]]) -> Any:
    """Numbers (one a series) as bars, of which the largest in all rows is as long as can be.

    Args:
      counts: of this row.
      rows: all rows, each with its `counts`.
    """
    largest = max((count for row in rows for count in row["counts"]), default=0) or 1
    parts = [
        f'<rect class="f{i % _CLASSES}" x="0" y="{i * 9}" height="8" width="{100 * count / largest:.2f}"/>'
        for i, count in enumerate(counts)
    ]
    return _svg(100, 9 * len(counts), parts, height=9 * len(counts))


def columns(counts: Sequence[int], css: str, label: str) -> Any:
    """A histogram: a column a bin."""
    largest, width = max(counts, default=0) or 1, 100 / max(1, len(counts))
    tall = [30 * count / largest for count in counts]
    parts = [
        f'<rect x="{i * width:.2f}" y="{30 - height:.2f}" width="{width * 0.86:.2f}" height="{height:.2f}"/>'
        for i, height in enumerate(tall)
        if height
    ]
    return _svg(100, 30, parts, css=css, label=label)


def _svg(width: int, tall: float, parts: Sequence[str], css: str = "", label: str = "", **attributes: Any) -> Any:
    """A drawing of numbers alone, stretched to the room there is; a label says the same in words."""
    from markupsafe import Markup, escape

    more = "".join(f' {key}="{value}"' for key, value in attributes.items())
    told = Markup(' role="img" aria-label="{}"').format(label) if label else Markup(' aria-hidden="true"')
    return Markup('<svg class="{}" viewBox="0 0 {} {}" preserveAspectRatio="none"{}{}>{}</svg>').format(
        escape(css), width, f"{tall:g}", told, Markup(more), Markup("".join(parts))
    )


@functools.cache
def _environment() -> Any:
    """Jinja with the templates of this package."""
    try:
        import jinja2
        import markupsafe

        importlib.import_module("PIL.Image")  # for tiles; said here, before anything is written
    except ImportError as error:
        raise MissingPackageError(f"the catalog's pages need Jinja and Pillow: {how_to_install('catalog')}") from error
    markup = markupsafe.Markup

    def show(value: Any) -> Any:
        return value if isinstance(value, markup) or not isinstance(value, str | Text) else clean(str(value))

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=show,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size, "thousands": lambda number: f"{number:,}", "bars": bars, "columns": columns}
    environment.globals |= {"style": markup(_read("style.css")), "script": markup(_read("script.js"))}
    return environment


@functools.cache
def _read(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8").strip()


def _policy(*data: str) -> str:
    """The policy of a page: the one style, the one script and the data that is in it, by their hashes, and nothing else."""
    scripts = " ".join(map(_hash, (_read("script.js"), *data)))
    rules = (
        "default-src 'none'", f"style-src {_hash(_read('style.css'))}", f"script-src {scripts}", "img-src data:",
        "media-src data:", "base-uri 'none'", "form-action 'none'",
    )  # fmt: skip
    return "; ".join(rules)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data_block(content: Mapping[str, Any]) -> str:
    """JSON for a script element that is data. Nothing in it ends the element or begins a comment in it: it has no angle bracket
    and no ampersand (https://html.spec.whatwg.org/multipage/scripting.html#restrictions-for-contents-of-script-elements)."""
    text = json.dumps(content, allow_nan=False)
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", text)


def render(template: str, **content: Any) -> bytes:
    """A page of a template of this package.

    Args:
      template: its name, `"version.html.j2"`.
      content: what it shows; all of it is escaped. `json_ld`, if there is any, becomes a block of data.

    Raises:
      MissingPackageError: Jinja or Pillow is not installed.
    """
    environment, blocks = _environment(), []
    if content.get("json_ld"):
        import markupsafe

        blocks.append(_data_block(content["json_ld"]))
        content["json_ld"] = markupsafe.Markup(blocks[0])
    text: str = environment.get_template(template).render(policy=_policy(*blocks), **content)
    return text.lstrip().encode()


def with_live_reload(page: bytes) -> bytes:
    """A page of this package with the script that loads it again when a server says so, which its policy then allows."""
    script = _read("live.js")
    page = page.replace(b"; script-src ", f"; connect-src 'self'; script-src {_hash(script)} ".encode(), 1)
    return page.replace(b"</head>", f"<script>{script}</script>\n</head>".encode(), 1)


@functools.cache
def fingerprint() -> str:
    """SHA-256 of the code and the templates that make pages, which are made again when it has changed; and of whether OpenCV is
    there, without which some images cannot be decoded."""
    digest, package = hashlib.sha256(b"cv2" if importlib.util.find_spec("cv2") else b""), TEMPLATES.parent.parent
    for path in sorted([*TEMPLATES.iterdir(), *TEMPLATES.parent.glob("*.py"), *(package / "cards").glob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
