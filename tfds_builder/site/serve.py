"""The site over HTTP, to this machine alone, and pages that show by themselves what has been published in the meantime.

>>> with Server(Directory.given("/data/_catalog"), port=8000) as server:       # doctest: +SKIP
...     print(server.url)
...     server.keep_up_to_date(lambda: build("/data"))
http://127.0.0.1:8000/

The files are those of the site, which needs no server. What a server adds is one script a page, named in the page's policy by its
hash, that waits for changes and loads the page again. Only the site's own files are given out, and only to who asks for
them by a name of this machine: a page of another site that has its own name lead here is not answered (DNS rebinding).
"""

from __future__ import annotations

import http.server
import os
import threading
import time
import types
import urllib.parse
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from tfds_builder.contract.directory import Directory
from tfds_builder.errors import DatasetError, SiteError
from tfds_builder.site.build import INDEX, Built, build_key
from tfds_builder.site.render import with_live_reload

HOST = "127.0.0.1"
CHANGES = "/_changes"
_FILE_BYTES = 512 * 1024 * 1024
_TYPES = {
    ".html": "text/html; charset=utf-8", ".json": "application/json", ".xml": "application/atom+xml",
}  # fmt: skip
_PING = 10.0
"""Seconds between signs of life to a page that waits; one that is gone is noticed by them."""


class Server:
    """Serves a site until it is closed.

    Args:
      site: its directory.
      port: where to listen; 0 for one that is free.

    Attributes:
      url: of the site.

    Raises:
      SiteError: the port is taken, or may not be listened at.
    """

    def __init__(self, site: Directory, port: int = 0) -> None:
        self._site = site
        self._changed = threading.Condition()
        self._key, self._open = build_key(site), True
        try:
            self._server = http.server.ThreadingHTTPServer((HOST, port), self._handler())
        except OSError as error:
            raise SiteError(
                f"port {port} cannot be listened at ({error.strerror}); give another one, or 0 for one that is free"
            ) from error
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}/"
        self._thread = threading.Thread(target=self._server.serve_forever, name="catalog server", daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: types.TracebackType | None
    ) -> None:
        with self._changed:
            self._open = False
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def keep_up_to_date(self, rebuild: Callable[[], Built], on_built: Callable[[Built], Any] = lambda built: None) -> None:
        """Builds the site again and again until it is interrupted, and has open pages load themselves when anything has changed.

        It waits two seconds in between, or ten times as long as building took, so that it costs a tenth of a core at most.

        Args:
          rebuild: builds the site. What it raises as a DatasetError ends nothing: the next time may do.
          on_built: told of each build that changed something.
        """
        while True:
            start = time.monotonic()
            try:
                built = rebuild()
            except DatasetError:
                built = None
            if self.tell() and built is not None:
                on_built(built)
            time.sleep(max(2.0, 10 * (time.monotonic() - start)))

    def tell(self) -> bool:
        """Tells the pages that are open if the site is another one than when they were last told; whether it is."""
        key = build_key(self._site)
        with self._changed:
            is_new, self._key = key != self._key, key
            if is_new:
                self._changed.notify_all()
        return is_new

    def wait(self, known: str | None) -> str | None:
        """The key of the site once it is another one than a page knows, or after a while; None when the server is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._key != known or not self._open, _PING)
            return self._key if self._open else None

    def read(self, path: str) -> tuple[str, bytes] | None:
        """The type and the content of a file of the site, by the path of a URL; None if there is none."""
        names = [urllib.parse.unquote(name) for name in path.lstrip("/").split("/")]
        if names[-1] == "":
            names[-1] = INDEX
        if any(not name or name.startswith(".") or "/" in name or "\0" in name for name in names):
            return None
        place = self._site
        for name in names[:-1]:
            place = place.below(name)
            if place.is_link():
                return None
        try:
            content = place.read(names[-1], _FILE_BYTES)
        except DatasetError:
            return None
        ending = os.path.splitext(names[-1])[1]
        return _TYPES.get(ending, "text/plain; charset=utf-8"), with_live_reload(content) if ending == ".html" else content

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Answers one request."""

            server_version, sys_version = "torch2tfds", ""

            def do_GET(self) -> None:
                self._answer(with_content=True)

            def do_HEAD(self) -> None:
                self._answer(with_content=False)

            def _answer(self, with_content: bool) -> None:
                host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
                path = urllib.parse.urlsplit(self.path).path
                if host not in (HOST, "localhost"):
                    self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "this server answers to localhost alone")
                elif path == CHANGES and with_content:
                    self._stream()
                elif (found := server.read(path)) is None:
                    self.send_error(HTTPStatus.NOT_FOUND)
                else:
                    self._send(*found, with_content)

            def _send(self, kind: str, content: bytes, with_content: bool) -> None:
                self.send_response(HTTPStatus.OK)
                for name, value in {
                    "Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": "no-store",
                    "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
                }.items():  # fmt: skip
                    self.send_header(name, value)
                self.end_headers()
                if with_content:
                    self.wfile.write(content)

            def _stream(self) -> None:
                """Server-sent events (WHATWG HTML, 9.2): the key of the site, now and whenever it is another one."""
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                known: str | None = None
                try:
                    while (key := server.wait(known)) is not None:
                        self.wfile.write(b": still here\n\n" if key == known else f"data: {key}\n\n".encode())
                        self.wfile.flush()
                        known = key
                except OSError:  # the page was closed
                    return

            def log_message(self, format: str, *args: Any) -> None:
                """Requests are not logged."""

        return Handler
