from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from nexus.config.fields import leaves
from nexus.config.load import Loaded, load
from nexus.config.schema import Config
from nexus.config.show import show, toml


def test_every_setting_is_shown_with_its_origin(load_text: Callable[..., Loaded], tmp_path: Path) -> None:
    rows = {row.key: row for row in show(load_text("[server]\nport = 1", {"NEXUS_HOST": "::1"}))}
    assert {name for name, _ in leaves(Config)} - {"backends"} == set(rows)
    assert (rows["server.port"].value, rows["server.port"].origin) == (1, f"{tmp_path}/nexus.toml:2")
    assert (rows["server.host"].value, rows["server.host"].origin) == ("::1", "environment NEXUS_HOST")
    assert (rows["routing.strategy"].value, rows["routing.strategy"].origin) == ("smart", "default")


def test_backends_are_shown_and_secrets_masked(load_text: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded = load_text(
        """[[backends]]
name = "a"
url = "h:1"
api_key_env = "A_KEY"
headers = { "X-Key" = "hunter2" }
disable_fixes = ["stop_array"]
[[backends.model]]
name = "m:1"
vision = false
[[backends]]
name = "b"
url = "h:2"
api_key_env = "B_KEY"
""",
        {"A_KEY": "hunter2", "NEXUS_API_KEY": "hunter2", "NEXUS_BACKENDS": "c=h:3"},
    )
    rows = show(loaded)
    place = f"{tmp_path}/nexus.toml"
    found = {row.key: (row.value, row.origin) for row in rows if row.key.startswith(("backends", "client"))}
    assert found == {
        "backends.a.url": ("http://h:1/v1", f"{place}:3"),
        "backends.a.api_key_env": ("********", f"{place}:4"),
        "backends.a.headers": ({"X-Key": "********"}, f"{place}:5"),
        "backends.a.disable_fixes": (["stop_array"], f"{place}:6"),
        'backends.a.model."m:1".vision': (False, f"{place}:7"),
        "backends.c.url": ("http://h:3/v1", "environment NEXUS_BACKENDS, entry 1"),
        "backends.b": ("left out: the variable B_KEY (api_key_env) is not set or empty", f"{place}:10"),
        "client keys": ("1 set", "NEXUS_API_KEY, api_keys_env, api_keys_file"),
    }
    assert b"hunter2" not in msgspec.json.encode(rows)


def test_shown_values_are_what_the_file_takes() -> None:
    for row in show(load(None, {})):
        if row.value is not None:
            tomllib.loads(f"x = {toml(row.value)}")


@given(
    st.recursive(
        st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text('a." é\x7f', min_size=1), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
def test_values_survive_toml(value: object) -> None:
    assert tomllib.loads(f"x = {toml(value)}")["x"] == value
