"""`arfm bench BUNDLE`: latencies beside the floors that the machine and the graphs set."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.bench.contest import Contender, compete
from arfm_ros.bench.cost import Cost, count
from arfm_ros.bench.gpus import bf16_floors_ms
from arfm_ros.bench.roofline import Roofline
from arfm_ros.core.chunks.rtc import exact_steps
from arfm_ros.core.errors import BundleError, EngineError
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines import Bundle, EnginePolicy, load_bundle, load_policy
from arfm_ros.engines.bundle import REFERENCE
from arfm_ros.engines.gate.machine import machine
from arfm_ros.engines.gate.replay import load_reference
from arfm_ros.engines.runtimes.onnx_engine import graph_threads
from arfm_ros.engines.store import GRAPHS, WHOLE

GUIDED_STEP, GUIDED_CHUNK = 3.2, 1.6  # most that following on may cost, over the plain ones
Runs = Mapping[str, int]  # graph -> how often a chunk runs it


@dataclass(frozen=True, slots=True)
class Choice:
    """What to measure with."""

    engine: str = "onnx"
    precision: str = ""
    providers: tuple[str, ...] = ("default",)
    threads: int = 2
    seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was timed, on one runtime."""

    runtime: str
    what: str  # a graph, chunk, or chunk_rtc, which follows on from another
    count: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_p50_ms: float  # of this process; what other processes take is not in it
    flops: int
    bytes: int
    floor_ms: float | None  # None where the machine that runs it was not measured
    ratio: float | None  # p50 over floor


def bench_bundle(folder: Path, choice: Choice, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the bundle in `folder` on the chosen engine, and in eager torch if that is here.

    Returns what `--json` writes. Raises `ArfmError` for a bundle that cannot run or be counted.
    """
    bundle = load_bundle(folder)
    if bundle.remote is not None:
        raise BundleError(f"'{bundle.name}' runs on a server: there is no graph here to measure")
    contenders, missing = _contenders(folder, choice)
    costs = _costs(bundle, contenders[0])
    roofline = Roofline()
    for one in contenders:
        for name, cost in costs.items():
            roofline.watch(one.threads[name], cost.working_set)
    load = os.getloadavg()[0]
    say(f"measuring {', '.join(one.name for one in contenders)} for {choice.seconds:g} s")
    observation = _observation(bundle)
    compete(contenders, observation, choice.seconds, roofline.refresh)
    views = len(bundle.spec.cameras) if "view" in costs else 0
    runs = chunk_runs(bundle.spec, contenders[0].policy.runtime.whole, views)
    timed = {**runs, "prefix": _looks(views)}
    rows = [row for one in contenders for row in _rows(one, costs, timed, roofline)]
    return {
        "bundle": bundle.name,
        "bundle_sha256": bundle.sha256,
        "rtc_mode": bundle.spec.rtc.mode,
        "steps": bundle.spec.steps,
        "machine": machine(),
        "load_average": round(load, 2),
        "seconds": choice.seconds,
        "graphs": {name: asdict(cost) for name, cost in costs.items()},
        "runs_in_a_chunk": runs,
        "roofs": _roofs(roofline, contenders, costs),
        "rows": [asdict(row) for row in rows],
        "follow_on": follow_on(rows, contenders[0]),
        "not_measured": missing,
        "gpu_floors_ms": _gpu_floors(costs, chunk_runs(bundle.spec, views=views)),
    }


def _costs(bundle: Bundle, one: Contender) -> dict[str, Cost]:
    """Count the graphs that the contender runs."""
    names = list(bundle.graphs)
    names += [n for n in WHOLE if n in one.policy.runtime.whole.split(", ")]
    return {n: count(bundle.path / f"{n}.onnx", bundle.spec.steps) for n in names}


def _contenders(folder: Path, choice: Choice) -> tuple[list[Contender], dict[str, str]]:
    """Open the chosen engine, and torch on one thread and on as many as that has."""
    policy = _open(folder, choice)
    runtime = policy.runtime
    apart = "" if runtime.device == "cpu" else f" on {runtime.device}"
    threads = dict.fromkeys((*GRAPHS, *WHOLE), choice.threads)
    if runtime.engine == "onnx":
        threads = {g: graph_threads(folder / f"{g}.onnx", choice.threads) for g in threads}
    first = Contender(f"{runtime.engine} {runtime.precision}{apart}", policy, threads)
    try:
        eager = _open(folder, Choice("torch", providers=("cpu",), threads=1))
    except EngineError as error:
        return [first], {"eager torch": str(error)}
    return [first, *(_eager(eager, n) for n in sorted({1, choice.threads}))], {}


def _eager(policy: EnginePolicy, threads: int) -> Contender:
    from torch import set_num_threads

    name = f"eager torch, {threads} thread{'s' if threads > 1 else ''}"
    get_ready = partial(set_num_threads, threads)
    return Contender(name, policy, dict.fromkeys((*GRAPHS, *WHOLE), threads), get_ready)


def _open(folder: Path, choice: Choice) -> EnginePolicy:
    policy = load_policy(
        folder,
        engine=choice.engine,
        precision=choice.precision,
        threads=choice.threads,
        providers=choice.providers,
    )
    assert isinstance(policy, EnginePolicy)  # remote bundles were refused
    return policy


def _observation(bundle: Bundle) -> Any:
    """Take a real one where the bundle has them."""
    if (bundle.path / REFERENCE).is_file():
        return load_reference(bundle.path).observation(0)
    return bundle.spec.example(0)


def chunk_runs(spec: PolicySpec, whole: str = "", views: int = 0) -> dict[str, dict[str, int]]:
    """Tell how often a chunk, and one that follows on, runs each graph.

    `whole` names graphs that run all steps at once; `views` pictures are encoded one by one.
    """
    at_once = whole.split(", ") if spec.sampler.solver == "euler" else []
    looks = _looks(views)
    runs = {"chunk": {**looks, "step": spec.steps}}
    if "chunk" in at_once:
        runs["chunk"] = {**looks, "chunk": 1}
    if "chunk_rtc" in at_once:
        runs["chunk_rtc"] = {**looks, "chunk_rtc": 1}
    elif spec.rtc.mode == "prefix":
        runs["chunk_rtc"] = {**looks, "step_rtc": spec.steps}
    elif spec.rtc.mode == "guided":
        exact = exact_steps(spec.steps, spec.rtc.guidance)
        each = {"step_rtc": exact, "step": spec.steps - exact}
        runs["chunk_rtc"] = looks | {name: count for name, count in each.items() if count}
    return runs


def _looks(views: int) -> dict[str, int]:
    return {"view": views, "prefix": 1} if views else {"prefix": 1}


def _rows(
    one: Contender, costs: Mapping[str, Cost], runs: Mapping[str, Runs], roofline: Roofline
) -> list[Row]:
    rows = []
    for what, wall_ns in one.wall_ns.items():
        graphs = runs.get(what, {what: 1})
        total = sum((costs[name].times(n) for name, n in graphs.items()), Cost(0, 0, 0))
        p50, p99 = (float(p) * 1e-6 for p in np.percentile(wall_ns, (50, 99)))
        floor = _floor_ms(one, costs, graphs, roofline)
        rows.append(
            Row(
                runtime=one.name,
                what=what,
                count=len(wall_ns),
                p50_ms=p50,
                p99_ms=p99,
                max_ms=max(wall_ns) * 1e-6,
                cpu_p50_ms=float(np.median(one.cpu_ns[what])) * 1e-6,
                flops=total.flops,
                bytes=total.bytes,
                floor_ms=floor,
                ratio=None if floor is None else p50 / floor,
            )
        )
    return rows


def _floor_ms(
    one: Contender, costs: Mapping[str, Cost], graphs: Runs, roofline: Roofline
) -> float | None:
    if (one.policy.runtime.device, one.policy.runtime.precision) != ("cpu", "fp32"):
        return None
    return sum(
        n * roofline.roof(one.threads[name], costs[name].working_set).floor_ms(costs[name])
        for name, n in graphs.items()
    )


def follow_on(rows: Sequence[Row], one: Contender) -> dict[str, dict[str, float | bool]]:
    """Compare what follows on from another chunk with the plain, medians of one contender.

    By CPU time, which other processes disturb less, where a CPU does the work.
    """
    on_cpu = one.policy.runtime.device == "cpu"
    own = [row for row in rows if row.runtime == one.name]
    median = {row.what: row.cpu_p50_ms if on_cpu else row.p50_ms for row in own}
    found: dict[str, dict[str, float | bool]] = {}
    for what, most in (("step", GUIDED_STEP), ("chunk", GUIDED_CHUNK)):
        if f"{what}_rtc" in median:
            ratio = median[f"{what}_rtc"] / median[what]
            found[what] = {"ratio": ratio, "at_most": most, "met": ratio <= most}
    return found


def _roofs(
    roofline: Roofline, contenders: Sequence[Contender], costs: Mapping[str, Cost]
) -> list[dict[str, Any]]:
    """List what was measured of the machine, once for each graph and number of threads."""
    wanted = {(one.threads[name], name) for one in contenders for name in costs}
    return [
        {"threads": threads, "graph": name, "read_bytes": costs[name].working_set}
        | asdict(roofline.roof(threads, costs[name].working_set))
        for threads, name in sorted(wanted)
    ]


def _gpu_floors(costs: Mapping[str, Cost], runs: Mapping[str, Runs]) -> dict[str, Any]:
    """Compute floors from data sheets for a plain chunk in bf16; nothing of it is measured."""
    return bf16_floors_ms({name: (costs[name], n) for name, n in runs["chunk"].items()})
