"""What a run says of itself: a line now and then, log.jsonl, TensorBoard where installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SHOWN = {  # name -> how a progress line shows it
    "loss": "loss {:.4f}",
    "keyframe": "keyframe {:.4f}",
    "alpha": "alpha {:.4g}",
    "clipped": "clipped {:.0%}",
    "ess": "ess {:.1f}",
    "sigma_r": "sigma_R {:.3g}",
    "sigma_l": "sigma_L {:.3g}",
}


class RunLog:
    """Appends to the log of a run folder."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.say = say
        self._path = folder / "log.jsonl"
        self._board = _open_board(folder)

    def write(self, row: Mapping[str, float]) -> None:
        """Keep the values of a step; `row` holds `step`."""
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in row.items():
            if self._board is not None and name != "step":
                self._board.add_scalar(name, value, row["step"])

    def close(self) -> None:
        """Write what TensorBoard still holds."""
        if self._board is not None:
            self._board.close()


def line(values: Mapping[str, float]) -> str:
    """Format the values of a step that a progress line shows."""
    shown = [text.format(values[name]) for name, text in SHOWN.items() if name in values]
    return "  ".join(shown)


def _open_board(folder: Path) -> Any:
    """Open a TensorBoard writer; None without the package `tensorboard`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
