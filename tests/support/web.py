"""A web server on loopback whose habits a test chooses: ranges or none, marks or none, connections that break, errors."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Web:
    """What the server holds and how it behaves; may be changed at any time."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    """Contents by path, such as "/a.bin"."""
    ranges: bool = True
    marks: bool = True
    lengths: bool = True
    redirect: str = ""
    """Prefix that every path is first redirected to."""
    cut: list[int] = field(default_factory=list)
    """For the next answers with a body: bytes after which the connection is dropped."""
    errors: list[int] = field(default_factory=list)
    """For the next requests: the status to answer."""
    content_type: str = "application/octet-stream"
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """(method, path, Range) of what was asked."""


@contextmanager
def serving() -> Iterator[Web]:
    """A running server, told by what it is given to hold."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_HEAD(self) -> None:
            _answer(self, web)

        def do_GET(self) -> None:
            _answer(self, web)

    class Server(ThreadingHTTPServer):
        def handle_error(self, *arguments: object) -> None:
            """A client that has seen enough and hangs up is no news."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(handler: BaseHTTPRequestHandler, web: Web) -> None:
    web.requests.append((handler.command, handler.path, handler.headers["Range"]))
    path = handler.path
    handler.close_connection = True
    if web.redirect and not path.startswith(web.redirect):
        return _send(handler, 302, {"Location": f"{web.url}{web.redirect}{path}", "Content-Length": "0"})
    content = web.files.get(path.removeprefix(web.redirect))
    status = web.errors.pop(0) if web.errors else 404 if content is None else 200
    if status != 200 or content is None:
        return _send(handler, status, {"Content-Length": "0"})
    mark = f'"{hashlib.md5(content).hexdigest()}"'
    headers = {"Content-Type": web.content_type, **({"ETag": mark} if web.marks else {})}
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "")
    condition = handler.headers["If-Range"]
    if web.ranges and asked and condition in (None, mark):
        start = int(asked[1])
        if start >= len(content):
            return _send(handler, 416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        status, content = 206, content[start:]
    if web.lengths:
        headers["Content-Length"] = str(len(content))
    if handler.command == "GET" and web.cut:
        content = content[: web.cut.pop(0)]
    return _send(handler, status, headers, b"" if handler.command == "HEAD" else content)


def _send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes = b"") -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(body)
