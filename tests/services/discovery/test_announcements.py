from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.domain import DiscoverySource
from nexus.services.discovery.announcements import key_of, read_announcement, service_type

TYPE = "_llm._tcp.local."


class Info:
    def __init__(
        self, txt: Mapping[str, str | None] | None = None, *addresses: str, port: int | None = 8000
    ) -> None:
        self.decoded_properties = {} if txt is None else txt
        self.port = port
        self._addresses = list(addresses)

    def parsed_scoped_addresses(self) -> list[str]:
        return self._addresses


def test_an_announcement_is_read() -> None:
    txt = {
        "type": "vllm", "api_path": "/api/v1", "version": "1", "auth": "bearer", "tls": "1", "id": "abc",
        "priority": "0", "key": "sk-evil",
    }  # fmt: skip
    sighting = read_announcement(TYPE, f"Kitchen.{TYPE}", Info(txt, "192.168.1.4", "fe80::1%3"))
    assert sighting.key == "mdns:kitchen._llm._tcp.local."
    assert sighting.source is DiscoverySource.MDNS
    assert sighting.found_by == "mDNS 'Kitchen' (_llm._tcp)"
    assert sighting.addresses == (("192.168.1.4", 8000), ("fe80::1%3", 8000))
    assert (sighting.name, sighting.tls, sighting.path, sighting.server_id) == (
        "Kitchen", True, "/api/v1", "abc",
    )  # fmt: skip
    assert "vllm" not in repr(sighting)
    assert "evil" not in repr(sighting)


@pytest.mark.parametrize(
    ("txt", "tls", "path", "server_id"),
    [
        ({}, False, "", ""),
        ({"tls": "0", "PATH": "/v1", "ID": " x "}, False, "/v1", "x"),
        ({"tls": None, "id": None, "path": None, "api_path": "/y"}, False, "/y", ""),
        ({"Id": "first", "id": "second"}, False, "", "first"),
        ({"id": "a\x1b[2Jb\x00", "tls": "maybe"}, False, "", "a\ufffd[2Jb\ufffd"),
        ({"id": "x" * 999}, False, "", "x" * 128),
    ],
)
def test_odd_txt_records_are_hints_that_say_little(
    txt: dict[str, str | None], tls: bool, path: str, server_id: str
) -> None:
    sighting = read_announcement(TYPE, f"K.{TYPE}", Info(txt, "10.0.0.1"))
    assert (sighting.tls, sighting.path, sighting.server_id) == (tls, path, server_id)


@pytest.mark.parametrize("port", [0, None])
def test_without_a_port_there_is_nowhere_to_connect_to(port: int | None) -> None:
    assert read_announcement(TYPE, f"K.{TYPE}", Info({}, "10.0.0.1", port=port)).addresses == ()


@given(st.text(max_size=70), st.dictionaries(st.text(max_size=9), st.none() | st.text(max_size=300)))
def test_whatever_is_announced_can_be_printed(instance: str, txt: dict[str, str | None]) -> None:
    sighting = read_announcement(TYPE, f"{instance}.{TYPE}", Info(txt, "10.0.0.1"))
    for text in (sighting.found_by, sighting.name, sighting.path, sighting.server_id):
        assert text.isprintable()
        assert len(text) <= 160


def test_names_that_differ_in_case_are_one() -> None:
    assert key_of(f"Kitchen.{TYPE}") == key_of(f"KITCHEN.{TYPE}")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("_llm._tcp.local", "_llm._tcp.local."),
        (" _LLM._tcp.local. ", "_llm._tcp.local."),
        ("_a-b-c._udp.local", "_a-b-c._udp.local."),
        ("_abcdefghijklmno._tcp.local", "_abcdefghijklmno._tcp.local."),
        ("_abcdefghijklmnop._tcp.local", None),
        ("_123._tcp.local", None),
        ("_a--b._tcp.local", None),
        ("_-a._tcp.local", None),
        ("_a-._tcp.local", None),
        ("_llm._tcp.example", None),
        ("_llm._sctp.local", None),
        ("llm", None),
        ("", None),
    ],
)
def test_service_types_are_written_as_dns_sd_wants_them(text: str, name: str | None) -> None:
    assert service_type(text) == name
