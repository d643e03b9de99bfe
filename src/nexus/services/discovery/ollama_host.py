"""``OLLAMA_HOST``, read exactly as Ollama's own client reads it.

Source: https://github.com/ollama/ollama/blob/main/envconfig/config.go (``Var``, ``Host`` and
``ConnectableHost``) and Go's ``net.SplitHostPort``, ``net.ParseIP`` and ``strconv.ParseInt``.
Law: whatever ``ollama list`` would talk to is what is found here, slips included.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

DEFAULT_PORT: Final = 11434
_LOOPBACK: Final = "127.0.0.1"
_CLOUD: Final = "ollama.com"
_SCHEME_PORTS: Final = {"http": 80, "https": 443}
# Unicode White_Space, which strings.TrimSpace removes; str.strip removes more.
_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_WHOLE: Final = re.compile(r"[+-]?[0-9]+", re.ASCII)


class OllamaHost(msgspec.Struct, frozen=True):
    """Where Ollama's client would connect to.

    Attributes:
        scheme: as written, lower case; only ``http`` and ``https`` can be connected to.
        host: a name or an address without brackets; empty for this computer.
        port: 0 to 65535.
        path: what a proxy in front of Ollama wants before its paths, without slashes at its ends.
    """

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def hosts(self) -> tuple[str, ...]:
        """What to connect to: addresses to listen on, which no client can use, become loopback ones."""
        if self.host == "":
            return (_LOOPBACK, "::1")
        address = _address(self.host)
        if address is None or not address.is_unspecified:
            return (self.host,)
        return (_LOOPBACK,) if address.version == 4 else ("::1", _LOOPBACK)


def parse_ollama_host(value: str) -> OllamaHost:
    """Take apart the value of ``OLLAMA_HOST``.

    Args:
        value: anything; there is no value that Ollama refuses to read.

    Returns:
        The address; the default one for an empty value.
    """
    text = value.strip(_SPACE).strip("\"'").strip(_SPACE)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = ("https", f"{_CLOUD}:443") if text == _CLOUD else ("http", text)
    default = _SCHEME_PORTS.get(scheme, DEFAULT_PORT) if separator else DEFAULT_PORT
    authority, _, path = rest.partition("/")
    split = _split_host_port(authority)
    if split is None:
        host, port = _lone_host(authority), default
    else:
        host, port = split[0], _port(split[1], default)
    return OllamaHost(scheme.lower(), host, port, path.strip("/"))


def _split_host_port(text: str) -> tuple[str, str] | None:
    """``net.SplitHostPort``; ``None`` stands for its error."""
    colon = text.rfind(":")
    if colon < 0:
        return None
    if text.startswith("["):
        end = text.find("]")
        if end < 0 or end + 1 != colon:
            return None
        host, tail_open, tail_close = text[1:end], text[1:], text[end + 1 :]
    else:
        host, tail_open, tail_close = text[:colon], text, text
        if ":" in host:
            return None
    if "[" in tail_open or "]" in tail_close:
        return None
    return host, text[colon + 1 :]


def _lone_host(text: str) -> str:
    address = _address(text.strip("[]"))
    if address is not None:
        mapped = address.ipv4_mapped if address.version == 6 else None
        return str(mapped or address)
    return text or _LOOPBACK


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """``net.ParseIP``, which knows no scopes."""
    try:
        return ipaddress.ip_address(text) if "%" not in text else None
    except ValueError:
        return None


def _port(text: str, default: int) -> int:
    """``strconv.ParseInt(port, 10, 32)`` within 0 to 65535, else the default."""
    if len(text) > 64 or not _WHOLE.fullmatch(text):
        return default
    port = int(text)
    return port if 0 <= port <= 65535 else default
