"""Who may come in: ``Host``, ``Origin`` and client keys, checked on the head alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import msgspec

from nexus.domain import Secret
from nexus.errors import Forbidden, InvalidApiKey, MisdirectedRequest
from nexus.http.server import Request
from nexus.protocol.headers import Header

_BEARER: Final = b"bearer "
_ALLOWED_METHODS: Final = b"GET, POST, HEAD, OPTIONS"


class Doors(msgspec.Struct, frozen=True):
    """The rules of the inference routes.

    Attributes:
        keys: client keys; empty leaves the door open.
        cors_origins: origins that browsers may call from; ``"*"`` allows every one.
        loopback: bound to loopback only, so ``Host`` is checked against DNS rebinding.
        hosts: further host names that a loopback bind answers to, lower case.
        scheme: ``http`` or ``https``, as Nexus serves.
    """

    keys: tuple[Secret, ...] = ()
    cors_origins: frozenset[str] = frozenset()
    loopback: bool = True
    hosts: frozenset[str] = frozenset()
    scheme: str = "http"

    def check_host(self, request: Request) -> None:
        """Refuse names that are not ours on a loopback bind.

        Raises:
            MisdirectedRequest: ``Host`` is neither an address, ``localhost`` nor a configured name.
        """
        if not self.loopback:
            return
        value = request.fields.get(b"host")
        if value is None or self._is_ours(value):
            return
        raise MisdirectedRequest(
            "This gateway does not answer to that Host. "
            "Use http://127.0.0.1 or localhost, or add the name to [server] allowed_hosts."
        )

    def check_origin(self, request: Request) -> None:
        """Refuse pages of origins that CORS does not allow; Nexus's own page is let in.

        Raises:
            Forbidden: ``Origin`` was sent, is not on the list and not our own.
        """
        value = request.fields.get(b"origin")
        if value is None:
            return
        origin = value.decode("latin-1")
        if "*" in self.cors_origins or origin in self.cors_origins or self._is_own(request, value):
            return
        raise Forbidden(
            "Requests from this web page's origin are not allowed. "
            "Add it to [server] cors_origins to allow it."
        )

    def _is_ours(self, host: bytes) -> bool:
        name = _host_name(host)
        return name is None or name in self.hosts

    def _is_own(self, request: Request, origin: bytes) -> bool:
        """Tell whether Nexus served the page itself.

        Law: by a name that is surely ours, on every bind. A name of somebody else that leads here
        (DNS rebinding) makes the page of somebody else look like one origin with us.
        """
        host = request.fields.get(b"host")
        if host is None or not self._is_ours(host):
            return False
        return origin.strip().lower() == b"%b://%b" % (self.scheme.encode(), host.strip().lower())

    def check_key(self, request: Request) -> None:
        """Ask for a client key where keys are configured.

        Raises:
            InvalidApiKey: none was sent, or a wrong one.
        """
        if not self.keys:
            return
        offered = _offered_key(request)
        # Every key is compared, so that the time tells nothing about which one was near.
        if sum(key.matches(offered) for key in self.keys):
            return
        raise InvalidApiKey(
            "A valid API key is needed: send 'Authorization: Bearer KEY' or 'x-api-key: KEY'."
            if not offered
            else "The API key is not one of this gateway's keys.",
            headers=(("WWW-Authenticate", "Bearer"),),
        )

    def cors_headers(self, request: Request) -> Sequence[Header]:
        """Return the CORS headers of a reply to this request (Fetch standard, 3.2)."""
        origin = request.header(b"origin")
        if origin is None or not self.cors_origins:
            return ()
        return (
            (b"Access-Control-Allow-Origin", origin),
            (b"Access-Control-Expose-Headers", b"*"),
            (b"Vary", b"Origin"),
        )

    def preflight_headers(self, request: Request) -> Sequence[Header]:
        """Return the headers of the answer to a CORS preflight (Fetch standard, 3.2.2)."""
        asked = request.header(b"access-control-request-headers") or b"authorization, content-type"
        return (
            *self.cors_headers(request),
            (b"Access-Control-Allow-Methods", _ALLOWED_METHODS),
            (b"Access-Control-Allow-Headers", asked),
            (b"Access-Control-Max-Age", b"600"),
        )


def _offered_key(request: Request) -> str:
    value = request.header(b"authorization")
    if value is not None and value[: len(_BEARER)].lower() == _BEARER:
        return value[len(_BEARER) :].strip().decode("latin-1")
    value = request.header(b"x-api-key")
    return value.strip().decode("latin-1") if value is not None else ""


@lru_cache(maxsize=256)
def _host_name(value: bytes) -> str | None:
    """Return the name in a ``Host`` header, ``None`` when it is surely this machine or an address."""
    try:
        name = (urlsplit(f"//{value.strip().decode('latin-1')}").hostname or "").lower()
    except ValueError:
        return ""
    if name == "localhost" or name.endswith(".localhost"):
        return None
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name
    return None
