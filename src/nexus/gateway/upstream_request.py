"""The bytes that go to a backend: an allow-list, built from a cached prefix.

Law: the client's credentials, path and query never leave; a backend's key goes to that backend
only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nexus import __version__
from nexus.backends.base import Adapter
from nexus.domain import Backend, BackendType
from nexus.gateway.attempt_headers import backend_lines
from nexus.http.server import Request
from nexus.observe.tracing import TRACEPARENT, Trace
from nexus.protocol.headers import FORWARDED, X_NEXUS_VIA, add_gateway
from nexus.protocol.surfaces import Surface

_USER_AGENT: Final = f"nexus/{__version__}"
_VIA_LOWER: Final = X_NEXUS_VIA.lower()
_REQUEST_ID: Final = b"\r\nX-Request-Id: "
_VIA: Final = b"\r\n" + X_NEXUS_VIA + b": "
_TRACEPARENT: Final = b"\r\n" + TRACEPARENT + b": "
_NOTHING: Final[frozenset[bytes]] = frozenset()
_END: Final = b"\r\n\r\n"


class Target:
    """What every request to one surface of one backend shares, worked out once.

    Attributes:
        backend: as it was then.
        adapter: its dialect.
        fixes: what its dialect needs changed in bodies, less what the operator switched off.
        named: the reply headers that name it.
    """

    __slots__ = ("_forwarded", "_gateway_id", "_prefix", "_via", "adapter", "backend", "fixes", "named")

    def __init__(self, backend: Backend, surface: Surface, adapter: Adapter, gateway_id: str) -> None:
        self.backend = backend
        self.adapter = adapter
        self.fixes = adapter.fixes - backend.spec.disabled_fixes
        self.named = backend_lines(backend)
        self._prefix = _render_prefix(backend, surface) + b"Content-Length: "
        self._forwarded = FORWARDED.union(map(str.encode, backend.spec.forward_headers))
        self._gateway_id = gateway_id
        self._via = gateway_id.encode()

    def request(self, request: Request, request_id: str, body: bytes, trace: Trace | None = None) -> bytes:
        """Return head and body for one attempt.

        Args:
            request: the client's request, for the headers on the allow-list.
            request_id: sent as ``X-Request-Id``.
            body: the bytes to send, already edited.
            trace: of the request, while tracing is on: the attempt becomes the parent of what is
                traced behind it, in place of the client's span.
        """
        fields = request.fields
        parts = [self._prefix, b"%d" % len(body), _REQUEST_ID, request_id.encode()]
        if not self._forwarded.isdisjoint(fields):
            replaced = trace.replaced if trace is not None else _NOTHING
            for name in self._forwarded:
                if name in fields and name not in replaced:
                    parts += (b"\r\n", name, b": ", fields[name])
        if trace is not None:
            parts += (_TRACEPARENT, trace.attempt())
        passed = fields.get(_VIA_LOWER)
        parts += (_VIA, self._via if passed is None else add_gateway(passed, self._gateway_id), _END, body)
        return b"".join(parts)


class Targets:
    """The targets in use.

    Args:
        adapters: the dialects.
        gateway_id: this gateway's own id for ``X-Nexus-Via``.
    """

    __slots__ = ("_adapters", "_gateway_id", "_targets")

    def __init__(self, adapters: Mapping[BackendType, Adapter], gateway_id: str) -> None:
        self._adapters = adapters
        self._gateway_id = gateway_id
        self._targets: dict[str, dict[str, Target]] = {}

    def of(self, backend: Backend, surface: Surface) -> Target:
        """Return the target of a surface; made anew when what it rests on has changed."""
        by_backend = self._targets.get(surface.name)
        if by_backend is None:
            by_backend = self._targets[surface.name] = {}
        target = by_backend.get(backend.spec.id)
        if target is None or not _same(target.backend, backend):
            target = Target(backend, surface, self._adapters[backend.type], self._gateway_id)
            by_backend[backend.spec.id] = target
        return target

    def forget(self, backend_id: str) -> None:
        """Drop what was worked out for a backend that is gone."""
        for by_backend in self._targets.values():
            by_backend.pop(backend_id, None)


def _same(old: Backend, new: Backend) -> bool:
    return old is new or (old.spec is new.spec and old.type is new.type and old.cloud is new.cloud)


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
