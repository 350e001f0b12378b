"""Publishers in processes of their own that know nothing of this stack's qualities of service."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FOREIGN = Path(__file__).resolve().parent / "foreign_publishers.py"


class Foreigners:
    """Starts such processes, and kills them in the end."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []

    def publish(self, rate_hz: float, *words: str) -> None:
        """Start publishers; return when each has sent once."""
        command = [sys.executable, str(FOREIGN), str(rate_hz), *words]
        process = subprocess.Popen(command, env=dict(os.environ), stdout=-1, text=True)
        self._processes.append(process)
        assert process.stdout is not None
        assert "ready\n" in iter(process.stdout.readline, "")

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.communicate()
