from __future__ import annotations

import re
import tomllib
from pathlib import Path

from nexus.config import environment
from nexus.config.changes import RESTART
from nexus.config.fields import leaves
from nexus.config.kinds import Tables
from nexus.config.schema import Config
from nexus.config.show import toml
from nexus.config.state_folder import STATE_DIR
from nexus.config.tables import BackendTable, ModelTable

_TEXT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
_CELL = re.compile(r"(?<!\\)\|")


def _documented() -> dict[str, tuple[str, str, str]]:
    """Dotted key to (default, takes, meaning), from the tables under the headings of sections."""
    found: dict[str, tuple[str, str, str]] = {}
    section = None
    for line in _TEXT.splitlines():
        if line.startswith("#"):
            heading = re.fullmatch(r"## `\[+([a-z_.]+)\]+`", line)
            section = heading[1] if heading else None
        cells = [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]
        if section and len(cells) == 4 and cells[0].startswith("`"):
            key = f"{section}.{cells[0].strip('`')}"
            assert key not in found, f"{key} is documented twice"
            found[key] = (cells[1], cells[2], cells[3])
    return found


def _expected() -> dict[str, tuple[str, str, str]]:
    sections = ((Config, ""), (BackendTable, "backends."), (ModelTable, "backends.model."))
    return {
        name: (
            f"`{toml(field.default)}`" if field.default not in (None, "") else "-",
            field.setting.kind.expected,
            field.setting.doc,
        )
        for section, prefix in sections
        for name, field in leaves(section, prefix)
        if field.setting is not None and not isinstance(field.setting.kind, Tables)
    }


def test_every_setting_is_documented_and_nothing_else() -> None:
    assert _documented() == _expected()


def test_every_variable_is_documented_and_nothing_else() -> None:
    rows = dict(re.findall(r"^\| `(NEXUS_[A-Z_]+)` \| (.*) \|$", _TEXT, re.MULTILINE))
    special = {environment.API_KEY, environment.BACKENDS, environment.CONFIG}
    special |= {environment.ADMIN_TOKEN, STATE_DIR}
    assert set(rows) == {*environment.SHORT, *special}
    for variable, key in environment.SHORT.items():
        assert rows[variable] == f"`{key}`"


def test_every_snippet_is_toml() -> None:
    snippets = re.findall(r"```toml\n(.*?)```", _TEXT, re.DOTALL)
    assert snippets
    for snippet in snippets:
        tomllib.loads(snippet)


def test_what_needs_a_restart_is_documented_and_nothing_else() -> None:
    paragraph = re.search(r"^These need a restart, .*?\n\n", _TEXT, re.MULTILINE | re.DOTALL)
    assert paragraph is not None
    assert set(re.findall(r"`([a-z_.]+)`", paragraph[0])) == RESTART
