"""What `arfm bench record` prints."""

from __future__ import annotations

from collections.abc import Sequence

from arfm_ros.up.record.kills import Kill
from arfm_ros.up.record.measure import RecordCosts
from arfm_ros.up.targets import Line, at_most, show_lines

CORE_TARGET, PUT_TARGET_MS, KILL_TARGET_S, RAW_TARGET = 30.0, 10.0, 0.25, 0.001


def show_record(costs: RecordCosts, ended: Sequence[Kill]) -> list[Line]:
    """Print what was measured; give the targets."""
    load = costs.load
    print(
        f"{load.seconds:g} s of joint states at {load.joints_hz:g} Hz and two cameras at "
        f"{load.cameras_hz:g} Hz ({load.kind}), {costs.megabytes_s:.1f} MB/s on the disk\n"
        f"published {costs.published}\nlost by DDS number {costs.lost}; of the joint states' own "
        f"numbers {costs.numbers_missing} are missing\n"
        f"put() p50 <= {costs.put_p50_ms:.4f} ms, p99.9 <= {costs.put_p999_ms:.4f} ms"
    )
    lines = [*_losses(costs), at_most("put() p99.9", costs.put_p999_ms, PUT_TARGET_MS, "ms")]
    if load.kind == "compressed":
        lines.append(at_most("processor of one core", costs.core_percent, CORE_TARGET, "%"))
    else:
        print(f"{costs.core_percent:.0f} % of one core")
    lines += _kills(ended)
    show_lines(lines, "what the recorder must reach")
    return lines


def _losses(costs: RecordCosts) -> list[Line]:
    lost, published = sum(costs.lost.values()), sum(costs.published.values())
    untold = lost - sum(costs.said_lost.values())
    told = at_most("lost without a note in the bag", max(untold, 0), 0)
    if costs.load.kind == "raw":
        return [at_most("share lost", lost / max(published, 1), RAW_TARGET), told]
    return [at_most("lost", max(lost, costs.numbers_missing), 0), told]


def _kills(ended: Sequence[Kill]) -> list[Line]:
    if not ended:
        return []
    print(
        f"{len(ended)} kills: lost s "
        + ", ".join(f"{one.lost_s:.3f}" for one in sorted(ended, key=lambda one: one.lost_s))
    )
    longest = max(one.lost_s for one in ended)
    return [
        at_most("received data lost by a kill", longest, KILL_TARGET_S, "s"),
        at_most("answered labels lost", sum(not one.label_kept for one in ended), 0),
        at_most("not opened by mcap and rosbags", sum(not one.opens for one in ended), 0),
    ]
