"""Messages of GR00T's server: written and read as its own serialiser does it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

pytest.importorskip("zmq")

from groot_rig import packed, unpacked  # noqa: E402

from arfm_ros.core.errors import EngineError  # noqa: E402
from arfm_ros.engines.server.groot import pack, unpack  # noqa: E402


def test_what_is_packed_is_read_back_and_as_gr00t_writes_it() -> None:
    value = {
        "image": np.arange(24, dtype=np.uint8).reshape(2, 4, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "deep": {"list": [1, 2.5, None, True, "lift"], "empty": np.zeros((0, 3), np.float32)},
    }
    for again in (unpack(pack(value)), unpack(packed(value)), unpacked(pack(value))):
        np.testing.assert_array_equal(again["image"], value["image"])
        np.testing.assert_array_equal(again["columns"], value["columns"])
        assert again["deep"]["list"] == value["deep"]["list"]
        assert again["deep"]["empty"].shape == (0, 3)


def npy(array: np.ndarray, **more: object) -> bytes:
    file = BytesIO()
    np.save(file, array, **more)  # type: ignore[arg-type]
    return file.getvalue()


def test_arrays_that_lie_or_run_code_are_refused() -> None:
    import msgpack

    whole = npy(np.zeros(4, np.float32))
    for data in (
        whole[:-3],
        whole.replace(b"(4,)", b"(9,)"),
        npy(np.array([{}]), allow_pickle=True),
        b"no file",
    ):
        lie = msgpack.packb({"__ndarray_class__": True, "as_npy": data})
        with pytest.raises(EngineError, match="no policy server's message"):
            unpack(lie)
