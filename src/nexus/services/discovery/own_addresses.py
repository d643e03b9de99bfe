"""Which addresses lead to this very Nexus.

Law: a gateway never becomes its own backend, by whatever name or interface somebody points at
it. This is the first net, of addresses; the second is the gateway's id on every probe, which
also catches what no address tells, such as a published container port.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Final

import ifaddr

from nexus.http.resolve import Resolver

_IP = ipaddress.IPv4Address | ipaddress.IPv6Address

_LOOPBACKS: Final[tuple[_IP, ...]] = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))


def interface_addresses() -> tuple[str, ...]:
    """Return the addresses of this computer's interfaces, as they are now."""
    found = (ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    return tuple(ip if isinstance(ip, str) else ip[0] for ip in found)


class OwnAddresses:
    """Compares addresses with those that this Nexus listens on.

    Args:
        interfaces: gives the addresses of this computer; asked anew each time, since they change.
        host_name: this computer's own name.
    """

    __slots__ = ("_bound", "_host_names", "_interfaces")

    def __init__(
        self,
        interfaces: Callable[[], Iterable[str]] = interface_addresses,
        host_name: Callable[[], str] = socket.gethostname,
    ) -> None:
        self._interfaces = interfaces
        name = host_name().lower().rstrip(".")
        self._host_names = frozenset({name, f"{name}.local", f"{name.partition('.')[0]}.local"})
        self._bound: tuple[tuple[_IP, int], ...] = ()

    def bind(self, addresses: Iterable[tuple[str, int]]) -> None:
        """Take note of where this Nexus listens: host and port of each listening socket."""
        parsed = ((_address(host), port) for host, port in addresses)
        self._bound = tuple((address, port) for address, port in parsed if address is not None)

    def is_interface(self, host: str) -> bool:
        """Tell whether ``host`` is an address of this computer, whoever listens there."""
        address = _address(host)
        return address is not None and (_is_here(address) or address in self._machine())

    def is_self(self, host: str, port: int) -> bool:
        """Tell whether a connection to ``host`` and ``port`` would be one to this Nexus.

        Args:
            host: an address, with or without a scope, or a name of this computer. Any other
                name has to be resolved before: see :meth:`leads_here`.
            port: 1 to 65535.
        """
        bound = [own for own, own_port in self._bound if own_port == port]
        if not bound:
            return False
        return any(self._reaches(target, own) for target in self._targets(host) for own in bound)

    async def leads_here(self, host: str, port: int, resolver: Resolver) -> bool:
        """Tell the same of any name, by every address that it has now.

        Raises:
            OSError: it has none, or nobody could be asked.
        """
        if self.is_self(host, port):
            return True
        found = await resolver.resolve(host, port)
        return any(self.is_self(str(address.target[0]), port) for address in found)

    def _targets(self, host: str) -> tuple[_IP, ...]:
        """Return the addresses that ``host`` stands for, as far as that is known without asking."""
        address = _address(host)
        if address is not None:
            # To connect to "any address" is to connect to this computer.
            return (_LOOPBACKS[address.version == 6],) if address.is_unspecified else (address,)
        name = host.lower().rstrip(".")
        if name == "localhost" or name.endswith(".localhost"):
            return _LOOPBACKS
        return (*_LOOPBACKS, *self._machine()) if name in self._host_names else ()

    def _reaches(self, target: _IP, own: _IP) -> bool:
        if not own.is_unspecified:
            return target == own
        # Listening sockets take one family each: see ``nexus.http.accept``.
        return target.version == own.version and (_is_here(target) or target in self._machine())

    def _machine(self) -> frozenset[_IP]:
        try:
            found = tuple(self._interfaces())
        except OSError:
            # A sandbox may forbid to ask; then loopback is what is known, and the second net holds.
            found = ()
        parsed = (_address(text) for text in found)
        return frozenset(address for address in parsed if address is not None)


def _is_here(address: _IP) -> bool:
    return address.is_loopback or address.is_unspecified


def _address(text: str) -> _IP | None:
    """Return an address without its scope, an IPv4 one out of its IPv6 form."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped
