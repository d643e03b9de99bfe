"""Strings with a form: hosts, models, header names and whatever else a setting may demand."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from nexus.config.kinds import Mismatch, Text
from nexus.config.url import parse_host, parse_url


def matching(pattern: str, expected: str) -> Text:
    """Make a kind of string that matches a pattern as a whole."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise Mismatch(f"expected {expected}")
        return text

    return Text(expected, check)


def _listen_host(text: str) -> str:
    try:
        return parse_host(text)
    except Mismatch:
        hint = "; the port has a key of its own" if re.search(r":\d+$", text) else ""
        raise Mismatch(f"expected an address or a host name{hint}") from None


def _peer(text: str) -> str:
    if "/" in text or not re.search(r":\d+$", text):
        raise Mismatch(f"expected {_PEER}")
    url = parse_url(text)
    return f"[{url.host}]:{url.port}" if ":" in url.host else f"{url.host}:{url.port}"


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise Mismatch(f"expected {_NETWORK}") from None


_PEER: Final = 'a host and a port such as "box.lan:8000"'
_NETWORK: Final = 'a network such as "192.168.0.0/16", or an address'

HOST: Final = Text("an address or a host name", _listen_host)
PEER: Final = Text(_PEER, _peer)
NETWORK: Final = Text(_NETWORK, _network)
MODEL: Final = Text("a model name")
GLOB: Final = Text('a model name or a glob such as "llama*"')
VARIABLE: Final = matching(r"[A-Za-z_][A-Za-z0-9_]*", "the name of an environment variable, not its value")
ORIGIN: Final = matching(
    r"\*|(https?|app|tauri)://[A-Za-z0-9.\[\]:_-]+", 'an origin such as "https://chat.example:3000", or "*"'
)
MDNS: Final = matching(r"_[a-z0-9-]+\._(tcp|udp)\.local\.?", 'an mDNS type such as "_ollama._tcp.local"')
TOKEN: Final = matching(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "the name of an HTTP header")
HEADER_VALUE: Final = matching(r"[\x20-\x7e]+", "a header value of visible ASCII characters")
COMPONENT: Final = matching(r"[a-z][a-z0-9_.]*", 'the name of a component, such as "http"')
NAME: Final = matching(r"(?! )[^/]{1,64}(?<! )", 'a name of at most 64 characters without "/"')
