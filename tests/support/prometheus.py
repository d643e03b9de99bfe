"""A real Prometheus that scrapes one gateway."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.process import wait_until

BINARIES = ("prometheus", "promtool")
INSTALL = "sudo apt-get install -y --no-install-recommends prometheus"


def missing() -> str:
    """What to say when Prometheus is not here, or nothing."""
    lacking = [name for name in BINARIES if shutil.which(name) is None]
    return f"{' and '.join(lacking)} missing; run: {INSTALL}" if lacking else ""


class Prometheus:
    """One server, asked over its HTTP interface.

    Attributes:
        url: its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **query: str) -> Any:  # noqa: ANN401 - JSON is anything
        """Ask; an answer that is no success raises."""
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query)}", timeout=30) as reply:  # noqa: S310  # loopback
            return json.loads(reply.read())["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression now; one that does not parse raises."""
        found: list[dict[str, Any]] = self.get("/api/v1/query", query=expression)["result"]
        return found

    def scraped(self, since: float) -> bool:
        """Tell whether a scrape that began after ``since`` (Unix seconds) has succeeded."""
        try:
            rows = self.query("timestamp(nexus_models_available)")
        except OSError:
            return False
        return bool(rows) and float(rows[0]["value"][1]) > since

    def wait_for_scrape(self) -> None:
        """Wait until what is true now was scraped."""
        now = time.time()
        wait_until(lambda: self.scraped(now))


@contextmanager
def scraping(port: int, folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus over the gateway on ``port`` until the block ends; it keeps its data in ``folder``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        own = free.getsockname()[1]
    config = folder / "prometheus.yml"
    config.write_text(
        "global:\n  scrape_interval: 500ms\n  scrape_timeout: 500ms\n"
        "scrape_configs:\n  - job_name: nexus\n    static_configs:\n"
        f'      - targets: ["127.0.0.1:{port}"]\n'
    )
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{own}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        running = Prometheus(f"http://127.0.0.1:{own}")
        running.wait_for_scrape()
        yield running
    finally:
        process.terminate()
        process.wait(30)
