"""From inside a container: where the computer is that runs it.

Law: the default gateway is asked only where it is the container's own host. With the host's
network, or one that is bridged to the LAN, it is somebody's router, which nobody asked us to probe.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

HOST_NAMES: Final = ("host.docker.internal", "host.containers.internal")
"""What Docker and Podman call the computer that runs a container."""

_MARKERS: Final = (".dockerenv", "run/.containerenv")
_CGROUP_WORDS: Final = ("docker", "kubepods", "containerd", "libpod", "lxc", "garden")
_UP_AND_GATEWAY: Final = 0x0003
_MOST: Final = 1 << 20


def in_container(environ: Mapping[str, str], root: Path = Path("/")) -> bool:
    """Tell whether this process runs inside a container.

    Args:
        environ: the environment.
        root: where the file system begins.
    """
    if any((root / marker).exists() for marker in _MARKERS):
        return True
    # systemd's convention (https://systemd.io/CONTAINER_INTERFACE), and what Kubernetes sets.
    if environ.get("container") or environ.get("KUBERNETES_SERVICE_HOST"):
        return True
    groups = _text(root / "proc/self/cgroup")
    return any(word in line for line in groups.splitlines() for word in _CGROUP_WORDS)


def container_hosts(environ: Mapping[str, str], root: Path = Path("/")) -> tuple[str, ...]:
    """Return names and addresses of the computer that runs this container.

    Args:
        environ: the environment.
        root: where the file system begins.

    Returns:
        What to try, in any order of success; nothing outside a container.
    """
    if not in_container(environ, root):
        return ()
    gateway = bridge_gateway(root)
    return HOST_NAMES if gateway is None else (*HOST_NAMES, gateway)


def bridge_gateway(root: Path = Path("/")) -> str | None:
    """Return the default gateway, if the way to it is one end of a virtual cable (veth).

    The other end is in the host's network namespace, so its interface number (``iflink``) is not
    the number of ours (Linux, Documentation/ABI/testing/sysfs-class-net). A macvlan has another
    number, too, but says what it is, and hangs on the LAN.
    """
    for interface, gateway in _default_routes(root):
        device = root / "sys/class/net" / interface
        number, other_end = _text(device / "ifindex").strip(), _text(device / "iflink").strip()
        if number and other_end and number != other_end and "DEVTYPE=" not in _text(device / "uevent"):
            return gateway
    return None


def _default_routes(root: Path) -> Iterator[tuple[str, str]]:
    """Yield interface and gateway of each default route, the preferred one first (proc(5), net/route)."""
    routes: list[tuple[int, str, str]] = []
    for line in _text(root / "proc/net/route").splitlines()[1:]:
        fields = line.split()
        try:
            interface, destination, gateway, flags, _, _, metric, mask = fields[:8]
            numbers = [int(text, 16) for text in (destination, mask, gateway, flags)]
            address = ipaddress.IPv4Address(numbers[2].to_bytes(4, sys.byteorder))
            rank = int(metric)
        except (ValueError, OverflowError):
            continue
        usable = numbers[3] & _UP_AND_GATEWAY == _UP_AND_GATEWAY
        if usable and not numbers[0] and not numbers[1] and _is_name(interface):
            routes.append((rank, interface, str(address)))
    for _, interface, gateway in sorted(routes):
        yield interface, gateway


def _is_name(interface: str) -> bool:
    return "/" not in interface and interface not in {".", ".."}


def _text(path: Path) -> str:
    """Return what a file of the system says; one that is not there, or not for us, says nothing."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST).decode("utf-8", "replace")
    except OSError:
        return ""
