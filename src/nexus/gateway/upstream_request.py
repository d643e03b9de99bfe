"""The bytes that go to a backend: an allow-list, built from a cached prefix.

Law: the client's credentials, path and query never leave; a backend's key goes to that backend
only.
"""

from __future__ import annotations

from typing import Final

from nexus import __version__
from nexus.domain import Backend
from nexus.http.server import Request
from nexus.protocol.headers import FORWARDED, X_NEXUS_VIA, add_gateway
from nexus.protocol.surfaces import Surface

_USER_AGENT: Final = f"nexus/{__version__}"
_FORWARDED: Final = tuple(sorted(FORWARDED))
_VIA_LOWER: Final = X_NEXUS_VIA.lower()


class UpstreamRequests:
    """Builds request heads and bodies.

    Args:
        gateway_id: this gateway's own id for ``X-Nexus-Via``.
    """

    __slots__ = ("_gateway_id", "_prefixes")

    def __init__(self, gateway_id: str) -> None:
        self._gateway_id = gateway_id.encode()
        self._prefixes: dict[tuple[str, str], tuple[Backend, bytes]] = {}

    def build(
        self, backend: Backend, surface: Surface, request: Request, request_id: str, body: bytes
    ) -> bytes:
        """Return head and body for one attempt.

        Args:
            backend: the leased backend.
            surface: what is asked of it.
            request: the client's request, for the headers on the allow-list.
            request_id: sent as ``X-Request-Id``.
            body: the bytes to send, already edited.
        """
        headers = b""
        header = request.fields.get
        for name in _FORWARDED:
            value = header(name)
            if value is not None:
                headers += b"%b: %b\r\n" % (name, value)
        for text in backend.spec.forward_headers:
            name = text.encode()
            value = header(name)
            if value is not None:
                headers += b"%b: %b\r\n" % (name, value)
        passed = header(_VIA_LOWER)
        via = self._gateway_id if passed is None else add_gateway(passed, self._gateway_id.decode())
        return b"%bContent-Length: %d\r\nX-Request-Id: %b\r\n%b%b: %b\r\n\r\n%b" % (
            self._prefix(backend, surface),
            len(body),
            request_id.encode(),
            headers,
            X_NEXUS_VIA,
            via,
            body,
        )

    def _prefix(self, backend: Backend, surface: Surface) -> bytes:
        key = (backend.id, surface.name)
        cached = self._prefixes.get(key)
        if cached is not None and cached[0].spec is backend.spec:
            return cached[1]
        prefix = _render_prefix(backend, surface)
        self._prefixes[key] = (backend, prefix)
        return prefix

    def forget(self, backend_id: str) -> None:
        """Drop what is cached for a removed backend."""
        for key in [key for key in self._prefixes if key[0] == backend_id]:
            del self._prefixes[key]


def _render_prefix(backend: Backend, surface: Surface) -> bytes:
    spec = backend.spec
    headers = {
        "Host": spec.origin.authority,
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Accept-Encoding": "identity",
        "User-Agent": _USER_AGENT,
    }
    if spec.key is not None:
        headers["Authorization"] = f"Bearer {spec.key.reveal()}"
    configured = {name: value.reveal() for name, value in spec.headers.items()}
    overridden = {name.lower() for name in configured}
    rows = [(name, value) for name, value in headers.items() if name.lower() not in overridden]
    lines = [f"POST {spec.api_root}{surface.path} HTTP/1.1", *(f"{n}: {v}" for n, v in rows)]
    lines += [f"{name}: {value}" for name, value in configured.items()]
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")
