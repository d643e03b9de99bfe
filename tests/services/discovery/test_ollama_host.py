from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nexus.services.discovery.ollama_host import OllamaHost, parse_ollama_host

# The cases of Ollama's own TestHost (envconfig/config_test.go), then what its code says of the rest.
CASES = {
    "": ("http", "127.0.0.1", 11434),
    "1.2.3.4": ("http", "1.2.3.4", 11434),
    ":1234": ("http", "", 1234),
    "1.2.3.4:1234": ("http", "1.2.3.4", 1234),
    "example.com": ("http", "example.com", 11434),
    "example.com:1234": ("http", "example.com", 1234),
    ":0": ("http", "", 0),
    ":66000": ("http", "", 11434),
    ":-1": ("http", "", 11434),
    "[::1]": ("http", "::1", 11434),
    "[::]": ("http", "::", 11434),
    "::1": ("http", "::1", 11434),
    "[::1]:1337": ("http", "::1", 1337),
    " 1.2.3.4 ": ("http", "1.2.3.4", 11434),
    '"1.2.3.4"': ("http", "1.2.3.4", 11434),
    ' " 1.2.3.4 " ': ("http", "1.2.3.4", 11434),
    "'1.2.3.4'": ("http", "1.2.3.4", 11434),
    "http://1.2.3.4": ("http", "1.2.3.4", 80),
    "http://1.2.3.4:4321": ("http", "1.2.3.4", 4321),
    "https://1.2.3.4": ("https", "1.2.3.4", 443),
    "https://1.2.3.4:4321": ("https", "1.2.3.4", 4321),
    "https://example.com/ollama": ("https", "example.com", 443, "ollama"),
    "http://example.com:8080/a/b/": ("http", "example.com", 8080, "a/b"),
    "example.com/": ("http", "example.com", 11434),
    "example.com:1234/": ("http", "example.com", 1234),
    "0.0.0.0": ("http", "0.0.0.0", 11434),
    "http://0.0.0.0:11434": ("http", "0.0.0.0", 11434),
    "::": ("http", "::", 11434),
    "ollama.com": ("https", "ollama.com", 443),
    "https://ollama.com": ("https", "ollama.com", 443),
    "http://": ("http", "127.0.0.1", 80),
    "https://": ("https", "127.0.0.1", 443),
    "http://:66000": ("http", "", 80),
    "https://[::1]:0x50": ("https", "::1", 443),
    "1.2.3.4:": ("http", "1.2.3.4", 11434),
    "1.2.3.4:http": ("http", "1.2.3.4", 11434),
    "1.2.3.4:+80": ("http", "1.2.3.4", 80),
    "1.2.3.4:1_0": ("http", "1.2.3.4", 11434),
    "1.2.3.4:\u0661": ("http", "1.2.3.4", 11434),
    "1.2.3.4:99999999999999999999": ("http", "1.2.3.4", 11434),
    "1.2.3.4: 80": ("http", "1.2.3.4", 11434),
    "::ffff:10.0.0.1": ("http", "10.0.0.1", 11434),
    "0:0:0:0:0:0:0:1": ("http", "::1", 11434),
    "[fe80::1%eth0]:8000": ("http", "fe80::1%eth0", 8000),
    "[fe80::1%eth0]": ("http", "[fe80::1%eth0]", 11434),
    "[::1": ("http", "::1", 11434),
    "[::1]x:80": ("http", "[::1]x:80", 11434),
    "[a[b]:80": ("http", "[a[b]:80", 11434),
    "a]:80": ("http", "a]:80", 11434),
    "1:2:3": ("http", "1:2:3", 11434),
    "HTTP://1.2.3.4": ("http", "1.2.3.4", 11434),
    "ftp://1.2.3.4": ("ftp", "1.2.3.4", 11434),
    "unix:///tmp/ollama.sock": ("unix", "127.0.0.1", 11434, "tmp/ollama.sock"),
    "127.0.0.1:11434:": ("http", "127.0.0.1:11434:", 11434),
    "01.2.3.4": ("http", "01.2.3.4", 11434),
    "\u3000box:1\u00a0": ("http", "box", 1),
    "\x1cbox": ("http", "\x1cbox", 11434),
}


@pytest.mark.parametrize(("value", "expected"), CASES.items())
def test_it_reads_what_ollama_reads(value: str, expected: tuple[str, str, int]) -> None:
    assert parse_ollama_host(value) == OllamaHost(*expected)


@pytest.mark.parametrize(
    ("value", "hosts"),
    [
        ("0.0.0.0", ("127.0.0.1",)),
        ("[::]:80", ("::1", "127.0.0.1")),
        ("0:0::0", ("::1", "127.0.0.1")),
        (":1234", ("127.0.0.1", "::1")),
        ("", ("127.0.0.1",)),
        ("localhost", ("localhost",)),
        ("192.168.1.5:1", ("192.168.1.5",)),
    ],
)
def test_a_client_connects_to_what_can_be_connected_to(value: str, hosts: tuple[str, ...]) -> None:
    assert parse_ollama_host(value).hosts == hosts


@given(st.text() | st.text(alphabet="[]:/.%\"' 0123456789abhtps+-\u3000"))
@example("://")
@example("[")
@example("]:1")
@example("9" * 5000)
@example(":" + "9" * 5000)
def test_every_text_has_a_reading(value: str) -> None:
    read = parse_ollama_host(value)
    assert 0 <= read.port <= 65535
    assert read.hosts
    assert read.scheme == read.scheme.lower()


@given(
    st.sampled_from(["", "http://", "https://"]),
    st.ip_addresses() | st.from_regex(r"[a-z]{1,20}(\.[a-z]{1,10})?", fullmatch=True),
    st.none() | st.integers(0, 65535),
    st.sampled_from(["", "/", "/ollama"]),
    st.sampled_from(["{}", " {} ", '"{}"', "'{}'", ' " {} " ']),
)
def test_a_well_formed_value_is_read_back(
    scheme: str,
    host: str | ipaddress.IPv4Address | ipaddress.IPv6Address,
    port: int | None,
    path: str,
    dress: str,
) -> None:
    mapped = isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped
    shown = f"[{host}]" if isinstance(host, ipaddress.IPv6Address) else str(host)
    authority = shown if port is None else f"{shown}:{port}"
    read = parse_ollama_host(dress.format(f"{scheme}{authority}{path}"))
    if shown == "ollama.com":
        return
    default = {"": 11434, "http://": 80, "https://": 443}[scheme]
    assert read.scheme == (scheme.removesuffix("://") or "http")
    assert read.port == (default if port is None else port)
    assert read.path == path.strip("/")
    assert read.host == (str(mapped) if mapped and port is None else str(host))
