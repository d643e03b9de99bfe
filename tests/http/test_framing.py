"""Where a reply ends, from its head alone."""

from __future__ import annotations

from math import inf

import pytest

from nexus.errors import UpstreamProtocolError
from nexus.http.framing import LASTING, Framing, read_framing
from nexus.protocol.headers import Header, field_names

LENGTH = (b"content-LENGTH", b"2")


def read(*headers: Header, version: str = "1.1", bodiless: bool = False, lasting: bool = True) -> Framing:
    return read_framing(headers, version, bodiless=bodiless, lasting=lasting)


def test_how_a_body_ends() -> None:
    assert read(LENGTH) == Framing(until_close=False, idle_seconds=inf)
    assert read((b"Transfer-Encoding", b" Chunked ")) == Framing(until_close=False, idle_seconds=inf)
    assert read() == Framing(until_close=True, idle_seconds=0)
    assert read(bodiless=True) == Framing(until_close=False, idle_seconds=inf)


def test_what_does_not_last() -> None:
    assert read(LENGTH, lasting=False).idle_seconds == 0
    assert read(LENGTH, version="1.0").idle_seconds == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5, max=100", 4.5),
        (b"max=100 , Timeout = 2", 1.5),
        (b"timeout=0", 0),
        (b"timeout=-1", inf),
        (b"timeout=x", inf),
        (b"", inf),
        (b"timeout=" + b"9" * 400, inf),
    ],
)
def test_keep_alive(value: bytes, seconds: float) -> None:
    assert read(LENGTH, (b"Keep-Alive", value)).idle_seconds == seconds


@pytest.mark.parametrize(
    "headers",
    [
        (LENGTH, (b"Transfer-Encoding", b"chunked")),
        ((b"Transfer-Encoding", b"gzip, chunked"),),
        ((b"Transfer-Encoding", b"chunked"), (b"transfer-encoding", b"chunked")),
        ((b"Transfer-Encoding", b""),),
    ],
)
def test_what_nobody_can_delimit(headers: tuple[Header, ...]) -> None:
    with pytest.raises(UpstreamProtocolError):
        read(*headers)


@pytest.mark.parametrize("version", ["0.9", "2.0", "9.9"])
def test_other_versions(version: str) -> None:
    with pytest.raises(UpstreamProtocolError):
        read(LENGTH, version=version)


@pytest.mark.parametrize("coding", [b"chunked", b"gzip"])
@pytest.mark.parametrize("bodiless", [True, False])
@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([b"Content-Length"], True),
        ([b"Date", b"CONTENT-LENGTH", b"Connection"], True),
        ([b"Content-Length", b"Keep-Alive"], False),
        ([b"Content-Length", b"Transfer-encoding"], False),
        ([b"Transfer-Encoding"], False),
        ([b"Date"], False),
        ([], False),
    ],
)
def test_names_tell_the_framing_only_where_no_value_could_change_it(
    names: list[bytes], told: bool, bodiless: bool, coding: bytes
) -> None:
    headers = [(name, coding if name.lower() == b"transfer-encoding" else b"timeout=3") for name in names]
    assert field_names(tuple(names)).lasting is told
    if told:
        assert read_framing(headers, "1.1", bodiless=bodiless, lasting=True) is LASTING
