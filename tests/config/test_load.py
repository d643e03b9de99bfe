from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nexus.config.load import Loaded, load
from nexus.config.schema import Config
from nexus.domain import RoutingRules, Strategy, Weights

Load = Callable[..., Loaded]
Refusal = Callable[..., str]


def test_nothing_at_all_is_a_configuration() -> None:
    loaded = load(None, {})
    assert loaded == Loaded(config=Config())
    assert loaded.rules == RoutingRules()
    assert not loaded.wide_bind


def test_an_empty_file_changes_nothing(load_text: Load) -> None:
    assert load_text("").config == Config()


def test_flags_win_over_variables_over_the_file_over_defaults(load_text: Load, tmp_path: Path) -> None:
    text = "[server]\nport = 1\nhost = '10.0.0.1'\nmax_body_mb = 7\n[logging]\nlevel = 'error'"
    environ = {"NEXUS_PORT": "2", "NEXUS_HOST": "10.0.0.2"}
    loaded = load_text(text, environ, {"server.port": 3, "logging.level": None})
    server = loaded.config.server
    assert (server.port, server.host, server.max_body_mb, server.max_header_kb) == (3, "10.0.0.2", 7, 64)
    assert loaded.config.logging.level == "error"
    assert dict(loaded.origins) == {
        "server.port": "flag -p",
        "server.host": "environment NEXUS_HOST",
        "server.max_body_mb": f"{tmp_path}/nexus.toml:4",
        "logging.level": f"{tmp_path}/nexus.toml:6",
    }


def test_whole_numbers_are_seconds_too(load_text: Load) -> None:
    seconds = load_text("[timeouts]\nconnect_seconds = 3\ntotal_seconds = 0").config.timeouts
    assert seconds.connect_seconds == 3.0
    assert isinstance(seconds.connect_seconds, float)


def test_routing_becomes_rules(load_text: Load) -> None:
    rules = load_text(
        """
        [routing]
        strategy = "round_robin"
        max_retries = 0
        default_model = "m"
        [routing.weights]
        priority = 40
        load = 40
        [routing.aliases]
        "gpt-*" = "m"
        [routing.fallbacks]
        m = ["n", "o"]
        """
    ).rules
    assert rules == RoutingRules(
        strategy=Strategy.ROUND_ROBIN,
        weights=Weights(40, 40, 20),
        max_retries=0,
        default_model="m",
        aliases={"gpt-*": "m"},
        fallbacks={"m": ("n", "o")},
    )


@pytest.mark.parametrize(
    ("text", "environ", "routed"),
    [
        ("", {}, True),
        ("server.host = '0.0.0.0'", {}, False),
        ("server.host = '::'", {}, False),
        ("server.host = '[::1]'", {}, True),
        ("server.host = '0.0.0.0'", {"NEXUS_API_KEY": "k"}, True),
        ("server.host = '0.0.0.0'\nserver.allow_anonymous_cloud = true", {}, True),
    ],
)
def test_an_open_door_closes_the_backends_with_keys(
    load_text: Load, text: str, environ: dict[str, str], routed: bool
) -> None:
    assert load_text(text, environ).rules.route_keyed_backends is routed


def test_an_open_door_is_warned_about(load_text: Load) -> None:
    (warning,) = load_text("server.host = '0.0.0.0'").warnings
    assert warning.startswith("anyone who reaches 0.0.0.0:6398 can use it without a key; backends that")


_BAD_VALUES: list[tuple[str, str, str]] = [
    ("server", "port = '6398'", "expected a whole number from 0 to 65535, got a string"),
    ("server", "port = true", "got true"),
    ("server", "port = 6398.0", "got 6398"),
    ("server", "port = 65536", "got 65536"),
    ("server", "port = -1", "got -1"),
    ("server", f"port = 1{'0' * 400}", "got a huge number"),
    ("server", "port = 1979-05-27", "got a date or time"),
    ("server", "port = []", "got an array"),
    ("server", "port = {}", "got a table"),
    ("server", "host = ''", "expected an address or a host name, got nothing"),
    ("server", "host = '127.0.0.1:80'", "the port has a key of its own"),
    ("server", "host = 'http://x'", "expected an address or a host name"),
    ("server", "host = 'a\\tb'", "expected an address"),
    ("server", 'host = "a\\u0000b"', "without control characters"),
    ("server", "host = 1", "got 1"),
    ("server", "max_body_mb = 0", "from 1 to"),
    ("server", "max_concurrent_requests = -1", "from 0 to"),
    ("server", "drain_seconds = -1", "seconds, 0 or more, got -1"),
    ("server", "drain_seconds = inf", "got inf"),
    ("server", "drain_seconds = nan", "got nan"),
    ("server", "drain_seconds = false", "got false"),
    ("server", "drain_seconds = 1e12", "got 1e+12"),
    ("server", "cors_origins = 'https://x'", "expected an array; each value an origin"),
    ("server", "cors_origins = ['x']", "value 1: expected an origin"),
    ("server", "cors_origins = ['https://x/path']", "value 1: expected an origin"),
    ("server", "cors_origins = ['https://x', 'https://x']", "value 2 repeats"),
    ("server", "cors_origins = [1]", "value 1: expected an origin"),
    ("server", "allowed_hosts = ['a/b']", "value 1: expected an address or a host name"),
    ("server", "api_keys_env = 'sk-123'", "the name of an environment variable, not its value"),
    ("server", "api_keys_file = 'missing.txt'", "missing.txt: No such file"),
    ("server", "api_keys_file = '.'", "Is a directory"),
    ("server", "tls_cert = 'missing.pem'", "missing.pem: No such file"),
    ("server", "tls_cert = '~nobody-here/x.pem'", "no such folder"),
    ("timeouts", "connect_seconds = 0", "expected seconds, more than 0, got 0"),
    ("timeouts", "idle_seconds = '5'", "got a string"),
    ("discovery", "enabled = 1", "expected true or false, got 1"),
    ("discovery", "enabled = 'yes'", "got a string"),
    ("discovery", "service_types = ['ollama']", "mDNS type"),
    ("discovery", "probe_seconds = 0", "seconds, more than 0"),
    ("discovery", "peers = ['box']", "value 1: expected a host and a port"),
    ("discovery", "peers = ['http://box:1']", "value 1: expected a host and a port"),
    ("discovery", "peers = ['u:p@box:1']", "without a user name"),
    ("discovery", "peers = ['box:0']", "from 1 to 65535"),
    ("discovery", "peers = ['::1:80']", "put the IPv6 address in brackets"),
    ("discovery", "peers = ['box:1', 'BOX:1']", "value 2 repeats"),
    ("discovery", "allow = ['10.0.0.0/33']", "value 1: expected a network"),
    ("discovery", "allow = ['lan']", "value 1: expected a network"),
    ("discovery", "max_backends = 0", "from 1 to"),
    ("admin", "token_env = 'sk-123'", "the name of an environment variable, not its value"),
    ("health_check", "failure_threshold = 0", "from 1 to 1000"),
    ("routing", "strategy = 'smrt'", 'got "smrt"; did you mean "smart"?'),
    ("routing", "strategy = 'priority'", 'did you mean "priority_only"?'),
    ("routing", "strategy = 'zzzzzzzz'", 'got "zzzzzzzz"'),
    ("routing", "max_retries = -1", "from 0 to 100"),
    ("routing", "default_model = ' '", "got nothing"),
    ("routing", "weights = 1", "expected a table, [routing.weights]"),
    ("routing", "aliases = ['x']", "expected a table"),
    ("routing", "fallbacks = { a = 'b' }", "expected an array"),
    ("logging", "level = 'warn'", 'did you mean "warning"?'),
    ("logging", "level = 'INFO'", 'did you mean "info"?'),
    ("logging", "format = 'xml'", 'one of "pretty", "json"'),
    ("logging", "component_levels = { http = 'loud' }", 'got "loud"'),
    ("logging", "component_levels = { HTTP = 'info' }", "name of a component"),
]


@pytest.mark.parametrize(("section", "line", "words"), _BAD_VALUES)
def test_an_impossible_value_names_place_key_and_expectation(
    refusal: Refusal, section: str, line: str, words: str
) -> None:
    message = refusal(f"\n[{section}]\n{line}")
    key = line.partition(" ")[0]
    assert message.startswith(f"nexus.toml:3: {section}.{key}")
    assert words in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1", 'nexus.toml:2: [server] has no key "prot"; did you mean "port"?'),
        ("[sever]\nport = 1", 'nexus.toml:1: there is no section or key "sever"; did you mean "server"?'),
        ("port = 1", 'nexus.toml:1: there is no section or key "port"'),
        (
            "[routing]\nretries = 1",
            'nexus.toml:2: [routing] has no key "retries"; did you mean "max_retries"?',
        ),
        (
            "[routing.weight]\nload = 1",
            'nexus.toml:1: [routing] has no key "weight"; did you mean "weights"?',
        ),
        (
            "[upstream]\nqqq = 1",
            'nexus.toml:2: [upstream] has no key "qqq"; there are: idle_seconds, max_conn',
        ),
        ("server = 1", "nexus.toml:1: server: expected a table, [server]"),
        ("[[server]]\nport = 1", "nexus.toml:1: server: expected a table, [server]"),
        ('[server]\n"po\\nrt" = 1', 'nexus.toml:2: [server] has no key "po?rt"; did you mean "port"?'),
        ('[routing.fallbacks]\n"a.b" = 1', 'nexus.toml:2: routing.fallbacks."a.b": expected an array'),
    ],
)
def test_an_unknown_key_has_a_nearest_name(refusal: Refusal, text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_a_bad_value_is_refused_also_where_a_flag_overrides_it(refusal: Refusal) -> None:
    assert refusal("[server]\nport = 'x'", {}, {"server.port": 1}).startswith("nexus.toml:2: server.port")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"server.port": 70000}, "flag -p: server.port: expected a whole number from 0 to 65535, got 70000"),
        ({"server.port": "x"}, 'flag -p: server.port: expected a whole number from 0 to 65535, got "x"'),
        ({"server.host": "a b"}, "flag -H: server.host: expected an address"),
        ({"logging.level": "loud"}, "flag -l: logging.level: expected one of"),
        (
            {"server.prot": 1},
            'flag: server.prot: there is no setting of this name; did you mean "server.port"?',
        ),
        ({"backends": ["http://u:p@h"]}, "flag --backend: expected a URL without a user name"),
    ],
)
def test_a_bad_flag_names_itself(refusal: Refusal, flags: dict[str, Any], message: str) -> None:
    assert refusal("", {}, flags).startswith(message)


def test_files_are_found_beside_the_file_that_names_them(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("x")
    server = load_text("[server]\ntls_cert = 'cert.pem'").config.server
    assert server.tls_cert == str(tmp_path / "cert.pem")


def test_peers_and_networks_are_kept_in_normal_form(load_text: Load) -> None:
    discovery = load_text(
        "[discovery]\npeers = ['Box.LAN:8000', '[::0001]:1']\nallow = ['10.1.2.3/8', '::1']"
    ).config.discovery
    assert discovery.peers == ("box.lan:8000", "[::1]:1")
    assert discovery.allow == ("10.0.0.0/8", "::1/128")
