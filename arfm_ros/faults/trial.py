"""One fault: bring the arm into motion, break something, mend it, see whether it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random

from arfm_ros.faults.judging.course import Marks, stopped_before
from arfm_ros.faults.judging.expected import Ground, Kind
from arfm_ros.faults.judging.judge import Row, judge
from arfm_ros.faults.judging.record import Reader, Record
from arfm_ros.faults.operating import Operator
from arfm_ros.faults.stack import Broken, Stack

WAIT_S = (0.0, 1.5)  # at a random time of the motion
LATCH_S, STEP_S, SETTLED_S = 0.2, 3.0, 0.3
MOVES_S, BEGINS_S, TRIES = 3.0, 8.0, 4


@dataclass(slots=True)
class Scene:
    """What a trial needs: the stack, its operator, and what the witness wrote."""

    stack: Stack
    operator: Operator
    reader: Reader

    def run(self, kind: Kind, seed: int) -> Row:
        """Inject one fault; raises `Broken` where the stack does not come to that."""
        rng, before = Random(seed), list[str]()
        while len(before) < TRIES:
            before += self._set_up(kind, rng)
            record, marks = self._inject(kind, rng)
            why = stopped_before(record, marks)
            if not why:
                row = judge(kind, seed, record, marks)
                row.before = before
                return row
            before.append(why)  # in the moment before the fault: it met no arm in motion
        raise Broken(f"the arm is stopped again and again: {'; '.join(before)}")

    def _inject(self, kind: Kind, rng: Random) -> tuple[Record, Marks]:
        with kind.inject(Ground(self.stack, self.operator, rng)) as seen_s:
            self._pass(seen_s + kind.lasts_s - time.monotonic())
        marks = self._recover(kind, seen_s, time.monotonic())
        self._pass(SETTLED_S)
        return self.reader.take(), marks

    def _set_up(self, kind: Kind, rng: Random) -> list[str]:
        """Bring the arm into motion; return the reasons of stops that came before that."""
        before: list[str] = []
        for _ in range(TRIES):
            self._drive(kind, rng)
            moved = self.operator.moving(BEGINS_S)
            self._pass(rng.uniform(*WAIT_S) if moved else 0.0)
            if moved and self.operator.moving(MOVES_S):
                self.reader.skip()
                return before
            before.append(self._why())
            self.stack.relay.order(teleop=False)
        raise Broken(f"the arm is not moved: {'; '.join(before)}")

    def _drive(self, kind: Kind, rng: Random) -> None:
        operator = self.operator
        operator.prepare(rng.randrange(1_000_000))
        self.reader.skip()
        operator.drive()
        if kind.human and operator.moving(BEGINS_S):
            self.stack.relay.order(teleop=True)
            operator.wait(lambda: operator.authority == "human", MOVES_S)

    def _why(self) -> str:
        said = [word for word in self.reader.take().health if word.node == "arbiter_node"]
        return next((word.text for word in said if word.level), "the policy asks for no motion")

    def _recover(self, kind: Kind, seen_s: float, ended_s: float) -> Marks:
        operator, expected = self.operator, kind.expected
        if kind.human:
            self.stack.relay.order(teleop=False)
        self._pass(LATCH_S)
        asked_s = time.monotonic()
        by = ""
        if not expected.latched and not kind.sender:
            patience_s = expected.recovers_s if expected.by_itself else STEP_S
            by = "by itself" if operator.wait(operator.driven, patience_s) else ""
        until_s = time.monotonic() + max(expected.recovers_s, 2 * STEP_S)
        while not by and time.monotonic() < until_s:
            by = self._step()
        return Marks(seen_s, ended_s, time.monotonic(), by, asked_s)

    def _step(self) -> str:
        """Do what the documentation tells an operator; return it if the policy drives then."""
        operator = self.operator
        cleared = operator.reset()
        if operator.wait(operator.driven, STEP_S / 2):
            return "reset"
        if cleared.success and operator.engage(True).success:
            return "reset, engage" if operator.wait(operator.driven, STEP_S) else ""
        return ""

    def _pass(self, seconds: float) -> None:
        """Let the fault work."""
        if seconds > 0.0:
            time.sleep(seconds)
