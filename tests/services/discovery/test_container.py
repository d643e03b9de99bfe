from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus.services.discovery.container import HOST_NAMES, bridge_gateway, container_hosts, in_container

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


def hexadecimal(address: str) -> str:
    return f"{int.from_bytes(bytes(map(int, address.split('.'))), sys.byteorder):08X}"


def route(
    interface: str = "eth0",
    gateway: str = "172.17.0.1",
    *,
    destination: str = "0.0.0.0",
    mask: str = "0.0.0.0",
    flags: str = "0003",
    metric: int = 0,
) -> str:
    fields = (interface, hexadecimal(destination), hexadecimal(gateway), flags, "0", "0", str(metric))
    return "\t".join((*fields, hexadecimal(mask), "0", "0", "0")) + "\n"


def write(root: Path, name: str, text: str = "") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def device(
    root: Path, name: str = "eth0", number: str = "4\n", other_end: str = "5\n", kind: str = ""
) -> None:
    write(root, f"sys/class/net/{name}/ifindex", number)
    write(root, f"sys/class/net/{name}/iflink", other_end)
    write(root, f"sys/class/net/{name}/uevent", f"{kind}INTERFACE={name}\n")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".dockerenv", ""),
        ("run/.containerenv", 'engine="podman-5.0"\n'),
        ("proc/self/cgroup", "12:pids:/docker/0123456789abcdef\n"),
        ("proc/self/cgroup", "0::/kubepods.slice/kubepods-burstable.slice\n"),
        ("proc/self/cgroup", "1:name=systemd:/machine.slice/libpod-77.scope\n"),
    ],
)
def test_a_container_is_known_by_its_marks(tmp_path: Path, name: str, text: str) -> None:
    assert not in_container({}, tmp_path)
    write(tmp_path, name, text)
    assert in_container({}, tmp_path)


def test_a_container_is_known_by_its_environment(tmp_path: Path) -> None:
    assert in_container({"container": "podman"}, tmp_path)
    assert in_container({"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, tmp_path)
    assert not in_container({"container": "", "HOME": "/root"}, tmp_path)


def test_an_ordinary_computer_is_none(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/user.slice/user-1000.slice/session-2.scope\n")
    write(tmp_path, "proc/net/route", HEAD + route(gateway="192.168.1.1"))
    device(tmp_path)
    assert container_hosts({}, tmp_path) == ()


def test_in_a_bridged_container_the_host_has_two_names_and_a_gateway(tmp_path: Path) -> None:
    write(tmp_path, ".dockerenv")
    lan = route(gateway="0.0.0.0", destination="172.17.0.0", mask="255.255.0.0", flags="0001")
    write(tmp_path, "proc/net/route", HEAD + lan + route())
    device(tmp_path)
    assert container_hosts({}, tmp_path) == (*HOST_NAMES, "172.17.0.1")


def test_with_the_networks_of_its_host_the_router_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, ".dockerenv")
    write(tmp_path, "proc/net/route", HEAD + route(gateway="192.168.1.1"))
    device(tmp_path, number="2\n", other_end="2\n")
    assert container_hosts({}, tmp_path) == HOST_NAMES


def test_on_a_macvlan_the_router_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "proc/net/route", HEAD + route(gateway="192.168.1.1"))
    device(tmp_path, kind="DEVTYPE=macvlan\n")
    assert bridge_gateway(tmp_path) is None


def test_the_preferred_route_that_is_a_cable_to_the_host_is_taken(tmp_path: Path) -> None:
    routes = (
        route("eth0", "10.0.0.1", metric=200),
        route("eth1", "10.1.0.1", metric=100),
        route("eth2", "10.2.0.1", metric=50),
        route("eth3", "10.3.0.1", metric=10, flags="0002"),
        route("eth4", "10.4.0.1", metric=5, destination="10.4.0.0"),
        route("eth5", "10.5.0.1", metric=5, mask="255.0.0.0"),
    )
    write(tmp_path, "proc/net/route", HEAD + "".join(routes))
    for name in ("eth0", "eth1", "eth3", "eth4", "eth5"):
        device(tmp_path, name)
    device(tmp_path, "eth2", "3", "3")
    assert bridge_gateway(tmp_path) == "10.1.0.1"


@pytest.mark.parametrize(
    "line",
    [
        "eth0\n",
        "eth0\tzz\t010011AC\t0003\t0\t0\t0\t00000000\n",
        "eth0\t00000000\t-1\t0003\t0\t0\t0\t00000000\n",
        "eth0\t00000000\tFFFFFFFFFF\t0003\t0\t0\t0\t00000000\n",
        "../eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\n",
        "..\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\n",
        "\n",
    ],
)
def test_a_broken_line_is_skipped(tmp_path: Path, line: str) -> None:
    device(tmp_path)
    write(tmp_path, "proc/net/route", HEAD + line)
    assert bridge_gateway(tmp_path) is None
    write(tmp_path, "proc/net/route", HEAD + line + route())
    assert bridge_gateway(tmp_path) == "172.17.0.1"


def test_without_any_file_there_is_no_gateway(tmp_path: Path) -> None:
    assert bridge_gateway(tmp_path) is None
    write(tmp_path, "proc/net/route", HEAD + route())
    assert bridge_gateway(tmp_path) is None


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50)
def test_files_may_hold_anything(tmp_path: Path, content: bytes) -> None:
    for name in ("proc/net/route", "proc/self/cgroup", "sys/class/net/eth0/ifindex"):
        write(tmp_path, name)
        (tmp_path / name).write_bytes(content)
    container_hosts({}, tmp_path)


def test_this_very_machine_can_be_asked() -> None:
    assert isinstance(container_hosts({}), tuple)
