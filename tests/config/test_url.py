from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.config.url import BackendUrl, is_loopback, parse_host, parse_url
from nexus.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "origin", "api_root", "native_root"),
    [
        ("host:8000", ("http", "host", 8000), "/v1", ""),
        ("http://host:8000", ("http", "host", 8000), "/v1", ""),
        ("http://host:8000/", ("http", "host", 8000), "/v1", ""),
        ("http://host:8000/v1", ("http", "host", 8000), "/v1", ""),
        ("http://host:8000/v1/", ("http", "host", 8000), "/v1", ""),
        ("host:8000/v1", ("http", "host", 8000), "/v1", ""),
        ("  HTTP://Host.Example  ", ("http", "host.example", 80), "/v1", ""),
        ("https://host/api/v1", ("https", "host", 443), "/api/v1", "/api"),
        ("https://host/llm/", ("https", "host", 443), "/llm", "/llm"),
        ("https://host:8443/a%20b/v1", ("https", "host", 8443), "/a%20b/v1", "/a%20b"),
        ("http://host/v11", ("http", "host", 80), "/v11", "/v11"),
        ("localhost:11434", ("http", "localhost", 11434), "/v1", ""),
        ("ollama_1:11434", ("http", "ollama_1", 11434), "/v1", ""),
        ("192.168.1.20:11434", ("http", "192.168.1.20", 11434), "/v1", ""),
        ("http://[::1]:8000/v1", ("http", "::1", 8000), "/v1", ""),
        ("[::1]:8000", ("http", "::1", 8000), "/v1", ""),
        ("[2001:DB8:0::1]", ("http", "2001:db8::1", 80), "/v1", ""),
        ("::1", ("http", "::1", 80), "/v1", ""),
        ("2001:db8::1", ("http", "2001:db8::1", 80), "/v1", ""),
        ("::1:11434", ("http", "::1", 11434), "/v1", ""),
        ("1:2:3:4:5:6:7:8", ("http", "1:2:3:4:5:6:7:8", 80), "/v1", ""),
        ("1:2:3:4:5:6:7:8:8000/v1", ("http", "1:2:3:4:5:6:7:8", 8000), "/v1", ""),
        ("http://[fe80::1%25eth0]:8000", ("http", "fe80::1%eth0", 8000), "/v1", ""),
        ("[fe80::1%eth0]:8000", ("http", "fe80::1%eth0", 8000), "/v1", ""),
        ("http://bücher.example", ("http", "xn--bcher-kva.example", 80), "/v1", ""),
    ],
)
def test_reads_what_people_write(
    text: str, origin: tuple[str, str, int], api_root: str, native_root: str
) -> None:
    url = parse_url(text)
    assert (url.scheme, url.host, url.port) == origin
    assert (url.api_root, url.native_root) == (api_root, native_root)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "host is missing"),
        ("   ", "host is missing"),
        ("http://", "host is missing"),
        (":8000", "host is missing"),
        ("/v1", "host is missing"),
        ("8000", "localhost:PORT"),
        ("http:host:8000", '"//" is missing'),
        ("https:/host", '"//" is missing'),
        ("htp://host", 'did you mean "http"?'),
        ("ftp://host", "http or https"),
        ("unix:///run/x.sock", "http or https"),
        ("http://user:hunter2@host", "user name or password"),
        ("user:hunter2@host", "user name or password"),
        ("http://user:hunter2/x@host", "user name or password"),
        ("http://host?key=hunter2", "query"),
        ("http://host/v1?", "query"),
        ("http://host#hunter2", "fragment"),
        ("http://host:0", "port"),
        ("http://host:65536", "port"),
        ("http://host:", "port"),
        ("http://host:8o00", "port"),
        ("http://host:-1", "port"),
        ("http://host:٨٠", "port"),
        ("http://host:80:90", "IPv6"),
        ("http://[::1", "brackets"),
        ("http://[::1]8000", "brackets"),
        ("http://[host]:8000", "IPv6"),
        ("::1:8000", "in brackets"),
        ("fe80::1:22", "in brackets"),
        ("[fe80::1%e th0]", "characters"),
        ("[fe80::1%]", "scope"),
        ("300.1.2.3", "IPv4"),
        ("10.0.0:80", "IPv4"),
        ("http://-host", "host name"),
        ("http://ho..st", "host name"),
        ("http://" + "a" * 64, "host name"),
        ("http://" + ".".join(["a" * 60] * 5), "host name"),
        ("http://ho st", "characters"),
        ("http://host\n:80", "characters"),
        ("http://host\\x", "characters"),
        ("http://host/ä", "characters"),
        ("http://host/%zz", "characters"),
        ("http://host//v1", "part"),
        ("http://host/a/../v1", "part"),
        ("http://host/v1/chat/completions", "leave out /chat/completions"),
        ("http://host/v1/models/", "leave out /models"),
    ],
)
def test_refuses_without_echoing(text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(text)
    message = str(caught.value)
    assert message.startswith("expected ")
    assert hint in message
    assert "hunter2" not in message


_LABEL = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12).map(lambda text: "h" + text)
_HOSTS = st.one_of(
    st.lists(_LABEL, min_size=1, max_size=3).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)


@given(
    scheme=st.sampled_from(["", "http://", "https://"]),
    host=_HOSTS,
    port=st.integers(1, 65535),
    path=st.sampled_from(["", "/", "/v1", "/v1/", "/api/v1", "/x"]),
)
def test_normal_form_reads_as_itself(scheme: str, host: str, port: int, path: str) -> None:
    url = parse_url(f"{scheme}{host}:{port}{path}")
    assert url.port == port
    assert parse_url(str(url)) == url
    assert not url.api_root.endswith("/")
    assert url.api_root.startswith(url.native_root)


@given(st.text(st.sampled_from("htps:/[]%.@?#a1-_ \\é\x00٨"), max_size=24))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        url = parse_url(text)
    except ConfigError:
        return
    assert isinstance(url, BackendUrl)
    assert 1 <= url.port <= 65535
    assert "@" not in str(url)
    assert str(url).isascii()


@given(
    st.text(string.ascii_letters, min_size=8, max_size=12),
    st.sampled_from(["{}@h", "u:{}@h", "http://{}:x@h/v1"]),
)
def test_user_info_is_never_echoed(secret: str, form: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(form.format(secret))
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("a.localhost", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("host", False),
    ],
)  # fmt: skip
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_host_loses_its_brackets() -> None:
    assert parse_host("[::1]") == "::1"
