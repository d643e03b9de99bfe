"""The dashboard's files: an HTML page, style sheets and scripts, read once and sent from memory.

Laws held here: only a file that is in the package has a path, so no path leads anywhere else; a file
holds no data of the gateway, so it needs no token; what the page loads and does is fenced in by its
Content-Security-Policy, whatever a backend or a client has put into a name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Final

from nexus.errors import NotFound
from nexus.gateway.pages import Page
from nexus.http.request import Request
from nexus.protocol.headers import Header

PREFIX: Final = "/ui/"
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_INDEX: Final = "index.html"
_TYPES: Final = MappingProxyType({
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
    "": b"text/plain; charset=utf-8",
})  # fmt: skip
_FENCE: Final[tuple[Header, ...]] = (
    (b"Content-Security-Policy", CONTENT_SECURITY_POLICY.encode()),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    # A file may be kept, and is asked about each time: after an update no old script meets a new page.
    (b"Cache-Control", b"no-cache"),
)


class _File:
    """One file, ready to be sent."""

    __slots__ = ("_body", "_etag", "_headers")

    def __init__(self, name: str, body: bytes) -> None:
        self._body = body
        self._etag = b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
        self._headers: tuple[Header, ...] = (
            (b"Content-Type", _TYPES[PurePosixPath(name).suffix]),
            (b"ETag", self._etag),
            *_FENCE,
        )

    def answer(self, request: Request, *more: Header) -> Page:
        """Return the file, or that the client's copy is still right (RFC 9110 13.1.2)."""
        held = request.fields.get(b"if-none-match", b"")
        same = any(tag.strip().removeprefix(b"W/") == self._etag for tag in held.split(b","))
        return (
            Page(304, b"", (*self._headers, *more))
            if same
            else Page(200, self._body, (*self._headers, *more))
        )


class Site:
    """Answers ``/`` for browsers, and everything below ``/ui/``."""

    def __init__(self) -> None:
        self._files = _files()

    def find(self, request: Request) -> Page | None:
        """Return what stands at a path, or ``None`` where it is somebody else's.

        Raises:
            NotFound: there is no such file below ``/ui/``.
        """
        path = request.path
        if path == "/":
            if not prefers_html(request.fields.get(b"accept", b"").decode("latin-1")):
                return None
            return self._files[_INDEX].answer(request, (b"Vary", b"Accept"))
        if not path.startswith(PREFIX):
            return None
        found = self._files.get(path[len(PREFIX) :])
        if found is None or path == f"{PREFIX}{_INDEX}":
            raise NotFound(f"The dashboard has no file '{path[:200]}'. It is at '/'.")
        return found.answer(request)


def prefers_html(accept: str) -> bool:
    """Tell whether somebody who accepts this would rather have HTML than plain text (RFC 9110 12.5.1).

    HTML must be named: ``*/*`` is what programs send.
    """
    quality = {"text/html": 0.0, "text/plain": 0.0}
    for part in accept.lower().split(","):
        kind, _, parameters = part.partition(";")
        if kind.strip() in quality:
            quality[kind.strip()] = _quality(parameters)
    return quality["text/html"] > 0 and quality["text/html"] >= quality["text/plain"]


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


@cache
def _files() -> Mapping[str, _File]:
    """Read every file of the package's folder, once a process."""
    root = files("nexus.admin") / "ui"
    return MappingProxyType({name: _File(name, body) for name, body in _walk(root)})


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _walk(entry, f"{name}/")
        else:
            yield name, entry.read_bytes()
