"""A quoted message says what went wrong and nothing about where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.domain import Secret
from nexus.protocol.error_body import quote


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("model 'llama3.1:8b' not found", "model 'llama3.1:8b' not found"),
        ("qwen2:72b-instruct-q4_0 and a/b:latest", "qwen2:72b-instruct-q4_0 and a/b:latest"),
        ("dial tcp 10.0.0.7:11434: connect: refused", "dial tcp [address]: connect: refused"),
        ("host 192.168.1.20.", "host [address]."),
        ("at [::1]:8000 or fe80::1%eth0, 2001:db8::5", "at [address] or [address], [address]"),
        ("12:30:45 std::vector 1:2 x::y", "12:30:45 std::vector 1:2 x::y"),
        ("see http://user:pw@gpu-box.lan:8000/v1?key=1 now", "see [address] now"),
        ("(https://host/x)", "([address])"),
        ("connect localhost:8000, gpu-box:11434", "connect [address], [address]"),
        ("node.cluster.local:80 failed", "[address] failed"),
        ("Incorrect API key provided: sk-proj-abc***********wxyz.", "Incorrect API key provided: [key]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [key]"),
        ('{"api_key": "abcdef"}', '{"api_key": "[key]"}'),
        ("a\r\n\x00b\u2028c\u202ed\x1b[31m", "a b c d [31m"),
        ("version 1.2.3.4.5 and 2049 tokens", "version 1.2.3.4.5 and 2049 tokens"),
        ("maximum context length is 2048 tokens", "maximum context length is 2048 tokens"),
    ],
)
def test_what_is_removed_and_what_stays(text: str, quoted: str) -> None:
    assert quote(text) == quoted


def test_secrets_are_removed_the_longest_first() -> None:
    secrets = [Secret("abc"), Secret("abcdef"), Secret(""), Secret(" ")]
    assert quote("x abcdef y abc z", secrets) == "x [key] y [key] z"


def test_a_secret_across_the_cut_is_removed() -> None:
    for filler in range(480, 502):
        assert "hunter2" not in quote("a" * filler + "hunter2hunter2", [Secret("hunter2hunter2")])


def test_length() -> None:
    assert len(quote("word " * 10_000)) <= 500
    assert quote("word " * 10_000).endswith("…")
    assert quote("x" * 500) == "x" * 500


@given(st.text(max_size=300), st.text(min_size=4, max_size=12).filter(lambda s: bool(s.strip())))
def test_never_long_never_a_secret_never_a_control(text: str, secret: str) -> None:
    quoted = quote(text + secret + text, [Secret(secret)])
    assert len(quoted) <= 500
    assert secret not in quoted or secret in "[key][address]"
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in quoted)


@pytest.mark.parametrize(
    "unit", [":", "1.", "a.", "a-", "[::", "1:", "key=", "http://", "\\", "Bearer ", "sk-*"]
)
def test_no_text_takes_long(unit: str) -> None:
    assert len(quote(unit * 100_000)) <= 500
