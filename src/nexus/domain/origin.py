"""Where a backend listens."""

from __future__ import annotations

import msgspec


class TlsOptions(msgspec.Struct, frozen=True, cache_hash=True):
    """How a TLS server is verified.

    Attributes:
        verify: whether certificate and name are checked at all.
        ca_file: a PEM file that replaces the system's roots, or ``None``.
    """

    verify: bool = True
    ca_file: str | None = None


class Origin(msgspec.Struct, frozen=True, cache_hash=True):
    """One server that connections may be shared with.

    Attributes:
        scheme: ``"http"`` or ``"https"``.
        host: a name or an address, IPv6 without brackets (a ``%scope`` may follow).
        port: 1 to 65535.
        tls: verification options; they are part of the identity, so that a connection made
            without verification is never given to a request that asked for it.
    """

    scheme: str
    host: str
    port: int
    tls: TlsOptions = TlsOptions()

    @property
    def authority(self) -> str:
        """The value of the ``Host`` header: brackets for IPv6, no default port (RFC 9110 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"
