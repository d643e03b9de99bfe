"""The questions of a detection, and what was answered, in words for the operator."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from nexus.backends import shapes
from nexus.backends.base import Probe, Root
from nexus.backends.listing import read_rows
from nexus.errors import ConnectRefused, FirstByteTimeout, UpstreamError
from nexus.http.client import Fetched
from nexus.protocol.headers import find
from nexus.protocol.quote import quote

QUESTION_SECONDS: Final = 2.0
"""How long one question may take: what serves models answers these from memory."""

_TELLING: Final = ("version", "router", "lmstudio", "gateway_id", "error", "detail")
_TELLING_HEADERS: Final = (b"server", b"x-powered-by", b"www-authenticate")
_HTML: Final = (b"<!doctype html", b"<html")


class Questions:
    """Asks one server, patiently for a moment only, and keeps a line for each question.

    Args:
        probe: asks it.
        roots: the path prefix of each root, for the lines.

    Attributes:
        steps: a line for each question: what was asked, and what the answer said.
    """

    def __init__(self, probe: Probe, roots: Mapping[Root, str]) -> None:
        self._probe = probe
        self._roots = roots
        self.steps: list[str] = []

    async def ask(self, path: str, root: Root = "native") -> Fetched:
        """Fetch ``path`` below ``root``.

        Raises:
            UpstreamError: there is no complete reply in time.
        """
        said = ""
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                reply = await self._probe.get(path, root=root)
            said = described(reply)
        except TimeoutError:
            said = f"no answer within {QUESTION_SECONDS:g} s"
            raise FirstByteTimeout(said) from None
        except UpstreamError as error:
            said = trouble(error)
            raise
        finally:
            self.steps.append(f"GET {self._roots[root]}{path}: {said or 'not finished'}")
        return reply

    async def json(self, path: str) -> object:
        """Fetch what is good to know: the decoded body of a 200, else ``None``."""
        try:
            reply = await self.ask(path)
        except UpstreamError:
            return None
        return shapes.decode(reply.body) if reply.status == 200 else None


def trouble(error: UpstreamError) -> str:
    """Return why there is no reply, in words."""
    said = shapes.text(str(error), 300) or type(error).__name__
    return f"no connection ({said})" if isinstance(error, ConnectRefused) else said


def described(reply: Fetched) -> str:
    """Say in one line what a reply shows; nothing in it can move a cursor or hold a key."""
    headers = [
        f"{name.decode()}: {quote(value.decode('latin-1'))[:60]}"
        for name in _TELLING_HEADERS
        if (value := find(reply.headers, name)) is not None
    ]
    return ", ".join((str(reply.status), _content(reply), *headers))


def _content(reply: Fetched) -> str:
    body = reply.body.strip()
    if not body:
        return "no body"
    payload = shapes.decode(body)
    if (rows := read_rows(body)) is not None:
        return _listed(rows)
    if isinstance(payload, dict):
        told = {key: payload[key] for key in _TELLING if isinstance(payload.get(key), str | bool)}
        words = ", ".join(f"{key}: {quote(str(value))[:80]}" for key, value in told.items())
        return words or "a JSON object"
    if payload is not None:
        return "JSON that is no object"
    if body[:15].lower().startswith(_HTML):
        return "an HTML page"
    return f"{quote(body[:60].decode('latin-1'))!r}" if len(body) <= 60 else "text"


def _listed(rows: list[shapes.Row]) -> str:
    owners = sorted({owner for row in rows if (owner := shapes.text(row.get("owned_by")))})
    many = f"lists {len(rows)} model" + ("" if len(rows) == 1 else "s")
    if not owners:
        return f"{many}, owner not said" if rows else many
    return f"{many}, owned_by {', '.join(owners[:3])}" + (" and others" if len(owners) > 3 else "")
