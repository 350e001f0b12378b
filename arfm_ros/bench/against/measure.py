"""The library's policy and the bundle, from raw observations to commands, in turns."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.bench.contest import Chunks, compete
from arfm_ros.core.errors import BundleError, ConfigError
from arfm_ros.core.values.data import F32, Observation
from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.engines import Bundle, EnginePolicy, load_bundle, load_policy
from arfm_ros.engines.bundle import REFERENCE
from arfm_ros.engines.gate.machine import machine
from arfm_ros.engines.gate.replay import LIMITS, limits_of, load_reference

EAGER, COMPILED = "LeRobot, eager", "LeRobot, torch.compile"
Chunk = Callable[[Observation], F32]


@dataclass(frozen=True, slots=True)
class Against:
    """What to measure."""

    source: str  # lerobot:FOLDER
    interface: Path | None = None
    threads: int = 2
    seconds: float = 30.0
    compiled: bool = False


def bench_against(folder: Path, choice: Against, say: Callable[[str], None]) -> dict[str, Any]:
    """Compare a chunk, then time both in turns; first the memory of each in its own process.

    Returns what `--json` writes. Raises `ConfigError` where the two give different commands, and
    for whatever keeps the library's policy from being opened.
    """
    from arfm_ros.bench.against.library import flow_of

    bundle, load = load_bundle(folder), os.getloadavg()[0]
    flow_of(choice.source)  # refuses before anything takes its time
    memory = _memory(folder, choice, say)
    own, name = own_chunk(folder, choice.threads)
    race = _race(bundle, Chunks(name, own), choice, say)
    say(f"measuring {', '.join(one.name for one in race.contenders)} for {choice.seconds:g} s")
    compete(race.contenders, observation_of(bundle), choice.seconds, lambda: None)
    return {
        "bundle": bundle.name,
        "bundle_sha256": bundle.sha256,
        "against": choice.source,
        "library": race.made_by,
        "steps": bundle.spec.steps,
        "threads": choice.threads,
        "seconds": choice.seconds,
        "machine": machine(),
        "load_average": round(load, 2),
        "difference": race.difference,
        "rows": [row(one) for one in race.contenders],
        "memory_bytes": {name: memory[""], EAGER: memory[EAGER]},
        "not_measured": race.missing,
    }


@dataclass(frozen=True, slots=True)
class _Race:
    contenders: list[Chunks]  # the bundle first
    made_by: str
    difference: dict[str, Any]
    missing: dict[str, str]


def _memory(folder: Path, choice: Against, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure the bundle ("") and the library's policy, one after the other."""
    from arfm_ros.bench.against.memory import Job, growth

    found = {}
    for name, source in (("", ""), (EAGER, choice.source)):
        say(f"memory of {name or 'the bundle'}, in a process of its own")
        found[name] = growth(Job(folder, source, choice.interface, choice.threads))
    return found


def _race(bundle: Bundle, own: Chunks, choice: Against, say: Callable[[str], None]) -> _Race:
    """Open the library's policy and compare a chunk from the same noise."""
    from arfm_ros.bench.against.library import chunk_of, open_library

    say(f"opening {choice.source}")
    opened, made_by = open_library(choice.source, bundle.spec, choice.interface)
    chunk = chunk_of(opened, noise_of(bundle.spec), bundle.spec.steps)
    _use_threads(choice.threads)
    observation = observation_of(bundle)
    wanted = chunk(observation)
    difference = compare(np.asarray(own.chunk(observation)), wanted, bundle, choice.source)
    race = _Race([own, Chunks(EAGER, chunk)], made_by, difference, {})
    if choice.compiled:
        say("compiling the library's sampler")
        found = _compiled(opened, chunk, observation, wanted)
        if isinstance(found, str):
            race.missing[COMPILED] = found
        else:
            race.contenders[1:] = found
    return race


def own_chunk(folder: Path, threads: int) -> tuple[Chunk, str]:
    """Open the bundle; give its way from a raw observation to commands, and its name."""
    policy = load_policy(folder, threads=threads)
    if not isinstance(policy, EnginePolicy):
        raise BundleError(f"{folder} runs on a server: there is nothing here to measure")
    noise = noise_of(policy.spec)

    def chunk(observation: Observation) -> F32:
        return policy.sample(policy.encode(observation), noise).actions

    return chunk, f"{policy.runtime.engine} {policy.runtime.precision}"


def observation_of(bundle: Bundle) -> Observation:
    """Take the first of the reference's, whose pictures are as a camera gives them."""
    if (bundle.path / REFERENCE).is_file():
        return load_reference(bundle.path).observation(0)
    return bundle.spec.example(0)


def noise_of(spec: PolicySpec) -> F32:
    """Draw the noise [H, D] that both begin with."""
    return np.random.default_rng(0).standard_normal(spec.flow_shape).astype(np.float32)


def compare(own: F32, wanted: F32, bundle: Bundle, source: str) -> dict[str, Any]:
    """Tell how far commands [H, A] are from the library's, in physical units.

    The limit is the gate's for the joints, as a share of the largest command, at least of 1; of
    weights stored in fewer bits that of such a precision. Raises `ConfigError` beyond it.
    """
    stored = str(bundle.provenance.get("exported_with", {}).get("weights", "fp32"))
    limit = limits_of(bundle.spec, stored if stored in LIMITS else "fp32").joint
    if stored != "fp32":
        limit = LIMITS[stored].chunk
    if own.shape != wanted.shape:
        raise ConfigError(f"{source} gives commands {wanted.shape}, the bundle {own.shape}")
    apart = float(np.abs(own - wanted).max())
    share = apart / max(1.0, float(np.abs(wanted).max()))
    if not share <= limit:
        raise ConfigError(
            f"the bundle was not exported from {source}: from the same noise its commands differ "
            f"by {apart:.2g}, {share:.2g} of their size, allowed {limit:g}; export it again, or "
            "give the checkpoint it was made of"
        )
    return {"largest": apart, "share": share, "limit": limit, "weights": stored}


def row(one: Chunks) -> dict[str, Any]:
    """Summarise the chunks of a contender; milliseconds."""
    wall, cpu = np.asarray(one.wall_ns["chunk"]) * 1e-6, np.asarray(one.cpu_ns["chunk"]) * 1e-6
    p50, p99 = np.percentile(wall, (50, 99))
    return {
        "runtime": one.name,
        "what": "chunk",
        "count": len(wall),
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "max_ms": float(wall.max()),
        "cpu_p50_ms": float(np.median(cpu)),
    }


def _compiled(
    opened: Any, chunk: Chunk, observation: Observation, wanted: F32
) -> list[Chunks] | str:
    """Give the library's plain and compiled contenders, or why there is none compiled."""
    from arfm_ros.bench.against.library import Compiled

    compiled = Compiled(opened)
    try:
        with compiled.used():
            found = chunk(observation)
    except (RuntimeError, OSError, TypeError, AssertionError) as error:  # of dynamo, of a compiler
        return f"torch.compile fails: {str(error).strip().splitlines()[0][:300]}"
    share = float(np.abs(found - wanted).max()) / max(1.0, float(np.abs(wanted).max()))
    if not share <= LIMITS["fp32"].joint:
        return f"compiled, its commands differ by {share:.2g} of their size from the eager ones"
    return [Chunks(EAGER, chunk, compiled.rest), Chunks(COMPILED, chunk, compiled.use)]


def _use_threads(threads: int) -> None:
    from torch import set_num_threads

    set_num_threads(threads)
