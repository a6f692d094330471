"""The catalog's site in Chromium: found, filtered, copied, read by keyboard and by screen readers, asking nobody for anything."""

import os
import re
import shutil

import consumer_kit as kit
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from tfds_builder.contract.directory import Directory
from tfds_builder.site.build import build
from tfds_builder.site.serve import Server

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTHS = {"phone": (360, 740), "small phone": (320, 640), "tablet": (820, 1180), "desk": (1440, 900)}
THEMES = ("light", "dark")


@pytest.fixture(scope="session")
def browser():
    """Chromium, as CHROMIUM or the system has it."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(
            "no browser: install chromium (Debian: apt install chromium), or name one in the environment variable CHROMIUM"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Golden datasets; one each with films, sounds, damage and two versions; two that attack in every field."""
    import torch
    from torch.utils.data import DataLoader

    import exporters

    data_dir = tmp_path_factory.mktemp("data")
    for name in [*kit.make.names(), "rows_hdf5", "variants_tfrecord"]:
        if not (data_dir / name).exists():
            kit.copy_golden(name, data_dir)
    films = [{"film": torch.full((5, 3, 24, 32), 20 * i, dtype=torch.uint8), "label": i % 2} for i in range(6)]
    rows = DataLoader(films, batch_size=3)
    exporters.export(rows, data_dir, name="films", layouts={"film": "NTCHW"}, progress=False, on_hazard="ignore")
    import tensorflow_datasets as tfds

    tone = (np.sin(np.arange(8000) / 5) * 9000).astype(np.int16)
    exporters.export(
        DataLoader([{"sound": tone, "label": i % 2} for i in range(6)], batch_size=3), data_dir, name="sounds", progress=False,
        features={"sound": tfds.features.Audio(sample_rate=8000, dtype=np.int16, shape=(8000,))}, on_hazard="ignore",
    )  # fmt: skip
    for version in ("1.0.0", "1.1.0"):
        kit.write_table(data_dir, "noise", {"train": kit.numbers(6)}, version=version, release_notes={version: "More of it."})
    card = {key: f"{kit.ATTACK} {key}" for key in ("description", "homepage", "citation", "license")}
    columns = {'x"><script>alert(1)</script>': np.arange(4), "{{ 7 * 7 }}": np.arange(4)}
    kit.write_table(
        data_dir, "hostile", {"train": columns}, card=card, config_name="evil", config_description=kit.ATTACK,
        release_notes={"1.0.0": kit.ATTACK}, decisions=(kit.ATTACK, *kit.ATTACKS), producer=kit.ATTACK,
    )  # fmt: skip
    kit.write_table(data_dir, "noise2", {"train": kit.numbers(6)})
    kit.write_table(data_dir, "links", {"train": columns}, card={**card, "homepage": "javascript:alert(1)"})
    damaged = kit.write_table(data_dir, "damaged", {"train": kit.numbers(6)})
    (damaged / "manifest.json").write_text("{")
    return data_dir


@pytest.fixture(scope="session")
def site(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    built = build(data, out, verify=True)
    assert built.versions >= 10
    return out


class Watched:
    """A page, and what it asked for, said and opened; all of it is asserted to be nothing but files when it is closed."""

    def __init__(self, browser, **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.told = []
        self.page.on("request", lambda request: self._note("request", request.url))
        self.page.on("console", lambda message: self.told.append(("console", message.text)))
        self.page.on("pageerror", lambda error: self.told.append(("error", str(error))))
        self.page.on("dialog", lambda dialog: (self.told.append(("dialog", dialog.message)), dialog.dismiss()))
        self.page.on("popup", lambda popup: self.told.append(("popup", popup.url)))

    def _note(self, what, url):
        if not url.startswith(("file:", "data:", "http://127.0.0.1:")):
            self.told.append((what, url))

    def open(self, path, fragment=""):
        self.page.goto(path.as_uri() + fragment)
        return self.page

    def close(self):
        self.context.close()
        assert self.told == []


@pytest.fixture
def watched(browser):
    """`watched(width=..., ...)`: a page that is looked after."""
    opened = []

    def make(**options):
        opened.append(Watched(browser, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def names(page):
    """The datasets that the index shows, in order."""
    return page.eval_on_selector_all("[data-row]:not([hidden]) h2", "all => all.map(one => one.textContent.trim().split(' ')[0])")


@pytest.mark.parametrize("theme", THEMES)
def test_every_page_keeps_to_itself_and_is_accessible(theme, site, watched):
    """No page asks for anything but files, says anything on the console or runs what a dataset says; axe finds nothing wrong, in
    either theme, wide and narrow."""
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    axe = Axe()
    for size in ("phone", "desk"):
        width, height = WIDTHS[size]
        one = watched(color_scheme=theme, viewport={"width": width, "height": height})
        for path in pages:
            page = one.open(path)
            found = axe.run(page)
            assert found.violations_count == 0, f"{path} {size} {theme}\n{found.generate_report()}"
            assert page.evaluate("getComputedStyle(document.body).visibility") == "visible"
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (theme == "dark")


@pytest.mark.parametrize("size", WIDTHS)
def test_nothing_is_wider_than_the_screen(size, site, watched):
    """At every width, from a small phone to a desk, nothing but what scrolls by itself is wider than the screen."""
    width, height = WIDTHS[size]
    one = watched(viewport={"width": width, "height": height})
    for path in sorted(site.rglob("*.html")):
        page = one.open(path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        beyond = page.evaluate("""() => [...document.querySelectorAll('main *')]
            .filter(one => !one.closest('.scroll,pre,.film,.tiles') && one.getBoundingClientRect().right > innerWidth)
            .map(one => one.outerHTML.slice(0, 100))""")
        assert wide == 0, f"{path} is {wide} pixels wider than {width}: {beyond}"


def test_search(site, watched):
    """Words are searched as they are typed, `/` leads to the search, all of them must fit, and a button shows all again."""
    page = watched().open(site / "index.html")
    everything = names(page)
    page.keyboard.press("/")
    page.keyboard.type("films")
    assert names(page) == ["films"]
    assert page.inner_text("[data-count]") == f"1 of {len(everything)} shown"
    page.keyboard.type(" nothinglikethis")
    assert names(page) == []
    page.click("[data-reset]")
    assert names(page) == everything
    page.fill("[name=q]", "noise 1.1")
    assert names(page) in ([], ["noise"])


def test_filters_and_sorting(site, watched):
    """Filters and the order do as they say, stand in the address, and come back with it."""
    one = watched()
    page = one.open(site / "index.html")
    page.select_option("[name=format]", "hdf5")
    shown = names(page)
    assert 0 < len(shown) < len(page.query_selector_all("[data-row]"))
    assert set(page.eval_on_selector_all("[data-row]:not([hidden])", "all => all.map(one => one.dataset.format)")) == {"hdf5"}
    for key, sign, number in (("-bytes", -1, "bytes"), ("bytes", 1, "bytes"), ("-examples", -1, "examples")):
        page.select_option("[name=sort]", key)
        values = page.eval_on_selector_all("[data-row]:not([hidden])", f"all => all.map(one => Number(one.dataset.{number}))")
        assert values == sorted(values, key=lambda value: sign * value)
    page.select_option("[name=sort]", "name")
    assert names(page) == sorted(names(page))
    page.select_option("[name=sort]", "-examples")
    address = page.url
    assert "format=hdf5" in address
    assert "sort=-examples" in address
    other = watched().open(site / "index.html", "#" + address.partition("#")[2])
    assert names(other) == names(page)


def test_copy(site, watched):
    """The button beside each snippet copies just that, and says so."""
    one = watched(permissions=["clipboard-read", "clipboard-write"])
    page = one.open(site / "films" / "1.0.0.html")
    page.click(".tablist button:has-text('PyTorch')")
    page.click(".snippet:not([hidden]) .copy")
    page.wait_for_selector("text=Copied")
    code = page.inner_text(".snippet:not([hidden]) code")
    assert "as_torch" in code
    assert page.evaluate("navigator.clipboard.readText()") == code


def test_theme(site, watched):
    """The button goes through the themes, each of which looks otherwise and is kept; the system's choice holds until then."""
    one = watched(color_scheme="dark")
    page = one.open(site / "index.html")
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(colour)
    page.click("[data-theme-button]")
    light = page.evaluate(colour)
    assert light != dark
    assert page.get_attribute("[data-theme-button]", "aria-label") == "Theme: light"
    page = one.open(site / "films" / "1.0.0.html")
    assert page.evaluate(colour) == light
    page.click("[data-theme-button]")
    assert page.evaluate(colour) == dark
    assert page.get_attribute("html", "data-theme") == "dark"


def test_keyboard_alone(site, watched):
    """Everything is reached and worked with the keyboard: past the head, tabs by arrows, what scrolls, every link and button."""
    page = watched(viewport={"width": 360, "height": 740}).open(site / "pairs_hdf5" / "1.0.0.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id || location.hash") in ("main", "#main")
    page.focus(".tablist [aria-selected=true]")
    first = page.inner_text(".snippet:not([hidden]) code")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".snippet:not([hidden]) code") != first
    page.keyboard.press("Home")
    assert page.inner_text(".snippet:not([hidden]) code") == first
    reached = set()
    page = watched(viewport={"width": 360, "height": 740}).open(site / "pairs_hdf5" / "1.0.0.html")
    for _ in range(400):
        page.keyboard.press("Tab")
        where = page.evaluate("""() => { const one = document.activeElement; one.dataset.seen = 1;
            return [one.tagName, one.className, getComputedStyle(one).outlineStyle].join(' '); }""")
        if where.startswith("BODY"):
            break
        assert not where.endswith("none") or "mean" in where, f"no outline around {where}"
        reached.add(where)
    missed = page.evaluate("""() => [...document.querySelectorAll('a[href],button,summary,[tabindex="0"]')]
        .filter(one => one.offsetParent && one.tabIndex >= 0 && !one.dataset.seen).map(one => one.outerHTML.slice(0, 120))""")
    assert missed == []


def test_attacks_are_text(site, watched):
    """What a dataset says in every field is read as it was written, and nothing of it runs or leads anywhere."""
    one = watched()
    for path in (site / "hostile" / "evil" / "1.0.0.html", site / "links" / "1.0.0.html", site / "index.html"):
        page = one.open(path)
        page.wait_for_load_state("networkidle")
        assert "<script>alert(1)</script>" in page.inner_text("body")
        links = page.eval_on_selector_all("a[href]", "all => all.map(one => one.protocol)")
        assert set(links) <= {"file:", "https:"}
        assert (
            page.evaluate("""() => { const one = document.createElement('script'); one.textContent = 'window.ran = 1';
            document.body.append(one); return window.ran; }""")
            is None
        ), "a script that was not there when the page was made ran"
    refused = [text for what, text in one.told if what == "console" and "Content Security Policy" in text]
    assert len(refused) == len(one.told) == 3  # those of these lines
    one.told = []


def test_sounds_play(site, watched):
    """A sound is loaded by the browser, as long as it is."""
    page = watched().open(site / "sounds" / "1.0.0.html")
    page.wait_for_function("[...document.querySelectorAll('audio')].every(one => one.readyState > 0)")
    durations = page.eval_on_selector_all("audio", "all => all.map(one => one.duration)")
    assert durations == pytest.approx([1.0] * 5)


def test_pictures_are_drawn(site, watched):
    """A tile of a film is drawn: its pixels are those of the frame."""
    page = watched().open(site / "films" / "1.0.0.html")
    tiles = page.query_selector_all(".film .tile")
    assert len(tiles) == 30
    import io

    from PIL import Image

    shot = np.asarray(Image.open(io.BytesIO(tiles[-1].screenshot())).convert("RGB"))
    assert np.abs(shot[shot.shape[0] // 2, shot.shape[1] // 2].astype(int) - 100).max() <= 4


def test_live_reload(data, watched, tmp_path):
    """A page of the server loads itself when something has been published, and keeps what was searched."""
    own = tmp_path / "data"
    shutil.copytree(data / "noise", own / "noise")
    build(own, tmp_path / "site")
    with Server(Directory.given(tmp_path / "site")) as server:
        one = watched()
        one.page.goto(server.url)
        one.page.fill("[name=q]", "noi")
        one.page.wait_for_timeout(300)  # until it listens
        shutil.copytree(data / "films", own / "films")
        kit.write_table(own, "noise_too", {"train": kit.numbers(6)})
        build(own, tmp_path / "site")
        assert server.tell()
        one.page.wait_for_function("document.querySelectorAll('[data-row]').length === 3")
        assert names(one.page) == ["noise", "noise_too"]
        assert re.search("#q=noi$", one.page.url)
        one.page.goto("about:blank")
