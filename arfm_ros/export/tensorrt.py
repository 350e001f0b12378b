"""Build TensorRT engines from a bundle's graphs: `tensorrt` on its GPU, `tensorrt_rtx` anywhere.

Networks are strongly typed: a layer computes in the type that its graph says, or the build fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arfm_ros.core.errors import BundleError, ConfigError, EngineError
from arfm_ros.engines.store import Target

Progress = Callable[[float], None]  # share of the work that is done, 0..1
TYPES = {"fp32": "FLOAT", "fp16": "HALF", "bf16": "BF16"}
STORED_AS = {"int8": "INT8", "fp8": "FP8", "nvfp4": "FP4"}  # others of such a graph are in fp16
PRODUCTS = ("MATRIX_MULTIPLY", "CONVOLUTION", "DECONVOLUTION", "EINSUM")
OUTSIDE = ("FLOAT", "INT64", "INT32", "UINT8", "BOOL")  # types of inputs and outputs


def parse(library: Any, builder: Any, graph: Path) -> Any:
    """Read an ONNX graph as a strongly typed network. Raises `BundleError` with the reason."""
    flag = 1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flag)
    parser = library.OnnxParser(network, builder.logger)
    if not parser.parse_from_file(str(graph)):
        said = "; ".join(_describe(parser.get_error(i)) for i in range(parser.num_errors))
        raise BundleError(f"{library.__name__} cannot read {graph.name}: {said}")
    return network


def _describe(error: Any) -> str:
    """Say which node of which operator; what the parser says about it may be no more than "false".

    A file that is no graph has an error without a node.
    """
    operator = error.node_operator()
    where = f"node {error.node_name()} ({operator}): " if operator else ""
    return f"{where}{error.desc()}"


def audit(library: Any, network: Any, precision: str, products: int = 0) -> dict[str, int]:
    """Count the layers by type and check that the products of matrices have the one wanted.

    Raises `EngineError` naming the layers that fell back, or an input or output that is not
    float32 where the host has float32. In int8, fp8 and nvfp4 as many as `products` take what was
    stored in it, both their operands; the others are in fp16.
    """
    wanted = getattr(library.DataType, TYPES[precision if precision in TYPES else "fp16"])
    kinds_of_product = {getattr(library.LayerType, name) for name in PRODUCTS}
    counts: Counter[str] = Counter()
    wrong, quantised = [], 0
    origins = _Origins(library, network, STORED_AS.get(precision, ""))
    for layer in (network.get_layer(i) for i in range(network.num_layers)):
        if layer.num_outputs == 0:
            continue
        counts[layer.get_output(0).dtype.name.lower()] += 1
        kinds = [layer.get_input(i).dtype for i in range(layer.num_inputs)]
        if layer.type not in kinds_of_product:
            continue
        if origins.quantised(layer):
            quantised += 1
        elif any(kind != wanted for kind in kinds):
            wrong.append(f"{layer.name} ({', '.join(kind.name.lower() for kind in kinds)})")
    if wrong or (precision in STORED_AS and quantised < products):
        raise EngineError(
            f"{len(wrong)} products of matrices are not {precision}"
            f"{f', {quantised} of {products} are' * (precision in STORED_AS)}: "
            f"{', '.join(wrong[:4])}"
        )
    ends = [network.get_input(i) for i in range(network.num_inputs)]
    ends += [network.get_output(i) for i in range(network.num_outputs)]
    odd = [end.name for end in ends if end.dtype.name not in OUTSIDE]
    if odd:
        raise EngineError(f"not float32 outside of the engine: {', '.join(odd)}")
    return {**counts, f"{precision} products": quantised} if quantised else dict(counts)


class _Origins:
    """Which layer a tensor comes from, past those that only move its numbers."""

    def __init__(self, library: Any, network: Any, kind: str) -> None:
        self._kind, self._library = kind, library
        self._made = {
            layer.get_output(i).name: layer
            for layer in (network.get_layer(k) for k in range(network.num_layers))
            for i in range(layer.num_outputs)
        }

    def quantised(self, layer: Any) -> bool:
        """Tell whether every operand of a product was in the precision wanted."""
        count = min(2, layer.num_inputs)
        return bool(self._kind) and all(self._is(layer.get_input(i)) for i in range(count))

    def _is(self, tensor: Any) -> bool:
        kinds = self._library.LayerType
        layer = self._made.get(tensor.name)
        while layer is not None and layer.type == kinds.SHUFFLE:
            layer = self._made.get(layer.get_input(0).name)
        if layer is None or layer.type != kinds.DEQUANTIZE:
            return False
        return bool(layer.get_input(0).dtype.name == self._kind)


def build(
    library: Any,
    graph: Path,
    target: Target,
    products: int,
    cache: Path | None,
    progress: Progress,
) -> tuple[bytes, dict[str, int]]:
    """Build the graph for `target`; returns the engine and its layers by type.

    `products` is how many products of the graph are in the target's precision. `cache` keeps
    measured kernel times between builds, where the library measures any. Raises `EngineError`
    where the build fails, `BundleError` where the graph does.
    """
    logger = _logger(library)
    builder = library.Builder(logger)
    network = parse(library, builder, graph)
    counts = audit(library, network, target.precision, products)
    config = builder.create_builder_config()
    config.clear_flag(library.BuilderFlag.TF32)  # float32 means float32
    # layers keep their names for NVIDIA's engine inspector, which itself needs the GPU
    config.profiling_verbosity = library.ProfilingVerbosity.DETAILED
    config.progress_monitor = monitor = _monitor(library, progress)
    if target.engine == "tensorrt_rtx":
        _choose_capabilities(library, config, target.sm)
    timed = _timing_cache(config, cache) if cache is not None else None
    plan = builder.build_serialized_network(network, config)
    if monitor.interrupted:
        raise KeyboardInterrupt
    if plan is None:
        said = "; ".join(logger.said) or "no reason given"
        raise EngineError(f"{target.engine} cannot build {graph.name}: {said}")
    if timed is not None and cache is not None:
        cache.write_bytes(timed.serialize())
    return bytes(plan), counts


def check_capabilities(library: Any, sm: tuple[int, ...]) -> None:
    """Raise `ConfigError` listing what can be built for unless all of `sm` can."""
    known = [n[2:] for n in dir(library.ComputeCapability) if n.startswith("SM")]
    unknown = [f"{one}" for one in sm if f"{one}" not in known]
    if unknown:
        raise ConfigError(
            f"--sm {' '.join(unknown)}: TensorRT for RTX builds for {' '.join(sorted(known))}; "
            "for other GPUs use --engine tensorrt on the machine itself"
        )


def _choose_capabilities(library: Any, config: Any, sm: tuple[int, ...]) -> None:
    config.num_compute_capabilities = len(sm)
    for i, one in enumerate(sm):
        config.set_compute_capability(getattr(library.ComputeCapability, f"SM{one}"), i)


def _timing_cache(config: Any, path: Path) -> Any:
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _logger(library: Any) -> Any:
    """Make a logger that keeps the errors: what a build returns does not say why it failed."""

    class Logger(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.said: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= library.ILogger.ERROR:
                self.said.append(message)

    return Logger()


def _monitor(library: Any, progress: Progress) -> Any:
    """Make a monitor of the outermost phase; Ctrl-C cancels the build."""

    class Monitor(library.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.sizes: dict[str, int] = {}
            self.interrupted = False

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            if parent is None:
                self.sizes[name] = max(steps, 1)

        def step_complete(self, name: str, step: int) -> bool:
            try:
                if name in self.sizes:
                    progress((step + 1) / self.sizes[name])
            except KeyboardInterrupt:
                self.interrupted = True
            return not self.interrupted

        def phase_finish(self, name: str) -> None:
            self.sizes.pop(name, None)

    return Monitor()
