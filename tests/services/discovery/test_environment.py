from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.services.discovery.watching import Bench, running

from nexus.config.load import load
from nexus.domain import DiscoverySource
from nexus.services.discovery.clouds import CLOUDS
from nexus.services.discovery.environment import EnvironmentAddresses, read_environment
from nexus.services.discovery.own_addresses import OwnAddresses

KEY = "sk-very-secret-0123456789"


def addresses(environ: dict[str, str]) -> list[tuple[str, tuple[tuple[str, int], ...], bool, str]]:
    return [(s.key, s.addresses, s.tls, s.path) for s in read_environment(environ).sightings]


def test_an_empty_environment_says_nothing() -> None:
    read = read_environment(
        {"HOME": "/root", "OLLAMA_HOST": " ", "OPENAI_BASE_URL": "", "OPENAI_API_KEY": " "}
    )
    assert read.sightings == ()
    assert read.mentions == ()


@pytest.mark.parametrize(
    ("value", "places", "tls", "path"),
    [
        ("0.0.0.0", (("127.0.0.1", 11434),), False, ""),
        ("0.0.0.0:11500", (("127.0.0.1", 11500),), False, ""),
        ("[::]", (("::1", 11434), ("127.0.0.1", 11434)), False, ""),
        (":1234", (("127.0.0.1", 1234), ("::1", 1234)), False, ""),
        ("http://gpubox", (("gpubox", 80),), False, ""),
        ("https://Ollama.Example.com", (("ollama.example.com", 443),), True, ""),
        ("https://example.com/ollama/", (("example.com", 443),), True, "/ollama/v1"),
        ("'192.168.1.5'", (("192.168.1.5", 11434),), False, ""),
        ("[fe80::1%eth0]:11434", (("fe80::1%eth0", 11434),), False, ""),
    ],
)
def test_ollama_host_is_looked_at(
    value: str, places: tuple[tuple[str, int], ...], tls: bool, path: str
) -> None:
    assert addresses({"OLLAMA_HOST": value}) == [("env:OLLAMA_HOST", places, tls, path)]
    (sighting,) = read_environment({"OLLAMA_HOST": value}).sightings
    assert (sighting.source, sighting.found_by) == (DiscoverySource.LOCAL, "OLLAMA_HOST")


@pytest.mark.parametrize(
    "value",
    [
        "ftp://box",
        "unix:///tmp/ollama.sock",
        "box:0",
        "[::1",
        "a b",
        "user:secret@box:80",
        "box/../x",
        "1.2.3",
    ],
)
def test_an_ollama_host_that_nobody_can_connect_to_is_mentioned_and_not_echoed(value: str) -> None:
    read = read_environment({"OLLAMA_HOST": value})
    if read.sightings:
        # Ollama, too, drops brackets that are not closed.
        assert (value, read.sightings[0].addresses) == ("[::1", (("::1", 11434),))
        return
    (mention,) = read.mentions
    assert mention.variable == "OLLAMA_HOST"
    assert mention.text.startswith("OLLAMA_HOST is not used: expected a URL")
    assert "secret" not in mention.text
    assert mention.toml == ""


def test_the_cloud_of_ollama_is_a_cloud() -> None:
    read = read_environment({"OLLAMA_HOST": "ollama.com"})
    assert read.sightings == ()
    assert [m.variable for m in read.mentions] == ["OLLAMA_HOST"]
    assert 'url = "https://ollama.com/v1"' in read.mentions[0].toml
    with_key = read_environment({"OLLAMA_HOST": "https://ollama.com", "OLLAMA_API_KEY": KEY})
    assert [m.variable for m in with_key.mentions] == ["OLLAMA_API_KEY"]


@pytest.mark.parametrize(
    ("value", "place", "tls", "path"),
    [
        ("http://localhost:8000/v1", ("localhost", 8000), False, ""),
        ("http://0.0.0.0:8000/v1/", ("127.0.0.1", 8000), False, ""),
        ("http://[::]:8000", ("::1", 8000), False, ""),
        ("http://192.168.1.5:1234/api/v1", ("192.168.1.5", 1234), False, "/api/v1"),
        ("https://gpubox.lan", ("gpubox.lan", 443), True, ""),
        ("http://box:8000", ("box", 8000), False, ""),
        ("http://box.tail1234.ts.net:8000", ("box.tail1234.ts.net", 8000), False, ""),
        ("http://100.101.102.103:8000", ("100.101.102.103", 8000), False, ""),
        ("http://vllm.models.svc.cluster.local", ("vllm.models.svc.cluster.local", 80), False, ""),
    ],
)
def test_a_base_url_on_this_network_is_looked_at(
    value: str, place: tuple[str, int], tls: bool, path: str
) -> None:
    read = read_environment({"OPENAI_BASE_URL": value})
    assert addresses({"OPENAI_BASE_URL": value}) == [("env:OPENAI_BASE_URL", (place,), tls, path)]
    assert read.mentions == ()
    assert all(target.private for target in read.targets)


@pytest.mark.parametrize(
    "value",
    ["https://api.openai.com/v1", "https://llm.example.com", "http://8.8.8.8:80/v1", "https://[2600::1]/v1"],
)
def test_a_public_base_url_is_mentioned(value: str) -> None:
    read = read_environment({"OPENAI_BASE_URL": value})
    assert read.sightings == ()
    (mention,) = read.mentions
    assert mention.variable == "OPENAI_BASE_URL"
    assert "api_key_env" not in mention.toml


@pytest.mark.parametrize(
    "value", ["http://user:hunter2@box/v1", "http://box/?key=hunter2", "hunter2 hunter2"]
)
def test_a_base_url_with_credentials_is_refused_and_not_echoed(value: str) -> None:
    read = read_environment({"OPENAI_BASE_URL": value, "OPENAI_API_KEY": KEY})
    assert read.sightings == ()
    assert [m.variable for m in read.mentions] == ["OPENAI_BASE_URL"]
    assert "hunter2" not in repr(read)


def test_the_key_goes_to_no_one_and_its_mention_goes_with_the_address() -> None:
    read = read_environment({"OPENAI_BASE_URL": "http://box:8000/v1", "OPENAI_API_KEY": KEY})
    assert len(read.sightings) == 1
    (mention,) = read.mentions
    assert tomllib.loads(mention.toml) == {
        "backends": [{"name": "openai", "url": "http://box:8000/v1", "api_key_env": "OPENAI_API_KEY"}]
    }
    assert KEY not in repr(read)


@pytest.mark.parametrize("cloud", CLOUDS, ids=lambda cloud: cloud.name)
def test_every_mention_is_configuration_that_loads(cloud: object, tmp_path: Path) -> None:
    assert cloud in CLOUDS
    for variable in next(c for c in CLOUDS if c is cloud).keys:
        environ = {variable: KEY}
        read = read_environment(environ)
        assert read.sightings == ()
        (mention,) = read.mentions
        assert mention.variable == variable
        assert mention.text.startswith(f"{variable} is set.")
        file = tmp_path / "nexus.toml"
        file.write_text(mention.toml, encoding="utf-8")
        (backend,) = load(file, environ).config.backends
        assert backend.key is not None
        assert backend.key.matches(KEY)
        assert KEY not in repr(read)


def test_all_mentions_together_are_one_configuration(tmp_path: Path) -> None:
    environ = {variable: KEY for cloud in CLOUDS for variable in cloud.keys}
    mentions = read_environment(environ).mentions
    file = tmp_path / "nexus.toml"
    file.write_text("\n\n".join(mention.toml for mention in mentions), encoding="utf-8")
    assert len(load(file, environ).config.backends) == len(CLOUDS)


def test_anthropics_base_url_is_only_mentioned() -> None:
    (mention,) = read_environment({"ANTHROPIC_BASE_URL": "http://localhost:4000/"}).mentions
    assert mention.variable == "ANTHROPIC_BASE_URL"
    assert 'url = "http://localhost:4000/v1"' in mention.toml
    both = {"ANTHROPIC_BASE_URL": "https://gw.example/anthropic", "ANTHROPIC_AUTH_TOKEN": KEY}
    (mention,) = read_environment(both).mentions
    assert mention.variable == "ANTHROPIC_AUTH_TOKEN"
    assert 'url = "https://gw.example/anthropic/v1"' in mention.toml
    (mention,) = read_environment({"ANTHROPIC_BASE_URL": "http://u:p@h", "ANTHROPIC_API_KEY": KEY}).mentions
    assert mention.toml == ""


def test_what_points_clients_at_nexus_itself_is_nobodys_business() -> None:
    own = OwnAddresses(lambda: (), lambda: "here")
    own.bind([("127.0.0.1", 6398)])
    environ = {
        "OPENAI_BASE_URL": "http://localhost:6398/v1",
        "OPENAI_API_KEY": "a client's key of Nexus",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:6398",
        "ANTHROPIC_AUTH_TOKEN": "a client's key of Nexus",
        "GEMINI_API_KEY": KEY,
    }
    assert [m.variable for m in read_environment(environ, is_self=own.is_self).mentions] == ["GEMINI_API_KEY"]


def test_what_is_configured_already_needs_no_mention() -> None:
    environ = {"OPENAI_API_KEY": KEY, "GROQ_API_KEY": KEY}
    read = read_environment(environ, configured={("api.openai.com", 443)})
    assert [m.variable for m in read.mentions] == ["GROQ_API_KEY"]


NAMES = st.sampled_from(
    ["OLLAMA_HOST", *(c.base_url for c in CLOUDS if c.base_url), *(k for c in CLOUDS for k in c.keys)]
)


@given(st.dictionaries(NAMES, st.text() | st.text(alphabet='htps:/.[]"\n%@a1\\')))
def test_any_environment_is_read_and_every_table_is_toml(environ: dict[str, str]) -> None:
    read = read_environment(environ)
    keys = {key for cloud in CLOUDS for key in cloud.keys}
    for mention in read.mentions:
        assert "\n" not in mention.text
        assert set(tomllib.loads(mention.toml)) <= {"backends"}
    assert len({s.key for s in read.sightings}) == len(read.sightings)
    for name in keys & environ.keys():
        if len(environ[name]) > 12:
            assert environ[name] not in repr(read)


async def test_the_environments_servers_are_seen_under_their_names_and_never_as_nexus() -> None:
    environ = {"OLLAMA_HOST": "kitchen:6398", "OPENAI_BASE_URL": "http://box:8000/v1"}
    bench = Bench()
    bench.own = {("192.168.1.7", 6398)}
    bench.names.answer(kitchen=["192.168.1.7"], box=["192.168.1.9"])
    read = read_environment(environ)
    async with running(lambda bench: EnvironmentAddresses(bench.around(), 60.0, read), bench):
        assert list(bench.record.now) == ["env:OPENAI_BASE_URL"]
        assert bench.record.places("env:OPENAI_BASE_URL") == (("box", 8000),)
        bench.names.answer(kitchen=["192.168.1.8"], box=["8.8.8.8"])
        await bench.clock.look()
        assert bench.record.places("env:OLLAMA_HOST") == (("kitchen", 6398),)
        assert "env:OPENAI_BASE_URL" not in bench.record.now
