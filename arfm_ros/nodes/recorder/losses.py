"""Notice what does not arrive: lost on the way, no room in the queue, silence, being held up."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from arfm_ros.episodes.write.ledger import TopicLedger

LOOK_S = 0.4  # between two looks: a loss is told within a second
LATE_S = 1.0  # looks that are further apart: this process did not run
SILENT_S = 0.5  # and at least so many periods, before a sensor's pause is a gap
PERIODS = 10
STEADY = 10  # messages before a sensor's period is known


class Losses:
    """Look at the ledger twice a second; `look` gives what is new, as a label for the bag.

    `lost` counts by topic what was published and is not in the episode; `gaps` are the longest
    pauses of sensors in s; `held_up_s` is how long the recorder itself did not run.
    """

    def __init__(self, sensors: Collection[str] = ()) -> None:
        self.sensors = set(sensors)
        self._looked_s = 0.0
        self.clear()

    def clear(self) -> None:
        """Begin an episode."""
        self.lost: dict[str, int] = {}
        self.gaps: dict[str, float] = {}
        self.held_up_s = 0.0

    def look(
        self, rows: Mapping[str, TopicLedger], unqueued: Mapping[str, int], now_s: float
    ) -> dict[str, object]:
        """Compare with the last look, at the monotonic time `now_s`; {} where all is well."""
        away_s, self._looked_s = now_s - self._looked_s, now_s
        held_up = self._looked_s > away_s > LATE_S  # not at the first look
        news: dict[str, object] = {}
        if held_up:
            self.held_up_s = max(self.held_up_s, round(away_s, 3))
            news["held_up_s"] = self.held_up_s
        before = dict(self.lost), dict(self.gaps)
        for name, row in rows.items():
            if lost := row.arrived.lost + unqueued.get(name, 0):
                self.lost[name] = lost
            gap_s = row.gap_s if held_up else max(row.gap_s, now_s - row.heard_s)
            if name in self.sensors and self._is_gap(row, gap_s):
                self.gaps[name] = max(round(gap_s, 3), self.gaps.get(name, 0.0))
        if self.lost != before[0]:
            news["lost"] = dict(self.lost)
        if self.gaps.keys() != before[1].keys():
            news["gaps"] = dict(self.gaps)
        return news

    def text(self) -> str:
        """Say in words what is missing in the episode; "" where nothing is."""
        said = [f"{count} of {name} lost" for name, count in self.lost.items()]
        said += [f"nothing on {name} for {gap_s:.1f} s" for name, gap_s in self.gaps.items()]
        if self.held_up_s:
            said.append(f"the recorder did not run for {self.held_up_s:.1f} s")
        return "; ".join(said)

    def _is_gap(self, row: TopicLedger, gap_s: float) -> bool:
        if row.arrived.count < STEADY:
            return False
        seconds = (row.arrived.last_ns - row.arrived.first_ns) / 1e9
        period_s = seconds / (row.arrived.count - 1)
        return gap_s > max(SILENT_S, PERIODS * period_s)
