"""Pages out of templates: everything is escaped, every style and script is named by its hash, every link is looked at.

>>> link("javascript:alert(1)").url
''
>>> link("https://example.org/a").url
'https://example.org/a'

What is shown comes from datasets nobody vouches for. So the templates escape by themselves (Jinja's autoescape), what a person
would not see (control characters, marks that turn lines round) is shown as its number, long texts are cut and say so, and the
policy of a page lets nothing run or load that is not of this package.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import importlib
import pathlib
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from tfds_builder.contract.untrusted import printable
from tfds_builder.errors import MissingPackageError
from tfds_builder.install import how_to_install

TEMPLATES = pathlib.Path(__file__).parent / "templates"
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""What is not seen, moves what is seen, or cannot be in a page at all; line ends and tabs are none of it."""
_CLASSES = 8
"""So many colours a series can have; the style sheet has them as `f0`, `f1`, ..."""


@dataclasses.dataclass(frozen=True)
class Text:
    """A text as it is shown, and how many more characters there are that are not."""

    text: str
    cut: int = 0

    def __str__(self) -> str:
        return f"{self.text}…" if self.cut else self.text


@dataclasses.dataclass(frozen=True)
class Link:
    """A text, and where it leads to; `url` is "" where it must not lead anywhere."""

    text: str
    url: str = ""


def clean(text: str) -> str:
    """Text without characters that are not seen: they are shown by their numbers.

    >>> clean("a\\x1bb\\u202ec")
    'a\\\\x1bb\\\\u202ec'
    """
    return _HIDDEN.sub(lambda found: printable(found[0]), text.replace("\r\n", "\n"))


def cap(text: str, limit: int) -> Text:
    """The first characters of a text, cleaned, and how many more it has.

    >>> cap("a long description", 6)
    Text(text='a long', cut=12)
    """
    shown = clean(text[:limit])[: 2 * limit]  # what is hidden gets longer by being shown
    return Text(shown, max(0, len(text) - limit))


def link(address: str) -> Link:
    """An address as a link, if it is one of https that leads out by a host's name; as mere text otherwise."""
    text = str(cap(address.strip(), 300))
    if len(address) > 2000 or re.search(r"[\s\x00-\x20\x7f\\]", address.strip()):
        return Link(text)
    try:
        parts = urllib.parse.urlsplit(address.strip())
        sound = parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        sound = False
    return Link(text, urllib.parse.quote(address.strip(), safe="%/:?#[]@!$&'()*+,;=~") if sound else "")


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
    style, script = (_read(name) for name in ("style.css", "script.js"))
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    environment.globals |= {
        "style": markup(style),
        "script": markup(script),
        "policy": "; ".join(
            (
                "default-src 'none'", f"style-src 'sha256-{hashes[0]}'", f"script-src 'sha256-{hashes[1]}'", "img-src data:",
                "base-uri 'none'", "form-action 'none'",
            )
        ),
    }  # fmt: skip
    return environment


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text("utf-8").strip()


def render(template: str, **content: Any) -> bytes:
    """A page of a template of this package.

    Args:
      template: its name, `"version.html.j2"`.
      content: what it shows; all of it is escaped.

    Raises:
      MissingPackageError: Jinja or Pillow is not installed.
    """
    text: str = _environment().get_template(template).render(**content)
    return text.lstrip().encode()


@functools.cache
def fingerprint() -> str:
    """SHA-256 of the code and the templates that make pages: they are made again when it has changed."""
    digest = hashlib.sha256()
    for path in sorted([*TEMPLATES.iterdir(), *TEMPLATES.parent.glob("*.py")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
