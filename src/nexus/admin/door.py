"""Who may use ``/admin``: nobody who came in by the door of the inference routes.

Laws held here: a client's key opens nothing here, and the token opens nothing there; a page in a
browser gets in only if Nexus itself served it; what is not surely on this computer needs the token.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from nexus.domain import Secret
from nexus.errors import Forbidden, InvalidApiKey, MisdirectedRequest
from nexus.gateway.doors import Doors
from nexus.http.request import Request

_BEARER: Final = b"bearer "
_PROXIED: Final = (b"forwarded", b"via", b"x-real-ip")
_PROXIED_PREFIX: Final = b"x-forwarded-"
_CHALLENGE: Final = (("WWW-Authenticate", "Bearer"),)


class AdminDoor(msgspec.Struct, frozen=True):
    """The rules of ``/admin``.

    Attributes:
        token: opens the door from anywhere; ``None`` when there is none.
        token_only: whether callers on this computer need it, too: somebody configured it.
        loopback: bound to loopback only.
        hosts: further names that ``Host`` may have, lower case.
        scheme: ``http`` or ``https``, as Nexus serves.
    """

    token: Secret | None = None
    token_only: bool = False
    loopback: bool = True
    hosts: frozenset[str] = frozenset()
    scheme: str = "http"

    def check(self, request: Request) -> None:
        """Let a request in by its head alone.

        Raises:
            MisdirectedRequest: the ``Host`` is not one of ours.
            Forbidden: a web page of somebody else sent it, or somebody from elsewhere.
            InvalidApiKey: the token is missing or wrong.
        """
        self.check_place(request)
        self.check_right(request)

    def check_place(self, request: Request) -> None:
        """Refuse what came by another name or from somebody else's page.

        Raises:
            MisdirectedRequest: the ``Host`` is not one of ours.
            Forbidden: a web page of somebody else sent it.
        """
        self._check_host(request)
        self._check_origin(request)

    def is_open_to(self, request: Request) -> bool:
        """Tell whether a request needs no token."""
        return not self.token_only and _is_local(request)

    def check_right(self, request: Request) -> None:
        """Ask for the token where one is needed.

        Raises:
            Forbidden: it came from elsewhere, and there is no token to show.
            InvalidApiKey: the token is missing or wrong.
        """
        if self.is_open_to(request):
            return
        if self.token is None:
            raise Forbidden(
                "The administration is for callers on this computer that come straight here. "
                "To use it from elsewhere or through a proxy, name a variable that holds a token in "
                "[admin] token_env and send 'Authorization: Bearer TOKEN'."
            )
        offered = _bearer(request)
        if self.token.matches(offered):
            return
        raise InvalidApiKey(
            "This is not the administration's token; a client's key is none."
            if offered
            else "The administration needs its token: send 'Authorization: Bearer TOKEN'.",
            headers=_CHALLENGE,
        )

    def _check_host(self, request: Request) -> None:
        """Hold off DNS rebinding: on every bind, unless the door asks everybody for a token."""
        if b"host" not in request.fields and not self.token_only:
            raise MisdirectedRequest("The administration answers to requests with a Host only.")
        Doors(loopback=self.loopback or not self.token_only, hosts=self.hosts).check_host(request)

    def _check_origin(self, request: Request) -> None:
        origin = request.fields.get(b"origin")
        if origin is None:
            return
        scheme, _, authority = origin.strip().lower().partition(b"://")
        # Behind a proxy that ends TLS the page is https and the request is http.
        schemes = {b"http", b"https"} if self.token_only else {self.scheme.encode()}
        if scheme not in schemes or authority != request.fields.get(b"host", b"").strip().lower():
            raise Forbidden("The administration answers to no web page but its own.")


def one_time_token(
    *, configured: bool, in_container: bool, make: Callable[[], str] = lambda: secrets.token_urlsafe(24)
) -> Secret | None:
    """Make the token of a gateway whose users cannot be on its computer.

    Args:
        configured: there is a token already.
        in_container: nobody outside the container can come from its loopback address.
        make: gives the random text.

    Returns:
        A token for this process, or ``None`` where none is needed.
    """
    return Secret(make()) if in_container and not configured else None


def token_line(token: Secret, base_url: str) -> str:
    """Return the line that tells the operator a one-time token: the one place that shows it."""
    return (
        f"Administration token, until Nexus ends: {token.reveal()}   "
        f"(NEXUS_ADMIN_TOKEN=... nexus backends list --url {base_url}; [admin] token_env sets one that stays)"
    )


def _bearer(request: Request) -> str:
    value = request.fields.get(b"authorization", b"")
    return value[len(_BEARER) :].strip().decode("latin-1") if value[: len(_BEARER)].lower() == _BEARER else ""


def _is_local(request: Request) -> bool:
    """Tell whether the request was made on this computer and came straight here."""
    if request.peer is None:
        return False
    if any(name in _PROXIED or name.startswith(_PROXIED_PREFIX) for name in request.fields):
        return False
    try:
        address = ipaddress.ip_address(request.peer.partition("%")[0])
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
