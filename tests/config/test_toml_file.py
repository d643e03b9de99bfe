from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus.config.toml_file import default_path, read
from nexus.errors import ConfigError

_LINES = '''# a comment with [server] in it
server.host = "127.0.0.1"

[routing]
default_model = """
[timeouts]
port = 1 \\""" still inside
"""  # "quote
[routing.fallbacks]
"a.b" = [
  "x", # ] not the end
  "]",
  [ "y" ],
]
'c d' = ["x"]
[[backends]]
name = "one"
[[ backends . model ]]
name = "m1"
[[backends.model]]
  name = "m2"
  vision = true
[[backends]]
url = "u"
headers = { "X-A" = "[b" }
[[backends.model]]
name = "m3"
[logging]
level = \'\'\'debug\'\'\'
format = "json"
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("server", "host"), 2),
        (("routing",), 4),
        (("routing", "default_model"), 5),
        (("routing", "fallbacks", "a.b"), 10),
        (("routing", "fallbacks", "c d"), 15),
        (("backends",), 16),
        (("backends", 0), 16),
        (("backends", 0, "name"), 17),
        (("backends", 0, "model", 0, "name"), 19),
        (("backends", 0, "model", 1), 20),
        (("backends", 0, "model", 1, "vision"), 22),
        (("backends", 1), 23),
        (("backends", 1, "headers", "X-A"), 25),
        (("backends", 1, "model", 0, "name"), 27),
        (("logging", "format"), 30),
        (("logging", "nothing"), 28),
    ],
)
def test_every_key_has_its_line(tmp_path: Path, key: tuple[str | int, ...], line: int) -> None:
    path = tmp_path / "x.toml"
    path.write_text(_LINES)
    assert read(path).place(key) == f"{path}:{line}"


def test_a_key_that_is_nowhere_has_the_file_as_its_place(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text("")
    assert read(path).place(("server", "port")) == str(path)


def test_reads_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xef\xbb\xbf[server]\r\nport = 1\r\n")
    file = read(path)
    assert file.data == {"server": {"port": 1}}
    assert file.place(("server", "port")) == f"{path}:2"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"[server]\nport = 1\nname = \xff\n", ":3: expected UTF-8"),
        (b"[server]\nport = \n", ":2: expected TOML: Invalid value (column 8)"),
        (b"[server]\nport = 1\nport = 2\n", ":3: expected TOML: Cannot overwrite a value"),
        (b"[server\n", ":1: expected TOML"),
        (b'a = """', ":1: expected TOML"),
        (b"a = " + b"[" * 20000, "expected TOML"),
        (b"a = " + b"1" * 5000, "expected TOML"),
        (b"a = \x00", ":1: expected TOML"),
        (b"#" * (1 << 20) + b"\n", "at most 1 MB"),
    ],
)
def test_refuses_what_is_no_configuration(tmp_path: Path, raw: bytes, words: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert words in message
    assert "\n" not in message


def test_refuses_a_missing_file_a_folder_and_no_path(tmp_path: Path) -> None:
    for path, words in [
        (tmp_path / "none.toml", "there is none"),
        (tmp_path, "directory"),
        (tmp_path / ("x" * 300), "can be read"),
        (tmp_path / "a\0b", "no path"),
    ]:
        with pytest.raises(ConfigError, match=words):
            read(path)


def test_refuses_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # The tests may run as root, who may read everything.
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match="can be read: Permission denied"):
        read(tmp_path / "x.toml")


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(raw)
    try:
        read(path)
    except ConfigError as error:
        assert str(error).startswith(str(path))  # noqa: PT017  most bytes are refused, some are not


@pytest.fixture
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user"
    monkeypatch.setattr("platformdirs.user_config_dir", lambda _: str(folder / "nexus"))
    (folder / "nexus").mkdir(parents=True)
    return folder / "nexus"


def test_looks_in_the_variable_then_here_then_at_the_users(tmp_path: Path, user_folder: Path) -> None:
    cwd = tmp_path / "here"
    cwd.mkdir()
    assert default_path({}, cwd) is None
    users = user_folder / "nexus.toml"
    users.write_text("")
    assert default_path({}, cwd) == users
    local = cwd / "nexus.toml"
    local.write_text("")
    assert default_path({"NEXUS_CONFIG": " "}, cwd) == local
    other = cwd / "other.toml"
    other.write_text("")
    assert default_path({"NEXUS_CONFIG": "other.toml"}, cwd) == other
    with pytest.raises(ConfigError, match=r"environment NEXUS_CONFIG: .* does not exist"):
        default_path({"NEXUS_CONFIG": "missing.toml"}, cwd)
