"""What the console sees of the stack, as one value for all pages."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any

import numpy as np
from rclpy.node import Node

from arfm_ros.console.drawing import Drawing, Lines
from arfm_ros.console.health import NS, HealthBoard, limits_in_use
from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.patience import values_of
from arfm_ros.nodes.teleop.view import RobotView
from arfm_ros.robots.robot import Robot

PLAN_OLD_NS = 2 * NS
TEXT_MAX, OPTIONS_MAX = 2000, 12


class Eye:
    """Hears the stack; every method is for the executor's thread."""

    def __init__(self, node: Node, robot: Robot, view: RobotView) -> None:
        self._robot, self._view = robot, view
        self._drawing, self._board = Drawing(robot), HealthBoard()
        self._plan: tuple[int, dict[str, Lines]] = (0, {})
        self._chunks: deque[int] = deque(maxlen=20)
        self._owners: list[dict[str, str]] = []
        self._recorder: dict[str, str] = {}
        self._question: dict[str, Any] | None = None
        self._instruction, self._answered = "", ""
        self.watched = False  # whether somebody looks; else plans are not drawn
        heard = (
            (topics.DIAGNOSTICS, self._on_diagnostics),
            (topics.ACTION_CHUNK, self._on_chunk),
            (topics.RECORDER_STATE, self._on_recorder),
            (topics.INSTRUCTION, self._on_instruction),
            (topics.OWNERS, self._on_owners),
            (topics.QUESTION, self._on_question),
            (topics.ANSWER, self._on_answer),
            (topics.ARBITER_ANSWER, self._on_request_answer),
        )
        self._readers = [topics.subscription(node, *one) for one in heard]

    def about(self) -> dict[str, Any]:
        """Return what does not change: the robot."""
        groups = [
            {
                "name": group.name,
                "kind": group.kind,
                "axes": [
                    {"name": a.name, "unit": a.unit, "low": _num(a.low), "high": _num(a.high)}
                    for a in group.axes
                ],
            }
            for group in self._robot.groups
        ]
        cameras = [camera.name for camera in self._robot.cameras]
        return {"robot": self._robot.name, "groups": groups, "cameras": cameras}

    def look(self) -> dict[str, Any]:
        """Return what is so now."""
        now_ns = time.monotonic_ns()
        state = self._view.state(now_ns)
        positions = {} if state is None else state.named()
        arbiter = self._board.values("arbiter_node")
        plan_ns, plan = self._plan
        return {
            "authority": self._view.authority,
            "reason": arbiter.get("reason", ""),
            "owners": self._owners or self._one_owner(),
            "positions": {name: round(value, 4) for name, value in positions.items()},
            "arms": self._drawing.arms(positions),
            "ways": self._drawing.ways(),
            "plan": plan if now_ns - plan_ns < PLAN_OLD_NS else {},
            "nodes": self._board.nodes(now_ns),
            "trouble": self._board.trouble(now_ns),
            "limits": limits_in_use(arbiter),
            "recorder": self._recorder,
            "question": self._question,
            "instruction": self._instruction,
            "answered": self._answered,
            "chunks_hz": self._chunk_rate(now_ns),
        }

    def _one_owner(self) -> list[dict[str, str]]:
        """Say who drives where the arbiter only tells it of the whole robot."""
        return [{"group": g.name, "owner": self._view.authority} for g in self._robot.groups]

    def _chunk_rate(self, now_ns: int) -> float:
        if len(self._chunks) < 2 or now_ns - self._chunks[-1] > PLAN_OLD_NS:
            return 0.0
        return round((len(self._chunks) - 1) * NS / (self._chunks[-1] - self._chunks[0]), 2)

    def _on_diagnostics(self, message: Any) -> None:
        now_ns = time.monotonic_ns()
        for one in message.status:
            values = {pair.key[:80]: pair.value[:400] for pair in one.values}
            self._board.hear(one.name, one.level[0], one.message, values, now_ns)

    def _on_chunk(self, message: Any) -> None:
        now_ns = time.monotonic_ns()
        self._chunks.append(now_ns)
        if not self.watched or not message.points:
            return
        rows_of = [list(point.positions) for point in message.points]
        if all(len(one) == len(message.joint_names) for one in rows_of):
            plan = self._drawing.plan(list(message.joint_names), np.array(rows_of))
            self._plan = (now_ns, plan)

    def _on_recorder(self, message: Any) -> None:
        self._recorder = {k: v[:200] for k, v in list(values_of(message).items())[:30]}

    def _on_instruction(self, message: Any) -> None:
        self._instruction = message.data[:TEXT_MAX]

    def _on_owners(self, message: Any) -> None:
        self._owners = [
            {"group": one.name, **{p.key: p.value for p in one.values}}
            for one in message.status[:32]
        ]

    def _on_question(self, message: Any) -> None:
        """Take a question: JSON with id, text, options, default; an empty one withdraws it."""
        try:
            asked = json.loads(message.data) if message.data else {}
        except ValueError:
            asked = {"text": message.data}
        if not isinstance(asked, dict) or not asked.get("text"):
            self._question = None
            return
        options = asked.get("options")
        self._question = {
            "id": str(asked.get("id", ""))[:80],
            "text": str(asked["text"])[:TEXT_MAX],
            "options": [str(o)[:80] for o in options[:OPTIONS_MAX]]
            if isinstance(options, list)
            else [],
            "default": str(asked.get("default", ""))[:80],
            "seconds": str(asked.get("timeout_s", ""))[:20],
        }

    def _on_request_answer(self, message: Any) -> None:
        self._answered = message.data[:TEXT_MAX]

    def _on_answer(self, message: Any) -> None:
        self._question = None


def _num(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None
