"""TLS contexts for client connections, one per set of options."""

from __future__ import annotations

import asyncio
import ssl

from nexus.domain import Origin, TlsOptions
from nexus.errors import TlsFailure


class TlsContexts:
    """Makes contexts and keeps them: reading the system's roots takes tens of milliseconds."""

    __slots__ = ("_contexts",)

    def __init__(self) -> None:
        self._contexts: dict[TlsOptions, ssl.SSLContext] = {}

    async def get(self, options: TlsOptions) -> ssl.SSLContext:
        """Return the context for ``options``, made on a thread the first time.

        Raises:
            TlsFailure: ``ca_file`` cannot be read, or holds no certificate.
        """
        context = self._contexts.get(options)
        if context is None:
            loop = asyncio.get_running_loop()
            try:
                made = await loop.run_in_executor(None, _make, options)
            except OSError as error:
                raise TlsFailure(f"ca_file {options.ca_file!r} cannot be used: {error}") from error
            context = self._contexts.setdefault(options, made)
        return context


def server_name(origin: Origin) -> str:
    """The name to verify and to send as SNI: the host without a root dot or an IPv6 scope."""
    return origin.host.partition("%")[0].rstrip(".")


def _make(options: TlsOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ca_file)
    context.set_alpn_protocols(["http/1.1"])
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
