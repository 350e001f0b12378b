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
    "samples_s": "{:.0f} samples/s",
    "waiting": "data {:.0%}",  # of the step's time
}


class RunLog:
    """Appends to the log of a run folder."""

    def __init__(self, folder: Path, say: Callable[[str], None], step: int = 0) -> None:
        """Go on after `step`: what an interrupted run wrote beyond it will be written again."""
        self.say = say
        self._path = folder / "log.jsonl"
        _forget_after(self._path, step)
        self._board = _open_board(folder, step)

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


def _forget_after(path: Path, step: int) -> None:
    """Drop the rows after `step`, and one that was cut off."""
    if not path.exists():
        return
    kept = []
    for text in path.read_text().splitlines():
        try:
            row = json.loads(text)
        except json.JSONDecodeError:
            continue
        if row["step"] <= step:
            kept.append(text + "\n")
    new = path.with_suffix(".new")
    new.write_text("".join(kept))
    new.replace(path)


def _open_board(folder: Path, step: int) -> Any:
    """Open a TensorBoard writer; None without the package `tensorboard`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1 if step else None)
