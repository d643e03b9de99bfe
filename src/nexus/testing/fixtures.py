"""Recorded and synthetic replies, and where each comes from.

A fixture is one raw HTTP reply. ``recorded`` ones are a real server's bytes; ``synthetic`` ones
were written from a fact about the wire, which the note quotes together with its evidence (read
in source, measured, vendor documentation). ``fixtures/index.json`` lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from nexus.domain.backend import BackendType

Header = tuple[bytes, bytes]

_ROOT: Final = files("nexus.testing") / "fixtures"
_DROPPED: Final = (b"connection", b"keep-alive")


class Fixture(msgspec.Struct, frozen=True):
    """One reply that the fleet serves, and its evidence.

    Attributes:
        server: folder of the fixture: a backend type.
        name: what it is a reply to, such as ``"chat-stream"``.
        source: ``"recorded"`` from a real server or ``"synthetic"``.
        note: server and version of a recording, or the fact that a synthetic one was written from.
        capture: the recording it was taken from, or empty.
        whole: whether a recording is served byte for byte as captured, not shortened.
    """

    server: str
    name: str
    source: Literal["recorded", "synthetic"]
    note: str
    capture: str = ""
    whole: bool = False


class RawReply(msgspec.Struct, frozen=True):
    """A fixture taken apart.

    Attributes:
        status: the status code.
        reason: the reason phrase.
        headers: in the server's order and case, without the connection's own.
        chunks: the body as it was framed: one element unless it was chunked.
        chunked: whether the body was chunked.
    """

    status: int
    reason: bytes
    headers: tuple[Header, ...]
    chunks: tuple[bytes, ...]
    chunked: bool

    @property
    def body(self) -> bytes:
        """The body without its framing."""
        return b"".join(self.chunks)


@cache
def _index() -> Mapping[str, Mapping[str, Fixture]]:
    rows = msgspec.json.decode(
        (_ROOT / "index.json").read_bytes(), type=dict[str, dict[str, dict[str, object]]]
    )
    return MappingProxyType(
        {
            server: {
                name: msgspec.convert({"server": server, "name": name, **row}, Fixture)
                for name, row in named.items()
            }
            for server, named in rows.items()
        }
    )


def names(server: str) -> frozenset[str]:
    """Return the names of every fixture of ``server``."""
    return frozenset(_index()[server])


@cache
def load(server: str, name: str) -> RawReply:
    """Read one fixture.

    Args:
        server: its folder, such as ``"vllm"``.
        name: its name, such as ``"chat-stream"``.

    Raises:
        KeyError: nothing of that name is shipped.
    """
    if name not in _index().get(server, {}):
        raise KeyError(f"no fixture {server}/{name}")
    return parse((_ROOT / server / f"{name}.http").read_bytes())


def raw(server: str, name: str) -> bytes:
    """Return the bytes of one fixture as shipped."""
    return (_ROOT / server / f"{name}.http").read_bytes()


def parse(reply: bytes) -> RawReply:
    """Take one raw HTTP reply apart (RFC 9112 framing by length or chunks)."""
    head, body = reply.split(b"\r\n\r\n", 1)
    start, *lines = head.split(b"\r\n")
    _, code, *reason = start.split(b" ", 2)
    headers: list[Header] = []
    chunked = False
    for line in lines:
        key, value = line.split(b":", 1)
        lower = key.lower()
        chunked = chunked or lower == b"transfer-encoding"
        if lower not in _DROPPED:
            headers.append((key, value.strip()))
    chunks = tuple(_dechunk(body)) if chunked else (body,)
    return RawReply(int(code), b"".join(reason), tuple(headers), chunks, chunked)


def _dechunk(body: bytes) -> list[bytes]:
    chunks = []
    at = 0
    while match := re.compile(rb"([0-9a-fA-F]+)\r\n").match(body, at):
        size = int(match[1], 16)
        if not size:
            break
        chunks.append(body[match.end() : match.end() + size])
        at = match.end() + size + 2
    return chunks


def provenance() -> Mapping[BackendType, tuple[Fixture, ...]]:
    """Return every fixture that the fleet serves, by backend type.

    A type whose chat fixtures are ``recorded`` was verified on the server that the note names;
    the others are written from documentation or source.
    """
    index = _index()
    return MappingProxyType({kind: tuple(index[kind.value].values()) for kind in BackendType})
