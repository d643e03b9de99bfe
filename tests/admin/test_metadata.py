from __future__ import annotations

import socket
from collections.abc import Sequence

import pytest
from tests.admin.asking import Admin
from tests.support.gateway import Serve

from nexus.admin.metadata import refuse_metadata
from nexus.errors import Unprocessable
from nexus.http.metadata import is_metadata_address
from nexus.http.resolve import Address

METADATA = [
    "169.254.169.254", "169.254.169.253", "169.254.170.2", "169.254.170.23", "169.254.0.23",
    "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
    "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::",
    "::169.254.169.254", "fe80::a9fe:a9fe%eth0",
]  # fmt: skip
HARMLESS = [
    "127.0.0.1", "::1", "192.168.1.10", "10.0.0.1", "169.254.1.1", "169.254.168.254", "100.64.0.1",
    "100.100.100.201", "fe80::1%eth0", "fd00::1", "fd00:ec3::254", "8.8.8.8", "2001:db8::1", "no address",
]  # fmt: skip


@pytest.mark.parametrize("address", METADATA)
def test_metadata_services_are_known_in_every_spelling(address: str) -> None:
    assert is_metadata_address(address)


@pytest.mark.parametrize("address", HARMLESS)
def test_others_are_not_taken_for_one(address: str) -> None:
    assert not is_metadata_address(address)


async def test_names_are_judged_by_all_their_addresses() -> None:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        if host == "off.example":
            raise OSError("no such host")
        found = ["10.0.0.1"] if host == "good.example" else ["10.0.0.1", "169.254.169.254"]
        return [Address(socket.AF_INET, (address, port)) for address in found]

    await refuse_metadata("good.example", 80, resolve)
    await refuse_metadata("off.example", 80, resolve)
    for host in ("bad.example", "Metadata.Google.Internal.", "metadata", "instance-data"):
        with pytest.raises(Unprocessable):
            await refuse_metadata(host, 80, resolve)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254",
        "http://169.254.169.254/latest/meta-data",
        "169.254.169.254:80",
        "http://[::ffff:169.254.169.254]",
        "http://[fd00:ec2::254]:80/",
        "http://metadata.google.internal/computeMetadata/v1",
        "http://0xa9fea9fe",
        "http://0xa9.0xfe.0xa9.0xfe",
        "http://100.100.100.200:8000",
    ],
)
async def test_no_gateway_adds_one(start: Serve, url: str) -> None:
    gateway = await start("")
    admin = Admin(gateway)
    reply = await admin.add(url=url, type="generic")
    assert (reply.status, reply.error["param"]) == (422, "url"), reply.body
    assert "metadata" in reply.error["message"]
    assert await admin.list() == {}


@pytest.mark.parametrize("url", ["http://2852039166", "http://0251.0376.0251.0376", "http://169.254.43518"])
async def test_other_spellings_of_numbers_are_no_host(start: Serve, url: str) -> None:
    reply = await Admin(await start("")).add(url=url, type="generic")
    assert reply.status in (400, 422)
