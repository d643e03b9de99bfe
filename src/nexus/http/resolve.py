"""From names to addresses, off the event loop, and in the order in which to try them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any, Protocol

import msgspec

from nexus.tasks import TaskOwner


class Address(msgspec.Struct, frozen=True):
    """One endpoint to connect to.

    Attributes:
        family: ``AF_INET`` or ``AF_INET6``.
        target: the tuple that ``socket.connect`` takes.
    """

    family: int
    target: tuple[Any, ...]

    def __str__(self) -> str:
        host, port = self.target[0], self.target[1]
        return f"[{host}]:{port}" if self.family == socket.AF_INET6 else f"{host}:{port}"


class Resolver(Protocol):
    """Finds addresses."""

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """Return the addresses of ``host`` in any order.

        Raises:
            OSError: there are none, or nobody could be asked.
        """
        ...


class SystemResolver:
    """The operating system's ``getaddrinfo`` on its threads.

    Callers that ask for one name at once share one look-up: a name server that does not answer
    costs a thread for each dead name, not for each request.

    Args:
        tasks: owns the look-ups, which outlive a caller that is cancelled.
    """

    __slots__ = ("_lookups", "_tasks")

    def __init__(self, tasks: TaskOwner) -> None:
        self._tasks = tasks
        self._lookups: dict[tuple[str, int], asyncio.Task[list[Address] | OSError]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """See :meth:`Resolver.resolve`; an address is its own answer, without a thread."""
        try:
            return _addresses(socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST, **_TCP))
        except socket.gaierror:
            pass
        except UnicodeError as error:
            raise OSError(f"{host!r} is not a host name: {error}") from error
        key = (host, port)
        lookup = self._lookups.get(key)
        if lookup is None:
            lookup = self._lookups[key] = self._tasks.spawn(_look_up(host, port), f"resolve {host}")
            lookup.add_done_callback(lambda _: self._lookups.pop(key, None))
        found = await asyncio.shield(lookup)
        if isinstance(found, OSError):
            raise found
        return found


def interleave(addresses: Iterable[Address]) -> list[Address]:
    """Order addresses by turns of family, IPv6 first (RFC 8305 section 4)."""
    by_family: dict[bool, list[Address]] = {True: [], False: []}
    for address in dict.fromkeys(addresses):
        by_family[address.family == socket.AF_INET6].append(address)
    turns = zip_longest(by_family[True], by_family[False])
    return [address for address in chain.from_iterable(turns) if address is not None]


_TCP: dict[str, int] = {"type": socket.SOCK_STREAM, "proto": socket.IPPROTO_TCP}


async def _look_up(host: str, port: int) -> list[Address] | OSError:
    try:
        return _addresses(await asyncio.get_running_loop().getaddrinfo(host, port, **_TCP))
    except OSError as error:
        return error


def _addresses(found: Iterable[tuple[Any, ...]]) -> list[Address]:
    return [Address(int(family), target) for family, _, _, _, target in found if family in _FAMILIES]


_FAMILIES = (socket.AF_INET, socket.AF_INET6)
