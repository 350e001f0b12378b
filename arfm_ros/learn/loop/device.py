"""Where a training computes and how precisely."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch

from arfm_ros.core.errors import ConfigError
from arfm_ros.learn.loop.group import Group

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str, group: Group) -> torch.device:
    """Take the GPU of this process, or the processor; `auto` prefers the GPU.

    Raises `ConfigError` if a GPU is asked for and there is none for this process.
    """
    count = torch.cuda.device_count()
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    if group.local_rank >= count:
        raise ConfigError(
            f"process {group.local_rank} finds {count} GPUs: use --device cpu, or torchrun "
            "--nproc-per-node with one process a GPU"
        )
    return torch.device("cuda", group.local_rank)


def choose_precision(name: str, device: torch.device) -> str:
    """Turn `auto` into what the device computes fast: bf16, on older GPUs fp16, else fp32."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"


def autocast(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[None]]:
    """Make the context in which the network's heavy layers run."""
    if precision == "fp32":
        return nullcontext
    return partial(torch.autocast, device.type, TYPES[precision])


def choose_threads(wanted: int, device: torch.device, group: Group) -> int:
    """Tell into how many shares a process cuts its part of a batch; 0 leaves it to the machine.

    Raises `ConfigError` for threads on a GPU or beside the processes of torchrun.
    """
    alone = device.type == "cuda" or group.size > 1
    if alone and wanted > 1:
        where = "on a GPU" if device.type == "cuda" else "under torchrun"
        raise ConfigError(f"--threads {wanted} {where}: a process computes its share as one there")
    return wanted or (1 if alone else min(2, os.cpu_count() or 1))
