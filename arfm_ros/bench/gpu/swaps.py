"""A hundred policies opened and dropped on the GPU: what is left of its memory?"""

from __future__ import annotations

import gc
import os
import subprocess
from pathlib import Path

import numpy as np
import psutil

from arfm_ros.bench.gpu.parts import SWAPS, TINY_SWAPS, Report, Setting
from arfm_ros.bench.gpu.tabletop import first_policy
from arfm_ros.engines.gate.replay import load_reference

MIB = 2**20


def measure(setting: Setting, report: Report) -> None:
    """Swap; memory before, after the first, whose libraries stay, and after the last one."""
    bundle = Path(setting.bundle)
    observation = load_reference(bundle).observation(0)
    report(before=memory(setting.device), engine="")
    for n in range(1, 1 + (TINY_SWAPS if setting.tiny else SWAPS)):
        policy = first_policy(setting, bundle)
        noise = np.zeros(policy.spec.flow_shape, np.float32)
        policy.sample(policy.encode(observation), noise)
        report(engine=policy.runtime.engine)
        del policy
        gc.collect()
        report(swaps=n, **{"after_first" if n == 1 else "after": memory(setting.device)})


def memory(device: str) -> dict[str, float | None]:
    """Return what is used, in MiB: of the whole GPU, by torch's tensors, by this process here."""
    found: dict[str, float | None] = {
        "host_resident_mib": psutil.Process(os.getpid()).memory_info().rss / MIB,
        "gpu_mib": None,
        "torch_allocated_mib": None,
    }
    if device == "cpu":
        return found
    try:
        import torch
    except ModuleNotFoundError:
        return found | {"gpu_mib": _smi()}
    if not torch.cuda.is_available():
        return found | {"gpu_mib": _smi()}
    free, total = torch.cuda.mem_get_info()
    return found | {
        "gpu_mib": (total - free) / MIB,
        "torch_allocated_mib": torch.cuda.memory_allocated() / MIB,
    }


def _smi() -> float | None:
    words = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=15)
        return float(done.stdout.splitlines()[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
