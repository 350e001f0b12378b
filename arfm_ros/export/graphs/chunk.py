"""chunk.onnx and chunk_rtc.onnx: all steps of a chunk in one graph, for the CPU.

What the network computes does not change, only where: conditions of all times are made by one
product before the loop, keys and values of the context are turned once, a modulated norm is one
operator and so is attention, and the host is not asked between steps. The steps are a Loop: its
weights are packed for the processor once, those of an unrolled graph once for each step, more
than a cache holds.
"""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import torch
from onnx import helper

from arfm_ros.engines.bundle import CHUNK, CHUNK_RTC
from arfm_ros.export.graphs.nodes import BOOL, FLOAT, INT64, Ends, Nodes, Tensors, model
from arfm_ros.export.graphs.onnx import finish
from arfm_ros.learn.model.network import FlowPolicy
from arfm_ros.learn.model.velocity import time_frequencies

OPSET = 23  # the first with Attention; onnxruntime has it since 1.23
PARTS = 9  # vectors that modulate a block: shift, scale and gate of its three branches
SCALES = (1, 4, 7)
NET = "velocity_net."
LEAST_LEFT = 1e-6  # of the time that is left, as in `rtc.follow_on`


def has_chunk_graph(policy: FlowPolicy) -> bool:
    """Tell whether one evaluation of the velocity network is a step: not where two are mixed."""
    return policy.returns is None or not policy.guiding or policy.config.guidance == 1.0


def export_chunk_graphs(policy: FlowPolicy, folder: Path, prefix: bool) -> None:
    """Write chunk.onnx, and with `prefix` chunk_rtc.onnx, where a `policy` can have them."""
    if not has_chunk_graph(policy):
        return
    finish(chunk_graph(policy, given=False), folder / CHUNK)
    if prefix:
        finish(chunk_graph(policy, given=True), folder / CHUNK_RTC)


def chunk_graph(policy: FlowPolicy, given: bool) -> onnx.ModelProto:
    """Write the graph: noise [1, H, A], times [S], sizes [S], context -> trace [S, H, A].

    Step i goes `sizes[i]` along the velocity at `times[i]`; `trace` is x after each step. With
    `given` it also takes previous [1, H, A] and weights [1, H], as `PrefixStepGraph` does.
    """
    return _Writer(policy, given).write()


class _Writer:
    def __init__(self, policy: FlowPolicy, given: bool) -> None:
        self.config, self.given = policy.config, given
        self.tensors = Tensors()
        self.before, self.body = Nodes(self.tensors), Nodes(self.tensors)
        for name, value in policy.state_dict().items():
            if name.startswith(NET):
                self.tensors.keep(name, value.numpy())
        self.vectors = self.config.blocks * PARTS
        self.arrived: list[str] = []  # the vectors of actions whose time is 1

    def write(self) -> onnx.ModelProto:
        c = self.config
        self._conditions()
        self._context()
        shape = (c.horizon, c.actions)
        start = self.before.reshape("noise", shape, "start")
        if self.given:
            self._frozen()
        self._step()
        values = helper.make_tensor_value_info
        begin = [values("i", INT64, []), values("go", BOOL, []), values("x", FLOAT, shape)]
        end = [
            values("go_on", BOOL, []),
            values("x_next", FLOAT, shape),
            values("x_kept", FLOAT, shape),
        ]
        self.before.add("Size", ["times"], "count")
        self.before.all.append(
            helper.make_node(
                "Loop",
                ["count", self.tensors.keep("true", True, bool), start],
                ["end", "trace"],
                name="steps",
                body=helper.make_graph(self.body.all, "step", begin, end),
            )
        )
        return model(self.before, self.body, self._inputs(), {"trace": ["S", *shape]}, OPSET)

    def _inputs(self) -> Ends:
        c = self.config
        tokens = 6 + c.cells * len(c.cameras)  # own, state, text; then the cameras' cells
        cache = [1, c.blocks, c.heads, tokens, c.dim // c.heads]
        point: Ends = {"noise": [1, c.horizon, c.actions], "times": ["S"], "sizes": ["S"]}
        more: Ends = {"previous": [1, c.horizon, c.actions], "weights": [1, c.horizon]}
        context: Ends = {"keys": cache, "values": cache, "summary": [1, c.dim]}
        return {**point, **(more if self.given else {}), **context}

    def _conditions(self) -> None:
        """Modulate every block for every time: [S, blocks 9 D], scales with their 1."""
        n, t, dim = self.before, self.tensors, self.config.dim
        times = "times"
        if self.given:
            times = n.add("Concat", ["times", t.keep("arrival", [1.0])], "all_times", axis=0)
        column = n.add("Unsqueeze", [times, t.whole("axis_1", [1])], "time_column")
        frequency = t.keep("frequency", time_frequencies(dim).numpy()[None])
        angle = n.add("Mul", [column, frequency], "angle")
        ends = [n.add("Sin", [angle], "sine"), n.add("Cos", [angle], "cosine")]
        features = n.add("Concat", ends, "features", axis=1)
        inner = n.silu(n.linear(features, f"{NET}time.0", "time_in"), "time_inner")
        time = n.linear(inner, f"{NET}time.2", "time_out")
        summary = self._late() if self.given and self.config.delay_input else "summary"
        both = n.silu(n.add("Add", [time, summary], "condition_in"), "condition_inner")
        shared = n.linear(both, f"{NET}modulation.1", "condition")
        ones = torch.zeros(PARTS, dim)
        ones[list(SCALES)] = 1
        t.keep("scale_ones", ones.flatten().numpy())
        offsets = [
            n.add("Add", [f"{NET}blocks.{b}.modulation", "scale_ones"], f"offset_{b}")
            for b in range(self.config.blocks)
        ]
        parts = [n.add("Add", [shared, one], f"condition_{b}") for b, one in enumerate(offsets)]
        n.add("Concat", parts, "conditions", axis=1)

    def _late(self) -> str:
        """Add to the summary what the count of frozen actions does (`DelayEmbedding`)."""
        n, t = self.before, self.tensors
        final = n.add("GreaterOrEqual", ["weights", t.keep("one", 1.0)], "late")
        count = n.add("Cast", [final], "late_each", to=FLOAT)
        mean = n.add("ReduceMean", [count, t.whole("axis_1", [1])], "late_share", keepdims=1)
        layers = [f"{NET}delay.layers.{i}.weight" for i in (0, 2)]
        inner = n.silu(n.add("Gemm", [mean, layers[0]], "late_in", transB=1), "late_inner")
        added = n.add("Gemm", [inner, layers[1]], "late_out", transB=1)
        return n.add("Add", ["summary", added], "summary_late")

    def _context(self) -> None:
        """Turn keys and values to [1, N, D], as the operator takes them, for each block."""
        n, c = self.before, self.config
        for name in ("keys", "values"):
            turned = n.add("Transpose", [name], f"{name}_turned", perm=[1, 0, 3, 2, 4])
            for b, one in enumerate(n.split(turned, c.blocks, f"{name}_of_", axis=0)):
                n.reshape(one, (1, -1, c.dim), f"{name}_{b}")

    def _frozen(self) -> None:
        n, t, c = self.before, self.tensors, self.config
        n.reshape("previous", (c.horizon, c.actions), "before")
        column = n.reshape("weights", (c.horizon, 1), "weight_column")
        n.add("GreaterOrEqual", [column, t.keep("one", 1.0)], "frozen")
        last = n.add("Gather", ["conditions", t.whole("last", -1)], "arrived", axis=0)
        self.arrived = n.split(last, self.vectors, "arrived_", axis=0)

    def _step(self) -> None:
        """One step of the loop: x -> x + size v, frozen actions in a straight line."""
        n, c = self.body, self.config
        row = n.add("Gather", ["conditions", "i"], "row", axis=0)
        now = n.split(row, self.vectors, "now_", axis=0)
        seen = n.add("Where", ["frozen", "before", "x"], "seen") if self.given else "x"
        position = self.before.reshape(f"{NET}position", (c.horizon, c.dim), "position")
        h = n.add("Add", [n.linear(seen, f"{NET}actions_in", "entered"), position], "h")
        for b in range(c.blocks):
            h = self._block(b, h, now)
        out = [h, f"{NET}norm_out.weight", f"{NET}norm_out.bias"]
        normed = n.add("LayerNormalization", out, "normed", axis=-1)
        v = n.linear(normed, f"{NET}actions_out", "v")
        if self.given:
            v = n.add("Where", ["frozen", self._straight(), v], "v_given")
        size = n.add("Gather", ["sizes", "i"], "size", axis=0)
        n.add("Add", ["x", n.add("Mul", [v, size], "move")], "x_next")
        n.add("Identity", ["x_next"], "x_kept")
        n.add("Identity", ["go"], "go_on")

    def _straight(self) -> str:
        n, t = self.body, self.tensors
        time = n.add("Gather", ["times", "i"], "time", axis=0)
        left = n.add("Sub", [t.keep("one", 1.0), time], "time_left")
        least = n.add("Max", [left, t.keep("least_left", LEAST_LEFT)], "time_to_go")
        return n.add("Div", [n.add("Sub", ["before", "x"], "way"), least], "straight")

    def _block(self, b: int, h: str, now: list[str]) -> str:
        """Self-attention, attention to the context, MLP, as `VelocityBlock`."""
        n, c, at = self.body, self.config, f"b{b}_"
        layer = f"{NET}blocks.{b}."
        rows, flat = (1, c.horizon, c.dim), (c.horizon, c.dim)
        joined = n.linear(self._norm(b, 0, h, now), f"{layer}qkv", f"{at}qkv")
        wide = n.reshape(joined, (1, c.horizon, 3 * c.dim), f"{at}wide")
        own = self._attend(n.split(wide, 3, f"{at}part_", axis=2), f"{at}own")
        out = n.linear(n.reshape(own, flat, f"{at}own_flat"), f"{layer}self_out", f"{at}own_out")
        h = self._add(b, 0, h, out, now)
        query = n.linear(self._norm(b, 1, h, now), f"{layer}query", f"{at}query")
        asked = [n.reshape(query, rows, f"{at}asked"), f"keys_{b}", f"values_{b}"]
        seen = n.reshape(self._attend(asked, f"{at}seen"), flat, f"{at}seen_flat")
        h = self._add(b, 1, h, n.linear(seen, f"{layer}cross_out", f"{at}seen_out"), now)
        inner = n.linear(self._norm(b, 2, h, now), f"{layer}mlp.0", f"{at}inner")
        # here nothing amplifies the operator's error (sigmoid.py), and both are fused when read
        bent = n.add("Mul", [inner, n.add("Sigmoid", [inner], f"{at}gate")], f"{at}bent")
        return self._add(b, 2, h, n.linear(bent, f"{layer}mlp.2", f"{at}mlp"), now)

    def _attend(self, parts: list[str], output: str) -> str:
        heads, size = self.config.heads, self.config.dim // self.config.heads
        kind = {"q_num_heads": heads, "kv_num_heads": heads, "scale": 1 / math.sqrt(size)}
        return self.body.add("Attention", parts, output, **kind)

    def _norm(self, b: int, branch: int, h: str, now: list[str]) -> str:
        """Norm of h, scaled and shifted; each frozen action as at time 1."""
        n, at = self.body, PARTS * b + 3 * branch
        output = f"b{b}_norm_{branch}"
        name = f"{output}_now" if self.given else output
        found = n.add("LayerNormalization", [h, now[at + 1], now[at]], name, axis=-1)
        if not self.given:
            return found
        final = [h, self.arrived[at + 1], self.arrived[at]]
        other = n.add("LayerNormalization", final, f"{output}_arrived", axis=-1)
        return n.add("Where", ["frozen", other, found], output)

    def _add(self, b: int, branch: int, h: str, part: str, now: list[str]) -> str:
        n, at, name = self.body, PARTS * b + 3 * branch + 2, f"b{b}_h{branch}"
        gate = now[at]
        if self.given:
            gate = n.add("Where", ["frozen", self.arrived[at], gate], f"{name}_gate")
        return n.add("Add", [h, n.add("Mul", [part, gate], f"{name}_part")], name)
