from __future__ import annotations

import re
from pathlib import Path

from nexus.config.example import render
from nexus.config.fields import leaves
from nexus.config.load import load
from nexus.config.schema import Config
from nexus.config.tables import BackendTable, ModelTable
from nexus.config.toml_file import read

_EXAMPLE = Path(__file__).parents[2] / "nexus.example.toml"
_ENVIRON = {"GATEWAY_KEYS": "k", "GATEWAY_ADMIN_TOKEN": "t", "WORKSTATION_KEY": "k"}


def _uncommented(folder: Path) -> Path:
    for name in ("cert.pem", "key.pem", "ca.pem", "keys.txt"):
        (folder / name).write_text("k")
        (folder / name).chmod(0o600)
    path = folder / "nexus.toml"
    path.write_text(re.sub(r"^#(?! |$)", "", _EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    return path


def test_the_example_is_what_the_schema_says() -> None:
    assert _EXAMPLE.read_text(encoding="utf-8") == render()


def test_the_example_changes_nothing_as_it_is() -> None:
    loaded = load(_EXAMPLE, {})
    assert loaded.config == Config()
    assert loaded.warnings == ()


def test_the_example_is_valid_with_every_key_uncommented(tmp_path: Path) -> None:
    loaded = load(_uncommented(tmp_path), _ENVIRON)
    assert [backend.name for backend in loaded.config.backends] == ["workstation"]
    assert loaded.warnings == ('backend "workstation": ca_file and tls_verify do nothing for http',)


def test_the_example_has_every_key(tmp_path: Path) -> None:
    data = read(_uncommented(tmp_path)).data
    for name, _ in leaves(Config):
        node = data
        for part in name.split("."):
            node = node[part]
    (backend,) = data["backends"]
    assert set(backend) == {name for name, _ in leaves(BackendTable)}
    assert set(backend["model"][0]) == {name for name, _ in leaves(ModelTable)}
