"""What the page says of sources, ports, addresses, limits and messages is what the code does."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, blocks, quoted, read, rows, section

from nexus.config.load import load
from nexus.config.schema import DiscoveryConfig
from nexus.domain import DiscoverySource
from nexus.http.metadata import METADATA
from nexus.protocol.headers import MAX_GATEWAYS
from nexus.server.fleet import EXAMINE_SECONDS
from nexus.services import advertise
from nexus.services.discovery import address_watch, examiner, listen_watch, local_ports, peers, service
from nexus.services.discovery.clouds import CLOUDS, OPENAI, backend_table
from nexus.services.discovery.container import HOST_NAMES
from nexus.services.discovery.intake import SIGHTINGS_PER_BACKEND
from nexus.services.discovery.names import readable
from nexus.services.discovery.places import LOCAL_NETWORKS
from nexus.services.discovery.servers import MAX_HOSTS

PAGE = "docs/discovery.md"
_DEFAULTS = DiscoveryConfig()
_SLOW_CHECK_MS = 1000 * listen_watch.CHECK_SECONDS * listen_watch.MOST_OF_THE_TIME
_FOUND = "## What is found, and how"
_INSERTED = re.compile(r'\.\.\.|"127\.0\.0\.1"|\b401\b|OLLAMA_HOST (?=is)')
_NUMBERS = {1: "one", 3: "three", 8: "eight"}


def test_the_ports_are_those_that_are_looked_at_in_their_order() -> None:
    told = [int(cells[0]) for cells in rows(section(PAGE, _FOUND)) if cells[0].isdigit()]
    assert tuple(told) == local_ports.PORTS


def test_every_source_is_told_with_how_it_is_shown() -> None:
    table = [cells for cells in rows(section(PAGE, _FOUND)) if len(cells) == 4 and cells[0] != "source"]
    found = set(DiscoverySource) - {DiscoverySource.STATIC, DiscoverySource.MANUAL}
    assert {cells[0].strip("`") for cells in table} == {source.value for source in found}
    shown = " ".join(cells[3] for cells in table)
    for phrase in ("OLLAMA_HOST", "this computer", "this container's host", "peer ", "mDNS '"):
        assert phrase in shown
        assert any(phrase in text for text in _strings())
    assert {*HOST_NAMES, *local_ports.LOOPBACK} <= quoted(section(PAGE, _FOUND))
    assert {source.value for source in DiscoverySource} <= quoted(read(PAGE))


def test_the_service_types_are_those_that_are_browsed_and_announced() -> None:
    told = {text for text in quoted(section(PAGE, _FOUND)) if text.endswith("._tcp.local")}
    assert told == set(_DEFAULTS.service_types)
    assert advertise.SERVICE_TYPE.rstrip(".") in quoted(section(PAGE, "## Being found"))


def test_every_setting_and_its_default_is_in_the_table() -> None:
    table = {cells[0].strip("`"): cells[1] for cells in rows(section(PAGE, "## Settings"))}
    del table["setting"]
    assert set(table) == set(DiscoveryConfig.__struct_fields__)
    for name, told in table.items():
        value = getattr(_DEFAULTS, name)
        if isinstance(value, bool):
            assert told == f"`{str(value).lower()}`"
        elif isinstance(value, tuple):
            assert quoted(told) == set(value)
        else:
            assert told == f"{value:g}"


def test_every_variable_that_is_mentioned_only_is_told() -> None:
    told = {name for cells in rows(section(PAGE, "## Mentioned, never used")) for name in quoted(cells[0])}
    assert told == {name for cloud in CLOUDS for name in (*cloud.keys, cloud.base_url) if name}
    shown = next(
        block.text for block in blocks("text") if block.page == PAGE and "OPENAI_API_KEY" in block.text
    )
    lines = [line.strip() for line in shown.splitlines()[1:]]
    assert lines == backend_table(OPENAI.name, OPENAI.url, OPENAI.keys[0]).splitlines()


def test_the_networks_that_are_accepted_and_refused_are_those_of_the_code() -> None:
    accepted, refused = section(PAGE, "## Security").split("| always refused |", 1)
    networks = {text for cells in rows(accepted) for text in quoted(cells[0])}
    assert networks == {str(network) for network in LOCAL_NETWORKS}
    table = refused.partition("\n\n")[0]
    assert {text for cells in rows(table) for text in quoted(cells[0])} == {
        str(network.network_address if network.num_addresses == 1 else network) for network in METADATA
    }


@pytest.mark.parametrize(
    ("heading", "sentence"),
    [
        (_FOUND, f"{local_ports.CONNECT_SECONDS:g} s for each connect, all at once"),
        (_FOUND, f"on Linux within {listen_watch.CHECK_SECONDS:g} s of a change"),
        (_FOUND, f"is noticed within {listen_watch.CHECK_SECONDS:g} s on Linux"),
        (_FOUND, f"more than {_SLOW_CHECK_MS:g} ms, it is done less often"),
        (_FOUND, f"every `probe_seconds`; {peers.CONNECT_SECONDS:g} s for each connect"),
        (_FOUND, f"`probe_seconds` ({_DEFAULTS.probe_seconds:g})"),
        (_FOUND, f"within {EXAMINE_SECONDS:g} s each"),
        (_FOUND, f"asked again after {examiner.REFUSED_SECONDS:g} s"),
        (_FOUND, f"after {examiner.BACKOFF_SECONDS:g} s, 2 s, 4 s and so on"),
        (_FOUND, f"at most every {examiner.BACKOFF_CAP_SECONDS:g} s"),
        ("## One server is one backend", f"when {_NUMBERS[address_watch.SILENT_LOOKS]} looks in a row"),
        (
            "## One server is one backend",
            f"`grace_period_seconds` ({_DEFAULTS.grace_period_seconds:g}) later",
        ),
        ("## One server is one backend", f"`max_backends` ({_DEFAULTS.max_backends}) are added"),
        ("## One server is one backend", f"({SIGHTINGS_PER_BACKEND * _DEFAULTS.max_backends})"),
        ("## One server is one backend", f"{_NUMBERS[MAX_HOSTS]} addresses of each server"),
        ("## Being found", f"addresses within {advertise.RECHECK_SECONDS:g} s"),
        ("### Gateways over gateways", f"at most {MAX_GATEWAYS}."),
        ("## Troubleshooting", f"answered within {service.FIRST_ROUND_SECONDS:g} s"),
    ],
)
def test_the_times_and_limits_are_those_in_force(heading: str, sentence: str) -> None:
    assert sentence in " ".join(section(PAGE, heading).split())


def test_the_keys_of_an_announcement_are_told() -> None:
    announced = advertise.Announcement("desk.lan", "5f2c9a1be07d4438", 6398)
    told = quoted(section(PAGE, "## Being found"))
    assert set(announced.text) <= told
    assert announced.instance in told
    assert f"Found {readable(announced.instance)} (nexus, mDNS '{announced.instance}'" in read(PAGE)
    assert {"bearer", "none"} <= told


def test_every_message_is_one_that_nexus_says() -> None:
    said = "\n".join(_strings())
    for cells in rows(section(PAGE, "## Troubleshooting")):
        for message in re.findall(r"`([^`]+ [^`]+)`", cells[0]):
            if message.startswith(("nexus ", "level ")):
                continue
            pieces = [piece.strip(" :()") for piece in _INSERTED.split(message)]
            assert [piece for piece in pieces if piece and piece not in said] == [], message


@cache
def _strings() -> tuple[str, ...]:
    """Every text in the source: what an f-string inserts stands between two of its texts."""
    found: list[str] = []
    for path in (ROOT / "src/nexus").rglob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        constants = (node.value for node in nodes if isinstance(node, ast.Constant))
        found.extend(value for value in constants if isinstance(value, str))
    return tuple(found)


def test_every_way_to_turn_it_off_is_a_setting_that_loads(tmp_path: Path) -> None:
    told = section(PAGE, "## Security").partition("**Turn it off**")[2]
    lines = [text for text in quoted(told) if " = " in text]
    assert len(lines) == 3
    for line in lines:
        path = tmp_path / "nexus.toml"
        path.write_text(f"[discovery]\n{line}\n", encoding="utf-8")
        assert load(path, {}).config.discovery != _DEFAULTS
