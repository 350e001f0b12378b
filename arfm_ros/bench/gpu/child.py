"""The process of one part: `python -m arfm_ros.bench.gpu.child JOB RESULTS`, both JSON files."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arfm_ros.bench.gpu.parts import Setting, Skipped
from arfm_ros.core.errors import ArfmError
from arfm_ros.workers import end_with_parent


class Kept:
    """A `Report` in a file, written anew with each result."""

    def __init__(self, path: Path) -> None:
        self._path, self._found = path, dict[str, Any]()

    def __call__(self, **found: Any) -> None:
        """Add results."""
        self._found |= found
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(self._found))
        draft.replace(self._path)


def main(argv: Sequence[str]) -> int:
    """Run a part; what keeps it from running here is a result too."""
    end_with_parent(signal.SIGKILL, os.getppid())
    job, results = (Path(word) for word in argv)
    told = json.loads(job.read_text())
    report = Kept(results)
    module, _, function = told["module"].rpartition(".")
    try:
        work = getattr(importlib.import_module(module), function)
        work(Setting(**told["setting"]), report, **told["arguments"])
    except ModuleNotFoundError as error:
        if str(error.name).startswith("arfm_ros"):
            raise
        report(skipped=f"the package '{error.name}' is not installed")
    except (Skipped, ArfmError) as error:
        report(skipped=str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
