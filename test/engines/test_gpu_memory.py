"""What lies on a GPU: contexts that stay there, memory that comes back, steps that are replayed.

The driver and TensorRT are stood in for by ones that compute on the host: these machines have no
GPU. They hold the code to what it says it does, not to what a GPU makes of it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gpu_rig import Driver, Engine, Library, written

from arfm_ros.core.errors import EngineError
from arfm_ros.engines.runtimes import cuda
from arfm_ros.engines.runtimes.blocks import Block, Lender
from arfm_ros.engines.runtimes.residents import Residents
from arfm_ros.engines.runtimes.tensorrt_engine import Opened, TensorRTGraph, keep_kernels

SHAPE = (1, 4, 3)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    made = Driver()
    monkeypatch.setattr(cuda, "_driver", lambda: made)
    yield made
    gc.collect()


def graphs(driver: Driver) -> tuple[TensorRTGraph, TensorRTGraph, Engine]:
    """A prefix that doubles its state, and a step that adds what it made to x."""
    device, residents = cuda.Device(), Residents[Block]()
    made = []

    def double(arrays: dict[str, np.ndarray]) -> None:
        arrays["context"][...] = 2.0 * arrays["state"]

    def add(arrays: dict[str, np.ndarray]) -> None:
        arrays["v"][...] = arrays["x"] + arrays["context"]

    for inputs, outputs, work in (
        ({"state": SHAPE}, {"context": SHAPE}, double),
        ({"x": SHAPE, "context": SHAPE}, {"v": SHAPE}, add),
    ):
        engine = Engine(driver, inputs, outputs, work)
        opened = Opened(engine, engine, lambda: None)
        made.append((TensorRTGraph(Library, opened, device, residents), engine))
    return made[0][0], made[1][0], made[1][1]


def test_a_context_goes_from_one_graph_to_the_next_on_the_device(driver: Driver) -> None:
    prefix, step, _ = graphs(driver)
    state = np.arange(12, dtype=np.float32).reshape(SHAPE)
    context = prefix.bind({})({"state": state})
    np.testing.assert_array_equal(context["context"], 2 * state)
    uploads = driver.calls["cuMemcpyHtoDAsync_v2"]
    run = step.bind(context)
    x = np.ones(SHAPE, np.float32)
    np.testing.assert_array_equal(run({"x": x})["v"], x + 2 * state)
    assert driver.calls["cuMemcpyHtoDAsync_v2"] == uploads + 1  # x alone
    changed = {"context": context["context"] + 1}  # another array: it comes from the host
    np.testing.assert_array_equal(step.bind(changed)({"x": x})["v"], x + 2 * state + 1)


def test_a_context_stays_what_it_was_while_the_next_ones_are_made(driver: Driver) -> None:
    prefix, step, _ = graphs(driver)
    encode = prefix.bind({})
    states = [np.full(SHAPE, k, np.float32) for k in range(5)]
    contexts = [encode({"state": one}) for one in states]
    runs = [step.bind(context) for context in contexts]
    zero = np.zeros(SHAPE, np.float32)
    for k in (3, 0, 4, 1, 2, 3):
        np.testing.assert_array_equal(runs[k]({"x": zero})["v"], 2 * states[k])
    with pytest.raises(ValueError, match="read-only"):
        contexts[0]["context"][...] = 0.0


def test_steps_are_replayed_and_one_that_cannot_be_recorded_runs_as_before(driver: Driver) -> None:
    for deny in ("", "cuGraphInstantiateWithFlags"):
        driver.deny = deny
        prefix, step, engine = graphs(driver)
        context = prefix.bind({})({"state": np.ones(SHAPE, np.float32)})
        run = step.bind(context)
        for k in range(4):
            x = np.full(SHAPE, k, np.float32)
            np.testing.assert_array_equal(run({"x": x})["v"], x + 2)
        assert engine.enqueued == (2 if not deny else 5)  # once, and once recorded


def test_a_hundred_swaps_give_everything_back(driver: Driver) -> None:
    gc.freeze()  # what other tests left is not looked through a hundred times
    for _ in range(100):
        prefix, step, _ = graphs(driver)
        context = prefix.bind({})({"state": np.ones(SHAPE, np.float32)})
        step.bind(context)({"x": np.ones(SHAPE, np.float32)})
        del prefix, step, context
        gc.collect()
        assert driver.held == {}
    calls = driver.calls
    assert calls["cuStreamCreate"] == calls["cuStreamDestroy_v2"] == 100
    assert calls["cuDevicePrimaryCtxRetain"] == calls["cuDevicePrimaryCtxRelease_v2"] == 100
    assert calls["cuGraphInstantiateWithFlags"] == calls["cuGraphExecDestroy"] == 200


def test_a_block_comes_back_with_the_last_view_of_it(driver: Driver) -> None:
    lender = Lender(cuda.Device(), SHAPE, np.float32)
    array, block = lender.lend()
    array[...] = 1.0
    part, where = array[0, 1:], block.address
    del array, block
    other, second = lender.lend()
    other[...] = 2.0
    assert second.address != where and (part == 1.0).all()
    del part
    third, again = lender.lend()
    assert again.address == where and third.shape == SHAPE


def test_what_the_driver_denies_is_an_engine_error(driver: Driver) -> None:
    driver.deny = "cuMemAllocHost_v2"
    with pytest.raises(EngineError, match="denied"):
        graphs(driver)


@pytest.mark.parametrize(
    "text, version",
    [
        ("550.54.15\n", "550.54.15"),
        ("NVRM version: NVIDIA x86_64 Kernel Module  570.86.10  Mon\nGCC: 12", "570.86.10"),
        ("# R36 (release), REVISION: 4.3, GCID: 38968081", "R36 (release), REVISION: 4.3"),
        ("nothing here", ""),
    ],
)  # fmt: skip
def test_the_driver_s_version_is_its_own(tmp_path: Path, text: str, version: str) -> None:
    paths = (str(tmp_path / "none"), written(tmp_path / "version", text))
    assert cuda.driver_version(paths) == version


def test_modules_of_one_name_are_told_apart() -> None:
    gib = 2**30
    names = {
        cuda.described("Orin", True, 16, 61 * gib),
        cuda.described("Orin", True, 14, 30 * gib),
        cuda.described("Orin", True, 8, 15 * gib),
    }
    assert len(names) == 3 and "Orin (16 SMs, 61 GB)" in names
    assert cuda.described("NVIDIA H200", False, 132, 140 * gib) == "NVIDIA H200"


def test_kernels_that_cannot_be_kept_are_compiled_again(tmp_path: Path) -> None:
    keep_kernels(tmp_path / "a" / "step.cache", b"kernels")
    assert (tmp_path / "a" / "step.cache").read_bytes() == b"kernels"
    (tmp_path / "b").write_text("a file")
    keep_kernels(tmp_path / "b" / "step.cache", b"kernels")  # no folder can be made there
