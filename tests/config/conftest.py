from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nexus.config.load import Loaded, load
from nexus.errors import ConfigError

Load = Callable[..., Loaded]
Refusal = Callable[..., str]


@pytest.fixture
def load_text(tmp_path: Path) -> Load:
    """Loads TOML text from a file named ``nexus.toml``."""

    def run(text: str, environ: Mapping[str, str] = {}, flags: Mapping[str, Any] = {}) -> Loaded:
        path = tmp_path / "nexus.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, environ, flags)

    return run


@pytest.fixture
def refusal(load_text: Load, tmp_path: Path) -> Refusal:
    """Gives the message that refuses a configuration, with the folder cut off."""

    def run(text: str = "", environ: Mapping[str, str] = {}, flags: Mapping[str, Any] = {}) -> str:
        with pytest.raises(ConfigError) as caught:
            load_text(text, environ, flags)
        message = str(caught.value)
        assert "\n" not in message
        return message.replace(f"{tmp_path}/", "")

    return run
