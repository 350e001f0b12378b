"""How fast this machine multiplies matrices and reads memory: what bounds every runtime on it.

Roofline model (Williams, Waterman, Patterson 2009): a graph takes at least the longer of its
operations at the highest rate and its bytes at the highest bandwidth. Both are the best of many
short runs, between which other processes had the machine; float32, by onnxruntime's own kernels.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from arfm_ros.bench.amounts import Roof
from arfm_ros.engines.runtimes.onnx_engine import session_options

SIDES = (256, 512)  # of the square matrices
READS = (1 << 18, 1 << 28)  # bytes; less is call overhead, more than this lies in no cache
ROW = 1024
RUNS = 5
F32 = NDArray[np.float32]


class Roofline:
    """The machine's roofs, measured again at each `refresh`; the best counts."""

    def __init__(self) -> None:
        self._products: dict[int, list[_Probe]] = {}  # threads -> probes
        self._reads: dict[tuple[int, int], list[_Probe]] = {}  # (threads, bytes) -> probes

    def watch(self, threads: int, size: int) -> None:
        """Measure from now on with `threads`, reading `size` bytes again and again.

        What fits into a cache is read from there, as a step's weights are in a chunk.
        """
        size = min(max(size, READS[0]), READS[1])
        for n in {1, threads}:  # more threads are not slower: what one reaches counts for them
            if n not in self._products:
                self._products[n] = [_product(side, n) for side in SIDES]
            if (n, size) not in self._reads:
                self._reads[n, size] = _reads(size, n)

    def refresh(self) -> None:
        """Run every probe a few times."""
        for probes in (*self._products.values(), *self._reads.values()):
            for probe in probes:
                probe.run()

    def roof(self, threads: int, size: int) -> Roof:
        """Give what was measured for what `watch` named."""
        size = min(max(size, READS[0]), READS[1])
        products = [p for n in {1, threads} for p in self._products[n]]
        reads = [p for n in {1, threads} for p in self._reads[n, size]]
        return Roof(max(p.rate for p in products), max(p.rate for p in reads))


class _Probe:
    """A kernel that does `amount` of something; `rate` is the highest per second so far."""

    def __init__(self, work: Callable[[], object], amount: int) -> None:
        self._work, self._amount = work, amount
        self.rate = 0.0
        self._work()
        self.run()

    def run(self) -> None:
        for _ in range(RUNS):
            begin = time.perf_counter_ns()
            self._work()
            taken = time.perf_counter_ns() - begin
            self.rate = max(self.rate, 1e9 * self._amount / taken)


def _product(side: int, threads: int) -> _Probe:
    rng = np.random.default_rng(0)
    a, w = rng.random((2, side, side), dtype=np.float32)
    return _Probe(_matmul(a, w, threads), 2 * side**3)


def _reads(size: int, threads: int) -> list[_Probe]:
    """A matrix by a vector, and the maximum, which only one thread computes: the faster counts."""
    columns = max(size // (4 * ROW), 16)
    matrix = np.random.default_rng(0).random((ROW, columns), dtype=np.float32)
    product = _matmul(np.ones((1, ROW), dtype=np.float32), matrix, threads)
    return [_Probe(work, matrix.nbytes) for work in (product, matrix.max)]


def _matmul(a: F32, weights: F32, threads: int) -> Callable[[], object]:
    """Make a session that multiplies `a` by stored `weights`."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("a", a.shape), ("y", (len(a), weights.shape[1])))
    ]
    node = helper.make_node("MatMul", ["a", "w"], ["y"])
    tensor = numpy_helper.from_array(weights, "w")
    graph = helper.make_graph([node], "product", ends[:1], ends[1:], [tensor])
    opset = helper.make_opsetid("", 20)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=10)
    session = ort.InferenceSession(
        model.SerializeToString(), session_options(threads), providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    binding.bind_cpu_input("a", a)
    binding.bind_output("y")
    return lambda: session.run_with_iobinding(binding)
