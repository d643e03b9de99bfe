"""The rule for what not every machine has: skipped where it is missing, failed in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")


@pytest.mark.parametrize("marker", ["real", "namespace", "prometheus"])
@pytest.mark.parametrize(("strict", "expected"), [("0", "1 skipped"), ("1", "1 failed")])
def test_a_skip_fails_in_ci(tmp_path: Path, strict: str, expected: str, marker: str) -> None:
    (tmp_path / "conftest.py").write_bytes(CONFTEST.read_bytes())
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers =\n    real: x\n    namespace: x\n    prometheus: x\n"
    )
    (tmp_path / "test_it.py").write_text(
        f"import pytest\n@pytest.mark.{marker}\ndef test_it() -> None:\n    pytest.skip('none here')\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NEXUS_CI": strict, "PYTHONPATH": str(CONFTEST.parent.parent / "src")},
        cwd=tmp_path,
    )
    assert expected in done.stdout
