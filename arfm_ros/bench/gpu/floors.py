"""Which machine it is, and how fast its GPU copies and multiplies: what bounds every runtime."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from arfm_ros.bench.gpu.parts import Report, Setting
from arfm_ros.bench.gpu.timing import Work, times_ms, torch_device
from arfm_ros.engines.gate.machine import machine
from arfm_ros.engines.runtimes.cuda import driver_version, find_gpu

PACKAGES = (
    *("torch", "onnxruntime", "onnxruntime-gpu", "onnx", "tensorrt", "tensorrt-cu13"),
    *("lerobot", "transformers", "mujoco", "numpy", "safetensors"),
)
QUERY = ("name", "driver_version", "memory.total", "clocks.max.sm", "clocks.max.memory")
SMI = f"--query-gpu={','.join(QUERY)}"
SIDE, BYTES, SECONDS = 8192, 2**31, 2.0  # of the square matrices, of the copy, for each
TINY = (128, 2**20, 0.05)


def describe(setting: Setting, report: Report) -> None:
    """Say which GPU, driver, CUDA and versions there are; nothing of it is measured."""
    gpu = find_gpu()
    report(
        machine=machine(),
        gpu=None if gpu is None else {"name": gpu.name, "sm": gpu.sm, "driver": gpu.driver},
        driver=driver_version(),
        nvidia_smi=_smi(),
        versions={name: found for name in PACKAGES if (found := _version(name))},
        missing=[name for name in PACKAGES if not _version(name)],
    )
    import onnxruntime

    report(onnxruntime_providers=onnxruntime.get_available_providers())
    import torch

    report(cuda_of_torch=torch.version.cuda or "none", torch_finds_gpu=torch.cuda.is_available())


def measure(setting: Setting, report: Report) -> None:
    """Measure bandwidth (bytes read and written a second) and rates (operations a second)."""
    import torch

    device, wait = torch_device(setting.device)
    side, size, seconds = TINY if setting.tiny else (SIDE, BYTES, SECONDS)
    report(bytes_per_s=_copied(torch, device, size, (wait, seconds)), side=side)
    torch.backends.cuda.matmul.allow_tf32 = False  # float32 means float32
    for name, kind in (
        ("bf16", torch.bfloat16),
        ("fp16", torch.float16),
        ("fp32", torch.float32),
    ):
        a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
        out = torch.empty_like(a)
        times = times_ms(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), wait, seconds)  # type: ignore[misc]
        report(**{f"{name}_flops_per_s": 2e3 * side**3 / min(times)})


def _copied(torch: Any, device: Any, size: int, timed: tuple[Work, float]) -> float:
    source = torch.empty(size, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    return 2e3 * size / min(times_ms(lambda: target.copy_(source), *timed))


def _smi() -> dict[str, Any] | str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "nvidia-smi is not there"
    try:
        done = subprocess.run(
            [program, SMI, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
            timeout=15,
        )
    except subprocess.TimeoutExpired:
        return "nvidia-smi did not answer"
    return dict(zip(QUERY, (word.strip() for word in done.stdout.split(","))))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
