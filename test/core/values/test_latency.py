"""Laws of the stage latencies and of the deadlines."""

import sys
import threading

import numpy as np
import pytest

from arfm_ros.core.values.latency import Deadlines, StageLatency

MS = 1_000_000


def test_quantiles_are_those_of_numpy_over_the_last_window():
    values = np.random.default_rng(0).integers(0, 10_000, 500)
    latency = StageLatency(window=100)
    for value in values:
        latency.add("encode", int(value))
    q = latency.quantiles()["encode"]
    assert (q.p50_ns, q.p99_ns) == tuple(np.percentile(values[-100:], (50, 99)))
    assert q.max_ns == values.max() and q.count == 500


def test_a_stage_never_seen_is_not_reported():
    latency = StageLatency()
    assert latency.quantiles() == {} and latency.values_ms() == {}


def test_values_are_named_by_stage_and_given_in_milliseconds():
    latency = StageLatency()
    latency.add("sample", 2 * MS)
    assert latency.values_ms() == pytest.approx({
        "sample.p50_ms": 2.0,
        "sample.p99_ms": 2.0,
        "sample.max_ms": 2.0,
    })


def test_deadlines_do_not_drift_with_late_ticks():
    deadlines = Deadlines(10 * MS, 0)
    for k in range(1, 100):
        assert deadlines.next_ns == k * 10 * MS
        assert deadlines.late_ns(deadlines.next_ns + 3 * MS) == 3 * MS
    assert deadlines.missed == 0


def test_a_stall_is_skipped_instead_of_caught_up_in_a_burst():
    deadlines = Deadlines(10 * MS, 0)
    deadlines.late_ns(10 * MS + 35 * MS)
    assert deadlines.missed == 3 and deadlines.next_ns == 50 * MS


def test_one_thread_may_summarise_while_another_notes_new_stages() -> None:
    latency, done = StageLatency(window=4), threading.Event()

    def note() -> None:
        for k in range(3000):
            latency.add(f"stage {k % 1500}", k)
        done.set()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=note)
    try:
        thread.start()
        while not done.is_set():
            assert all(q.count > 0 and q.max_ns >= q.p50_ns for q in latency.quantiles().values())
    finally:
        thread.join()
        sys.setswitchinterval(before)
