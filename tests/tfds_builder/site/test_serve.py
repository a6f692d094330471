"""The site over HTTP: to this machine alone, its own files alone, and a word to open pages when it has changed."""

import http.client
import re
import threading
import urllib.request

import consumer_kit as kit
import pytest

from tfds_builder.contract.directory import Directory
from tfds_builder.errors import DamagedFileError, SiteError
from tfds_builder.site import serve as serve_lib
from tfds_builder.site.build import build
from tfds_builder.site.serve import Server

pytest.importorskip("jinja2")
pytestmark = pytest.mark.once


@pytest.fixture
def data(tmp_path):
    """A directory with one dataset, and the site of it."""
    kit.copy_golden("pairs_hdf5", tmp_path / "data")
    build(tmp_path / "data", tmp_path / "site")
    return tmp_path / "data"


@pytest.fixture
def server(data, tmp_path):
    with Server(Directory.given(tmp_path / "site")) as server:
        yield server


def ask(server, path, method="GET", **headers):
    """The answer to one request, its path as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.split(":")[2].strip("/")), timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer, answer.read()


def test_files_of_the_site(server, tmp_path):
    """Every page, picture of data and list of the site is given out as it is, pages with a script more, under a policy that
    names it and lets it ask this server alone."""
    site = tmp_path / "site"
    for path in ("catalog.json", "feed.xml", "pairs_hdf5/1.0.0.sha256"):
        answer, content = ask(server, f"/{path}")
        assert (answer.status, content) == (200, (site / path).read_bytes())
        assert answer.headers["Cache-Control"] == "no-store"
    for path in ("", "index.html", "pairs_hdf5/1.0.0.html"):
        answer, content = ask(server, f"/{path}")
        page = (site / (path or "index.html")).read_text()
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', content.decode())
        scripts = re.findall(r"<script>(.*?)</script>", content.decode(), re.DOTALL)
        assert "connect-src 'self'" in policy
        assert [kit_hash(script) in policy for script in scripts] == [True, True]
        assert content.decode().replace(f"<script>{scripts[1]}</script>\n", "").replace(policy, "") == re.sub(
            r'(Content-Security-Policy" content=")[^"]*', r"\1", page
        )
        assert "connect-src" not in page
    answer, content = ask(server, "/index.html", "HEAD")
    assert (answer.status, content) == (200, b"")


def kit_hash(script):
    import base64
    import hashlib

    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


@pytest.mark.parametrize("path", [
    "/../secret", "/%2e%2e/secret", "/..%2fsecret", "/.lock", "/.contents/", "/pairs_hdf5/", "/pairs_hdf5", "/nothing.html",
    "/link.html", "/linked/secret", "/pairs_hdf5/%00", "/a" * 500,
])  # fmt: skip
def test_nothing_else_is_given_out(path, server, tmp_path):
    """Neither what lies outside of the site, by whatever path or link, nor its hidden files, nor a list of what there is."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "site" / "link.html").symlink_to(tmp_path / "secret")
    (tmp_path / "site" / "linked").symlink_to(tmp_path)
    answer, content = ask(server, path)
    assert answer.status == 404
    assert b"secret" not in content.replace(path.encode(), b"")


def test_only_this_machine_is_answered(server):
    """It listens at the loopback address alone, and not to pages of another host whose name was made to lead here."""
    assert server._server.server_address[0] == "127.0.0.1"
    assert [ask(server, "/", Host=host)[0].status for host in ("localhost:1", "127.0.0.1", "evil.example:80", "")] == [
        200,
        200,
        421,
        421,
    ]
    assert ask(server, "/", "POST")[0].status == 501


def test_changes_are_told(server, data, tmp_path):
    """A page that waits is told of the site as it is, and again when something was published, and not before."""
    stream = urllib.request.urlopen(f"{server.url}_changes", timeout=60)
    first = stream.readline()
    assert first.startswith(b"data: ")
    assert stream.readline() == b"\n"
    build(data, tmp_path / "site")
    assert not server.tell()
    kit.copy_golden("rows_tfrecord", data)
    build(data, tmp_path / "site")
    assert server.tell()
    assert stream.readline() not in (first, b"\n")
    assert b"rows_tfrecord" in ask(server, "/")[1]


def test_a_page_that_waits_is_pinged_and_let_go(server, monkeypatch):
    """A page that nothing changes for gets signs of life; when the server closes, it is let go."""
    monkeypatch.setattr(serve_lib, "_PING", 0.05)
    stream = urllib.request.urlopen(f"{server.url}_changes", timeout=60)
    assert [stream.readline() for _ in range(3)][2] == b": still here\n"
    server.__exit__(None, None, None)
    while stream.readline():
        pass


def test_it_goes_on_when_a_build_fails(server, data, tmp_path, monkeypatch):
    """A build that fails ends nothing; the next one is shown. Between builds it waits, the longer the longer they take."""
    waits, told = [], []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    def rebuild():
        if not waits:
            raise DamagedFileError("for now")
        kit.copy_golden("rows_tfrecord", data) if len(waits) == 1 else None
        return build(data, tmp_path / "site")

    monkeypatch.setattr(serve_lib.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        server.keep_up_to_date(rebuild, told.append)
    assert [built.versions for built in told] == [2]
    assert min(waits) >= 2


def test_a_port_that_is_taken(server, tmp_path):
    """A port that somebody else listens at is refused with what to do."""
    port = int(server.url.split(":")[2].strip("/"))
    with pytest.raises(SiteError, match=rf"port {port} cannot be listened at \(.*\); give another one, or 0"):
        Server(Directory.given(tmp_path / "site"), port)


def test_many_at_once(server):
    """Requests are answered side by side, also while pages wait."""
    streams = [urllib.request.urlopen(f"{server.url}_changes", timeout=60) for _ in range(5)]
    sizes = []
    threads = [threading.Thread(target=lambda: sizes.append(len(ask(server, "/")[1]))) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sizes) == 10
    assert len(set(sizes)) == 1
    for stream in streams:
        stream.close()
