"""The Markdown table of docs/benchmarks.md out of what `arfm bench gpu --json FILE` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arfm_ros.bench.gpu.run import told
from arfm_ros.core.errors import ConfigError

HEAD = "| part | what | p50 ms | p99 ms | N |\n|---|---|---|---|---|"
TIMED = ("eager", "eager_prefix", "eager_step", "cuda_graph", "library", "ours")
Found = Mapping[str, Any]


def read(file: Path) -> dict[str, Any]:
    """Read what a run wrote. Raises `ConfigError` for anything else."""
    try:
        found = dict(json.loads(file.read_text()))
        if not isinstance(found["parts"], dict) or "device" not in found:
            raise KeyError("parts")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"--table {file}: needs what `arfm bench gpu --json FILE` wrote ({error})"
        ) from error
    return found


def markdown(found: Found) -> str:
    """Make the tables; a part that was skipped, failed or stopped stands there with its reason."""
    parts: Mapping[str, Found] = found["parts"]
    machine = next((part["found"] for part in parts.values() if "machine" in part["found"]), {})
    lines = [_where(found, machine), ""]
    rows = [row for name, part in parts.items() for row in _rows(name, part["found"])]
    lines += [HEAD, *rows] if rows else []
    lines += ["", *_facts(parts)]
    ended = [f"- {name}: {told(dict(part))}" for name, part in parts.items() if part["why"]]
    lines += ["", "Not or not wholly run:", *ended] if ended else []
    return "\n".join(lines)


def _where(found: Found, machine: Found) -> str:
    gpu, on = machine.get("gpu"), machine.get("machine", {})
    name = f"{gpu['name']} (driver {gpu['driver']})" if gpu else "no GPU was found"
    if found["device"] == "cpu":
        name = "run on the CPU in tiny sizes, no figure of a GPU is in it"
    versions = ", ".join(f"{k} {v}" for k, v in machine.get("versions", {}).items())
    return f"{name}; {on.get('processor', '?')}, {on.get('cores', '?')} cores; {versions}."


def _rows(name: str, found: Found) -> Iterator[str]:
    for what, times in found.get("latencies", {}).items():
        yield _row(name, what, times)
    for what in TIMED:
        if isinstance(found.get(what), dict):
            yield _row(name, what.replace("_", " "), found[what])


def _row(name: str, what: str, times: Found) -> str:
    return (
        f"| {name} | {what} | {times['p50_ms']:.3g} | {times['p99_ms']:.3g} | {times['count']} |"
    )


def _facts(parts: Mapping[str, Found]) -> Iterator[str]:
    for name, part in parts.items():
        found: Found = part["found"]
        if "bytes_per_s" in found:
            rates = [
                f"{kind} {found[f'{kind}_flops_per_s'] / 1e12:.3g} TFLOP/s"
                for kind in ("bf16", "fp16", "fp32")
                if f"{kind}_flops_per_s" in found
            ]
            yield f"- {name}: {found['bytes_per_s'] / 1e9:.4g} GB/s copied, {', '.join(rates)}"
        if "parity" in found:
            yield f"- {name}: {_gate(found)}"
        if "floors_by_data_sheets_ms" in found:
            yield f"- {name}: {_floor(found)}"
        for task, one in found.get("tasks", {}).items():
            low, high = one["interval_95"]
            score = f"{one['successes']} of {one['episodes']} (of {found['wanted']} wanted)"
            yield f"- {name}, {task}: {score}, 95 % interval {low:.2f} to {high:.2f}"
        if "swaps" in found:
            yield f"- {name}: {_swaps(found)}"


def _gate(found: Found) -> str:
    parity, freeze = found["parity"], found.get("freeze_error", {})
    passed = "passed" if parity["passed"] else "FAILED"
    errors = ", ".join(f"{way} {error:.2g}" for way, error in freeze.items()) or "not measured"
    return (
        f"parity {passed}, {parity['max_step_relative']:.1e} per step, "
        f"{parity['max_chunk_relative']:.1e} per chunk; freeze error {errors}"
    )


def _floor(found: Found) -> str:
    sheets = ", ".join(f"{g} {ms:.3g}" for g, ms in found["floors_by_data_sheets_ms"].items())
    here = found.get("floor_measured_ms")
    own = "" if here is None else f"{here:.3g} ms by the rates measured here; "
    return f"{found['what']}; floor of a chunk in bf16 {own}by data sheets, ms: {sheets}"


def _swaps(found: Found) -> str:
    def used(when: str) -> str:
        one = found.get(when, {})
        gpu, host = one.get("gpu_mib"), one.get("host_resident_mib")
        told_gpu = "no GPU" if gpu is None else f"GPU {gpu:.0f} MiB"
        return "not reached" if host is None else f"{told_gpu}, host {host:.0f} MiB"

    return (
        f"{found['swaps']} with {found['engine']}; before {used('before')}; after the first "
        f"{used('after_first')}; after the last {used('after')}"
    )
