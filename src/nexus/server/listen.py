"""What stands between a configuration and a listening socket."""

from __future__ import annotations

import errno
import ssl
from pathlib import Path

from nexus.errors import StartError


def tls_context(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    """Return what clients are met with, or ``None`` for plain HTTP.

    Args:
        cert: path of a PEM file with the chain.
        key: path of a PEM file with the private key, when ``cert`` does not hold it.

    Raises:
        StartError: they cannot be used.
    """
    if cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(Path(cert).expanduser(), None if key is None else Path(key).expanduser())
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"cannot use the certificate in [server] tls_cert '{cert}': {error}") from error
    return context


def cannot_listen(host: str, port: int, error: OSError) -> str:
    """Say why an address could not be taken, and what to do about it."""
    if error.errno == errno.EADDRINUSE or "in use" in str(error):
        return (
            f"port {port} on {host} is in use: stop what listens there, or choose another port with "
            "--port or [server] port"
        )
    return f"cannot listen on {host}:{port}: {error.strerror or error}"
