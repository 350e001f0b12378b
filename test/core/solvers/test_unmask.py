"""Discrete diffusion against the published loop over token ids, in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest

from arfm_ros.core.errors import EngineError
from arfm_ros.core.solvers.sampler import Sampler
from arfm_ros.core.solvers.sampling import make_solver
from arfm_ros.core.solvers.solver import solve

H, A, BINS, MASK = 6, 4, 16, 16
RNG = np.random.default_rng(7)
TABLE = RNG.standard_normal((BINS + 1, 8))
HEAD = RNG.standard_normal((H * A, 8, BINS))
CENTRES = ((np.arange(BINS) + 0.5) / BINS * 2 - 1).astype(np.float32)


def probabilities(ids: np.ndarray) -> np.ndarray:
    """Predict each token's bins [H A, BINS] from all tokens [H A]."""
    logits = np.einsum("d,ndk->nk", TABLE[ids].mean(0), HEAD)
    logits = logits + np.einsum("nd,ndk->nk", TABLE[ids], HEAD)
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def wanted(steps: int, stop: int | None = None) -> np.ndarray:
    """Unmask by MaskGIT's loop over ids: a heap of the least sure stays masked."""
    ids, count = np.full(H * A, MASK), H * A
    for i in range(steps):
        p = probabilities(ids)
        unknown = ids == MASK
        if not unknown.any():
            break
        best, confidence = p.argmax(1), np.where(unknown, p.max(1), np.inf)
        last = i + 1 == steps or i == stop
        stay = 0 if last else int(np.floor(count * np.cos(np.pi / 2 * (i + 1) / steps)))
        stay = max(0, min(stay, int(unknown.sum()) - 1))
        again = np.argsort(confidence)[:stay]
        ids = np.where(unknown, best, ids)
        ids[again] = MASK
        if last:
            break
    return CENTRES[ids].reshape(H, A)


def network(x: np.ndarray, t: float) -> np.ndarray:
    values, flags = x[:, :A].reshape(-1), x[:, A:].reshape(-1)
    bins = np.clip(np.round((values + 1) / 2 * BINS - 0.5), 0, BINS - 1).astype(int)
    p = probabilities(np.where(flags != 0, MASK, bins))
    both = (CENTRES[p.argmax(1)].reshape(H, A), p.max(1).reshape(H, A))
    return np.concatenate(both, axis=1).astype(np.float32)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((H, 2 * A)).astype(np.float32)


@pytest.mark.parametrize("steps", [1, 2, 5, 12, 24, 60])
def test_the_chunk_is_the_loop_s_over_tokens(steps: int) -> None:
    found = solve(make_solver(Sampler("masked"), steps, noise()), network, noise())
    np.testing.assert_array_equal(found.sample[:, :A], wanted(steps))
    assert not found.sample[:, A:].any() and found.steps == steps


def test_the_surest_come_first_and_stay(steps: int = 8) -> None:
    trace = solve(
        make_solver(Sampler("masked"), steps, noise()), network, noise(), keep_trace=True
    ).trace
    left = [int((x[:, A:] != 0).sum()) for x in trace]
    assert left == [24, 23, 22, 19, 16, 13, 9, 4, 0]  # 24 cos(pi/2 i/8), rounded down
    for before, after in zip(trace, trace[1:]):
        decided = before[:, A:] == 0
        np.testing.assert_array_equal(before[:, :A][decided], after[:, :A][decided])
        sure, new = network(before, 0.0)[:, A:], (after[:, A:] == 0) & ~decided
        rest = after[:, A:] != 0
        assert not rest.any() or sure[new].min() >= sure[rest].max()


def test_noise_decides_nothing_and_one_step_ends_it_when_time_is_out() -> None:
    chunks = [
        solve(make_solver(Sampler("masked"), 5, noise(s)), network, noise(s)).sample
        for s in (0, 1)
    ]
    np.testing.assert_array_equal(*chunks)
    solver = make_solver(Sampler("masked"), 10, noise())
    found = solve(solver, network, noise(), out_of_time=lambda left: left <= 7)
    assert found.steps == 4
    np.testing.assert_array_equal(found.sample[:, :A], wanted(10, stop=3))
    with pytest.raises(EngineError, match="steps is 0"):
        make_solver(Sampler("masked"), 0, noise())
