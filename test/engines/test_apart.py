"""One thread encodes while another one samples: each gets what it gets alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from slow_rig import slow_bundle

from arfm_ros.core.values.data import Context
from arfm_ros.engines import load_policy

ENGINES = ("onnx", "openvino")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slow_bundle(tmp_path_factory.mktemp("models") / "slow", rounds=3, guided=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_contexts_and_chunks_at_the_same_time_are_those_of_one_after_the_other(
    bundle: Path, engine: str
) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    policy = load_policy(bundle, engine=engine, threads=1)
    spec = policy.spec
    seen = [spec.example(seed) for seed in range(4)]
    noise = np.random.default_rng(0).standard_normal(spec.flow_shape, dtype=np.float32)
    contexts = [policy.encode(one) for one in seen]
    alone = [policy.sample(one, noise).actions for one in contexts]
    stop = threading.Event()

    def encode() -> list[tuple[int, Context]]:
        found = []
        while not stop.is_set():
            found.append((len(found) % len(seen), policy.encode(seen[len(found) % len(seen)])))
        return found

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(encode)
        try:
            beside = [policy.sample(contexts[k % 4], noise).actions for k in range(200)]
        finally:
            stop.set()
        made = slow.result()
    assert len(made) >= 4
    for k, actions in enumerate(beside):
        np.testing.assert_array_equal(actions, alone[k % 4])
    for k, context in made:
        for name, value in context.tensors.items():
            np.testing.assert_array_equal(value, contexts[k].tensors[name])


def test_a_step_does_not_wait_for_the_prefix(tmp_path: Path) -> None:
    policy = load_policy(slow_bundle(tmp_path / "slow", rounds=400), threads=1)
    spec = policy.spec
    noise = np.zeros(spec.flow_shape, np.float32)
    context = policy.encode(spec.example(0))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(policy.encode, spec.example(1))
        chunks = 0
        while not slow.done():
            policy.sample(context, noise)
            chunks += 1
    assert chunks >= 5
