"""Keys in text, however they are spelled."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.domain import Secret
from nexus.observe.mask import Mask

CANARY = "canary-4711-tweet"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer {}",
        "headers=[(b'authorization', b'Bearer {}'), (b'x-api-key', b'{}')]",
        '{{"authorization": "Basic {}"}}',
        "{{'Cookie': 'a=1; session={}; b=2', 'x': 1}}",
        "Set-Cookie: session={}; HttpOnly",
        "x-api-key={}",
        "https://user:{}@host/path",
        "https://{}@host/path",
        "api_key='{}'",
        "password: {}",
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str) -> None:
    masked = Mask().text(text.format(CANARY, CANARY))
    assert CANARY not in masked
    assert "[key]" in masked


def test_ordinary_words_stay() -> None:
    text = "model m: no key is needed, GET http://127.0.0.1:1/v1/models said 401; the secret of it"
    assert Mask().text(text) == text


VISIBLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=4)


@given(VISIBLE.filter(lambda text: len(text.strip()) >= 4), st.text(), st.text())
def test_a_known_secret_is_in_no_spelling(secret: str, before: str, after: str) -> None:
    mask = Mask(lambda: [Secret(secret)])
    plain = secret.strip()
    for spelling in (plain, repr(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1], quote(plain, "")):
        masked = mask.configured(f"{before}{spelling}{after}")
        assert spelling not in masked.replace("[key]", "") or spelling in before + after + "[key]"


def test_fields_are_masked_at_any_depth_and_numbers_stay() -> None:
    mask = Mask(lambda: [Secret(CANARY), Secret("1234")])
    value = {"a": [CANARY, {"b": (CANARY, 1234, 0.5, None, True)}]}
    assert mask.value(value) == {"a": ["[key]", {"b": ["[key]", 1234, 0.5, None, True]}]}


def test_what_is_known_may_change() -> None:
    known: list[Secret] = []
    mask = Mask(lambda: known)
    assert mask.text(CANARY) == CANARY
    known.append(Secret(CANARY))
    assert mask.text(CANARY) == "[key]"
