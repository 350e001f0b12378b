"""An export that does not fit is refused with figures before it begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("safetensors")

from safetensors.numpy import save_file  # noqa: E402

from arfm_ros.core.errors import ConfigError  # noqa: E402
from arfm_ros.engines.memory import GIB, available, elements  # noqa: E402
from arfm_ros.export import memory  # noqa: E402


def test_parameters_are_counted_by_headers_whatever_they_are_stored_in(tmp_path: Path) -> None:
    save_file({"a": np.zeros((3, 5), np.float32)}, tmp_path / "one.safetensors")
    save_file({"b": np.zeros(7, np.float16), "c": np.zeros(())}, tmp_path / "two.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 40)
    assert elements(tmp_path.glob("*.safetensors")) == 15 + 7 + 1


def test_what_does_not_fit_is_refused_with_both_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_file({"a": np.zeros(100, np.float32)}, tmp_path / "model.safetensors")
    monkeypatch.setattr(memory, "available", lambda: 0.5 * GIB)
    with pytest.raises(ConfigError, match=r"needs some 3\.0 GiB of memory, 0\.5 GiB are free"):
        memory.require_memory(tmp_path)
    monkeypatch.setattr(memory, "available", lambda: None)
    memory.require_memory(tmp_path)


def test_the_memory_of_this_machine_is_told() -> None:
    free = available()
    assert free is None or 0.01 < free / GIB < 100_000
