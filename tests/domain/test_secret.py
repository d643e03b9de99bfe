from __future__ import annotations

import copy
import json
import logging
import pickle

import msgspec
import pytest

from nexus.domain import BackendSpec, Origin, Secret

CANARY = "sk-canary-0123456789"


def test_no_text_form_shows_the_key() -> None:
    secret = Secret(CANARY)
    spec = BackendSpec(
        id="a", name="a", origin=Origin("http", "h", 1), key=secret, headers={"Authorization": secret}
    )
    forms = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", repr(spec), str([secret])]
    assert not [form for form in forms if CANARY in form]


def test_it_cannot_be_serialised() -> None:
    secret = Secret(CANARY)
    for serialise in (pickle.dumps, copy.deepcopy, json.dumps, msgspec.json.encode):
        with pytest.raises(TypeError):
            serialise(secret)


def test_a_log_record_shows_the_mask(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("x").info("key %s %r", Secret(CANARY), Secret(CANARY))
    assert CANARY not in caplog.text
    assert "****" in caplog.text


def test_it_matches_only_itself() -> None:
    secret = Secret(CANARY)
    assert secret.matches(CANARY)
    assert not secret.matches(CANARY[:-1])
    assert not secret.matches("")
    assert secret == Secret(CANARY)
    assert secret != CANARY
