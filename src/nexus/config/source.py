"""Where the configuration comes from, so that it can be read again as it was at the start."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from nexus.config.load import Loaded, load
from nexus.config.toml_file import default_path


class Source(msgspec.Struct, frozen=True):
    """Everything that a configuration is made of.

    Attributes:
        given: the file that a flag names, or ``None``.
        environ: the environment.
        overrides: what the flags say, see :func:`~nexus.config.load.load`.
        folder: where Nexus was started.
    """

    given: Path | None = None
    environ: Mapping[str, str] = MappingProxyType({})
    overrides: Mapping[str, Any] = MappingProxyType({})
    folder: Path = Path()

    def find(self) -> Path | None:
        """Return the file to read, or ``None`` when there is none.

        Raises:
            ConfigError: a variable names a file that is not there.
        """
        return self.given if self.given is not None else default_path(self.environ, self.folder)

    def load(self, path: Path | None) -> Loaded:
        """Read everything, with flags over environment over file.

        Args:
            path: the file, from :meth:`find` or as it was found before.

        Raises:
            ConfigError: something is wrong; the message names the place.
        """
        return load(path, self.environ, self.overrides)
