"""``python -m nexus.demo.leashed ARGS``: ``python -m nexus ARGS`` that ends with its parent."""

from __future__ import annotations

import runpy

from nexus.demo.lifeline import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    runpy.run_module("nexus", run_name="__main__", alter_sys=True)
