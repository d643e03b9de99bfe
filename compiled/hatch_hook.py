"""Compiles the request path while hatchling builds a wheel: off unless `HATCH_BUILD_HOOKS_ENABLE` is set."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledHook(BuildHookInterface[BuilderConfig]):
    """Puts native modules beside the sources that they were made of, and tags the wheel for its platform."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is filled; an editable one stays as it is."""
        if version == "editable":
            return
        # hatchling runs this file by its path.
        sys.path.insert(0, self.root)
        from compiled.build import build  # noqa: PLC0415  # found only now

        self._folder = tempfile.TemporaryDirectory(prefix="nexus-compiled-")
        build_data["force_include"] |= build(Path(self.root) / "src", Path(self._folder.name))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002  # the form of a hook
        """Remove what was compiled, which the wheel now has."""
        if version != "editable":
            self._folder.cleanup()
