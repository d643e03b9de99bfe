"""A backend's address as people write it.

Law: nothing of a refused URL is echoed, because what makes it wrong may be a password.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

import msgspec

from nexus.config.kinds import Mismatch, nearest

_SCHEMES: Final = {"http": 80, "https": 443}
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_SCOPE: Final = re.compile(r"[A-Za-z0-9._~-]{1,32}", re.ASCII)
# RFC 3986 3.3: pchar and the slash, percent-encoding well formed; "@" is left out on purpose.
_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:/-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_SURFACES: Final = (
    "/chat/completions", "/completions", "/embeddings", "/responses", "/messages", "/models",
)  # fmt: skip
_FORM: Final = "a URL such as http://host:8000 or https://host/api/v1"


class BackendUrl(msgspec.Struct, frozen=True):
    """An address, taken apart.

    Attributes:
        scheme: ``"http"`` or ``"https"``.
        host: lower case, IPv6 compressed and without brackets.
        port: 1 to 65535.
        api_root: path prefix of the OpenAI surfaces, without a trailing slash.
        native_root: ``api_root`` without a trailing ``/v1``.
    """

    scheme: str
    host: str
    port: int
    api_root: str
    native_root: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.api_root}"


def parse_url(text: str) -> BackendUrl:
    """Take apart a backend's address.

    ``host:8000`` with or without scheme (then http), slash or ``/v1``. A path is the API root;
    without one, ``/v1`` is.

    Args:
        text: the address; space around it is ignored.

    Returns:
        Its parts, normalised.

    Raises:
        ConfigError: it is no such address; nothing of it is in the message.
    """
    text = text.strip()
    if not text.isprintable() or any(c in text for c in ' \\"<>^`{|}'):
        raise _wrong("it has characters that a URL cannot have")
    for mark, what in (("@", "a user name or password"), ("?", "a query"), ("#", "a fragment")):
        if mark in text:
            where = "; put the key into a variable and name it with api_key_env" if mark == "@" else ""
            raise Mismatch(f"expected a URL without {what}{where}")
    scheme, rest = _split_scheme(text)
    authority, slash, path = rest.partition("/")
    host, port = _split_authority(authority)
    root = _api_root(slash + path)
    return BackendUrl(
        scheme=scheme,
        host=host,
        port=_SCHEMES[scheme] if port is None else port,
        api_root=root,
        native_root=root.removesuffix("/v1"),
    )


def parse_host(text: str) -> str:
    """Return a host name or address in normal form: lower case, IPv6 compressed, no brackets.

    Raises:
        ConfigError: it is neither.
    """
    if text.startswith("[") and text.endswith("]"):
        return _ipv6(text[1:-1])
    if ":" in text:
        return _ipv6(text)
    name = _ascii_name(text)
    if re.fullmatch(r"[0-9.]+", name):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise _wrong("the host looks like an IPv4 address and is none") from None
    labels = name.removesuffix(".").split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _wrong("the host is not a host name")
    return name


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach a listener on ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _wrong(why: str) -> Mismatch:
    return Mismatch(f"expected {_FORM}: {why}")


def _split_scheme(text: str) -> tuple[str, str]:
    scheme, separator, rest = text.partition("://")
    if not separator or "/" in scheme:
        if re.match(r"https?:", text, re.IGNORECASE):
            raise _wrong('"//" is missing after the scheme')
        return "http", text
    if scheme.lower() not in _SCHEMES:
        near = nearest(scheme, _SCHEMES)
        raise _wrong("the scheme is http or https" + (f'; did you mean "{near}"?' if near else ""))
    return scheme.lower(), rest


def _split_authority(authority: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        address, bracket, tail = authority[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise _wrong("brackets hold an IPv6 address, and a port follows them after a colon")
        return _ipv6(address), _port(tail[1:]) if tail else None
    if authority.count(":") > 1:
        return _bare_ipv6(authority)
    host, colon, port = authority.partition(":")
    if not host:
        raise _wrong("the host is missing")
    if host.isdigit() and not colon:
        raise _wrong("a number alone is no host; for a port on this computer write localhost:PORT")
    return parse_host(host), _port(port) if colon else None


def _bare_ipv6(text: str) -> tuple[str, int | None]:
    """Read IPv6 without brackets, where only one reading is possible."""
    head, _, tail = text.rpartition(":")
    with_port = _is_ipv6(head) and tail.isascii() and tail.isdigit()
    if not _is_ipv6(text):
        if with_port:
            return _ipv6(head), _port(tail)
        raise _wrong("the host is not an IPv6 address")
    if with_port:
        raise _wrong("the end may be a port or a part of the address; put the IPv6 address in brackets")
    return _ipv6(text), None


def _is_ipv6(text: str) -> bool:
    try:
        _ipv6(text)
    except Mismatch:
        return False
    return True


def _ipv6(text: str) -> str:
    # RFC 6874 writes the scope's "%" as "%25"; people and operating systems write it plainly.
    address, percent, scope = text.partition("%")
    if percent:
        scope = scope.removeprefix("25") or scope
        if not _SCOPE.fullmatch(scope):
            raise _wrong("the scope of the IPv6 address is not an interface")
    try:
        normal = str(ipaddress.IPv6Address(address))
    except ValueError:
        raise _wrong("the host is not an IPv6 address") from None
    return f"{normal}%{scope}" if percent else normal


def _ascii_name(text: str) -> str:
    if text.isascii():
        return text.lower()
    try:
        return text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise _wrong("the host is not a host name") from None


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise _wrong("the port is a number from 1 to 65535")
    return int(text)


def _api_root(path: str) -> str:
    root = path.rstrip("/")
    if not root:
        return "/v1"
    if not _PATH.fullmatch(root):
        raise _wrong("the path has characters that a URL cannot have")
    if any(segment in {"", ".", ".."} for segment in root[1:].split("/")):
        raise _wrong('the path has an empty, "." or ".." part')
    for surface in _SURFACES:
        if root.endswith(surface):
            raise _wrong(f"leave out {surface}: Nexus adds it")
    return root
