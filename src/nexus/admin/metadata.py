"""Keeps a metadata service of a cloud from being added as a backend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from nexus.errors import Unprocessable
from nexus.http.metadata import is_metadata_address
from nexus.http.resolve import Address

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

_NAMES: Final = frozenset({
    "metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal",
    "metadata.azure.internal", "metadata.tencentyun.com",
})  # fmt: skip


def is_metadata_name(host: str) -> bool:
    """Tell whether a host name is known to lead to a cloud's metadata."""
    return host.lower().rstrip(".") in _NAMES


async def refuse_metadata(host: str, port: int, resolve: Resolve) -> None:
    """Refuse a host that is, or leads to, a metadata service.

    A name that cannot be resolved passes: its server may be off, and then it is not asked.

    Args:
        host: a name or an address.
        port: for the look-up.
        resolve: finds the addresses of a name.

    Raises:
        Unprocessable: it does.
    """
    refused = is_metadata_name(host) or is_metadata_address(host)
    if not refused:
        try:
            found = await resolve(host, port)
        except OSError:
            return
        refused = any(is_metadata_address(str(address.target[0])) for address in found)
    if refused:
        raise Unprocessable(
            "This leads to a cloud's metadata service, which hands out credentials and serves no models. "
            "Give the address of an inference server.",
            param="url",
        )
