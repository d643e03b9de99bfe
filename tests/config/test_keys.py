from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nexus.config.load import Loaded, load
from nexus.domain import Secret

Load = Callable[..., Loaded]
Refusal = Callable[..., str]


def test_one_variable_turns_keys_on() -> None:
    assert load(None, {"NEXUS_API_KEY": " #k,1\n"}).client_keys == (Secret("#k,1"),)


def test_a_named_variable_holds_several_keys(load_text: Load) -> None:
    loaded = load_text("server.api_keys_env = 'KEYS'", {"KEYS": "a, b\nc,\n", "NEXUS_API_KEY": "a"})
    assert loaded.client_keys == (Secret("a"), Secret("b"), Secret("c"))


def test_a_file_holds_one_key_a_line(load_text: Load, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("# who: what\nkey-1\n\n  key-2  \r\nkey-3,key-4\n")
    path.chmod(0o600)
    loaded = load_text("server.api_keys_file = 'keys.txt'")
    assert [key.reveal() for key in loaded.client_keys] == ["key-1", "key-2", "key-3", "key-4"]
    assert loaded.warnings == ()
    assert "key-1" not in repr(loaded)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_warned_about(load_text: Load, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("key")
    path.chmod(mode)
    (warning,) = load_text("server.api_keys_file = 'keys.txt'").warnings
    assert warning.startswith(f"{path}: others than its owner can read the keys")


@pytest.mark.parametrize("environ", [{}, {"KEYS": ""}, {"KEYS": " ,\n"}])
def test_a_variable_without_keys_does_not_leave_the_door_open(
    refusal: Refusal, environ: dict[str, str]
) -> None:
    message = refusal("[server]\napi_keys_env = 'KEYS'", environ)
    assert (
        message
        == "nexus.toml:2: server.api_keys_env: expected keys in the variable KEYS, which is not set or empty"
    )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "which has none"),
        (b"# only a comment\n", "which has none"),
        (b"good\nhunter2 x\n", "key 2 of"),
        ("schlüssel\n".encode(), "key 1 of"),
        (b"hunter2\xff\n", ":1: expected UTF-8"),
        (b"x\n" * (1 << 20), "at most 1 MB"),
    ],
)
def test_a_bad_file_is_refused(refusal: Refusal, tmp_path: Path, raw: bytes, words: str) -> None:
    (tmp_path / "keys.txt").write_bytes(raw)
    message = refusal("[server]\napi_keys_file = 'keys.txt'")
    assert message.startswith("nexus.toml:2: server.api_keys_file: ")
    assert words in message
    assert "hunter2" not in message


def test_a_file_from_the_environment_starts_at_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "keys.txt").write_text("key")
    monkeypatch.chdir(tmp_path)
    assert load(None, {"NEXUS__SERVER__API_KEYS_FILE": "keys.txt"}).client_keys == (Secret("key"),)


def test_a_token_opens_the_administration(load_text: Load) -> None:
    loaded = load_text("[admin]\ntoken_env = 'TOKEN'", {"TOKEN": " t-1\n"})
    assert loaded.admin_token == Secret("t-1")
    assert load_text("").admin_token is None


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "which is not set or empty"),
        ({"TOKEN": " "}, "not set"),
        ({"TOKEN": "hunter2 x"}, "visible ASCII"),
    ],
)
def test_a_token_that_was_named_must_be_one(refusal: Refusal, environ: dict[str, str], words: str) -> None:
    message = refusal("[admin]\ntoken_env = 'TOKEN'", environ)
    assert message.startswith("nexus.toml:2: admin.token_env: expected a token")
    assert words in message
    assert "hunter2" not in message


def test_a_token_that_is_a_clients_key_is_refused(refusal: Refusal, tmp_path: Path) -> None:
    named = "[admin]\ntoken_env = 'TOKEN'\n"
    message = refusal(named, {"TOKEN": "hunter2", "NEXUS_API_KEY": " hunter2"})
    assert message.startswith("nexus.toml:2: admin.token_env: expected a token that is no client's key")
    assert "hunter2" not in message
    message = refusal("[server]\napi_keys_env = 'KEYS'\n" + named, {"TOKEN": "hunter2", "KEYS": "a,hunter2"})
    assert "no client's key" in message
    assert "hunter2" not in message
    (tmp_path / "keys").write_text("hunter2\n")
    message = refusal(f"[server]\napi_keys_file = '{tmp_path / 'keys'}'\n" + named, {"TOKEN": "hunter2"})
    assert "no client's key" in message
    assert "hunter2" not in message
