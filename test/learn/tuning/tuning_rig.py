"""Checkpoints of LeRobot's classes that are fine-tuned: in this process, or by torchrun."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from learn_rig import write_episodes
from lerobot_rig import CLASSES, NEWER, save_checkpoint, write_interface
from tuned_rig import Given

KINDS = [pytest.param("pi0", marks=NEWER), "smolvla"]
CHILD = """
import json
import sys
from pathlib import Path
import pytest
import torch
from lerobot_rig import shrink
torch.set_num_threads(1)
kind, folder = sys.argv[1], Path(sys.argv[2])
if kind in ("pi0", "pi05"):
    read = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    shrink(kind, folder, len(read["model"]["vocab"]), pytest.MonkeyPatch())
from arfm_ros.cli.__main__ import run
run(["train", *sys.argv[3:]])
"""


def make_given(kind: str, folder: Path) -> Iterator[Given]:
    """Write all of it; what the library fixes by name is small for as long as it is needed."""
    with pytest.MonkeyPatch.context() as patch:
        save_checkpoint(kind, folder, patch)
        write_interface(folder / "robot.yaml")
        write_episodes(folder / "episodes")
        (folder / "child.py").write_text(CHILD)
        yield Given("lerobot", kind, folder)


def opened(given: Given, out: str) -> Any:
    """Let LeRobot read what a run left."""
    module = importlib.import_module(f"lerobot.policies.{given.kind}.modeling_{given.kind}")
    return getattr(module, CLASSES[given.kind][1]).from_pretrained(given.last(out))
