"""Build an engine from a bundle into its engines/ folder: the one builder for every runtime."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import BundleError, ConfigError
from arfm_ros.core.precisions import LEAST_SM, ON_CPU
from arfm_ros.engines.bundle import Bundle, load_bundle
from arfm_ros.engines.gate.machine import machine
from arfm_ros.engines.runtimes.cuda import Device, find_gpu
from arfm_ros.engines.runtimes.tensorrt_engine import tensorrt_module
from arfm_ros.engines.store import FOLDER, Target, write_manifest
from arfm_ros.export.calibrate import observations, ranges
from arfm_ros.export.graphs.calibrated import WEIGHED, quantise_calibrated, weighed_products
from arfm_ros.export.graphs.eight_bits import quantise
from arfm_ros.export.graphs.four_bits import quantise_weights
from arfm_ros.export.graphs.precision import convert
from arfm_ros.export.graphs.weights import let_others_read
from arfm_ros.export.tensorrt import build, check_capabilities

Writer = Callable[[Path, Path], int]  # a graph, the new one -> products that were converted
RTX_GPUS = (86, 89, 120)  # RTX 30, 40 and 50: what is built for where no GPU says otherwise


def build_engine(
    folder: Path,
    engine: str,
    precision: str = "fp32",
    sm: Sequence[int] = (),
    say: Callable[[str], None] = print,
    episodes: Sequence[Path] | None = None,
) -> Path:
    """Build every graph of the bundle in `folder` for `engine`; returns the new folder.

    `sm` are compute capabilities (89 for 8.9), for tensorrt_rtx only. Precisions of eight bits are
    calibrated with `episodes` (none: the reference), but for int8 of onnx without any. Written
    beside the other engines first and moved there when it is whole. Raises `ConfigError` for a
    choice that the runtime does not have, `EngineError` for a missing library or GPU and for a
    failed build.
    """
    bundle = load_bundle(folder)
    target, library = _target(engine, precision, tuple(sm))
    place = bundle.path / FOLDER / target.folder(bundle.sha256)
    draft = place.with_name(f".{place.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        begin = time.monotonic()
        notes = _write_graphs(draft, bundle, target, episodes, say)
        if library is not None:
            notes |= {"layers": _compile(draft, bundle, target, library, notes["products"])}
        notes |= {"machine": machine(), "seconds": round(time.monotonic() - begin, 1)}
        write_manifest(draft, target, bundle, notes)
        let_others_read(draft)
        shutil.rmtree(place, ignore_errors=True)
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return place


def _target(engine: str, precision: str, sm: tuple[int, ...]) -> tuple[Target, Any]:
    if sm and engine != "tensorrt_rtx":
        raise ConfigError(f"--sm is for --engine tensorrt_rtx; {engine} builds for this machine")
    if engine == "onnx":
        if precision == "fp32":
            raise ConfigError("the bundle's own graphs are onnx in fp32: nothing to build")
        return Target("onnx", "", precision), None  # graphs fit every onnxruntime
    if precision == ON_CPU:
        raise ConfigError(f"{precision} is for --engine onnx on a CPU; {engine} has int8, nvfp4")
    library = tensorrt_module(engine)
    version = library.__version__
    if engine == "tensorrt_rtx":
        gpu = find_gpu()
        least = LEAST_SM.get(precision, 0)
        chosen = sm or ((gpu.sm,) if gpu else tuple(one for one in RTX_GPUS if one >= least))
        check_capabilities(library, chosen)
        _check_precision(precision, chosen)
        return Target(engine, version, precision, tuple(sorted(set(chosen)))), library
    gpu = Device().gpu  # TensorRT builds for the GPU that it finds, and needs one
    _check_precision(precision, (gpu.sm,))
    return Target(engine, version, precision, (gpu.sm,), gpu.name), library


def _check_precision(precision: str, sm: Sequence[int]) -> None:
    least = LEAST_SM.get(precision, 0)
    low = [f"{one}" for one in sm if one < least]
    if low:
        raise ConfigError(
            f"{precision} on a GPU of compute capability {' '.join(low)}, needs {least} or more: "
            "choose --precision int8 or fp16, or another --sm"
        )


def _write_graphs(
    draft: Path,
    bundle: Bundle,
    target: Target,
    episodes: Sequence[Path] | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Write every graph in the precision; returns what is to be noted of it."""
    precision = target.precision
    writers: dict[str, Writer] = {ON_CPU: quantise_weights}
    if target.engine == "onnx" and episodes is None:
        writers["int8"] = quantise
    if precision in WEIGHED and precision not in writers:
        return _calibrated(draft, bundle, target, episodes or (), say)
    counts = {}
    for name in bundle.graphs:
        source, graph = bundle.path / f"{name}.onnx", draft / f"{name}.onnx"
        write = writers.get(precision)
        count = write(source, graph) if write else convert(source, graph, precision)
        say(f"{name}: {count} products of matrices in {target.precision}")
        counts[name] = count
    return {"products": counts}


def _calibrated(
    draft: Path,
    bundle: Bundle,
    target: Target,
    episodes: Sequence[Path],
    say: Callable[[str], None],
) -> dict[str, Any]:
    floats = {name: draft / f"{name}.float.onnx" for name in bundle.graphs}
    wanted = {}
    for name, graph in floats.items():
        convert(bundle.path / f"{name}.onnx", graph, "fp32")
        wanted[name] = graph, list(weighed_products(graph, target.precision).values())
    largest, count = ranges(bundle, wanted, observations(bundle, episodes))
    source = f"{len(episodes)} episodes" if episodes else "the reference"
    say(f"calibrated with {count} observations of {source}")
    rest = "fp32" if target.engine == "onnx" else "fp16"
    counts = {}
    for name, graph in floats.items():
        new = draft / f"{name}.onnx"
        number = quantise_calibrated(graph, new, target.precision, largest[name], target.engine)
        say(f"{name}: {number} products of matrices in {target.precision}, the others in {rest}")
        counts[name] = number
    if not any(counts.values()):
        raise BundleError(f"{bundle.path} has no product of matrices that fits {target.precision}")
    for file in draft.glob("*.float.*"):
        file.unlink()
    return {"products": counts, "calibration": {"observations": count, "source": source}}


def _compile(
    draft: Path, bundle: Bundle, target: Target, library: Any, products: Mapping[str, int]
) -> dict[str, Any]:
    """Turn the graphs in `draft` into engines; returns the layers of each by type."""
    layers = {}
    for name in bundle.graphs:
        graph = draft / f"{name}.onnx"
        cache, shown = _cache(bundle, target), _shown(name)
        plan, layers[name] = build(library, graph, target, products[name], cache, shown)
        graph.with_suffix(".engine").write_bytes(plan)
        for file in draft.glob(f"{graph.name}*"):
            file.unlink()
    return layers


def _cache(bundle: Bundle, target: Target) -> Path | None:
    """Name the timing cache; TensorRT for RTX measures no kernels when it builds."""
    if target.engine != "tensorrt":
        return None
    gpu = "".join(c if c.isalnum() else "_" for c in target.gpu)
    return bundle.path / FOLDER / f"timing-{target.version}-{gpu}.cache"


def _shown(name: str) -> Callable[[float], None]:
    """Show a share on the terminal, where there is one."""

    def show(share: float) -> None:
        if os.isatty(2):
            end = "\n" if share >= 1.0 else ""
            os.write(2, f"\r{name}: building {100 * share:3.0f} %{end}".encode())

    return show
