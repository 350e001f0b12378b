"""One codec: what drives a policy also trains it, pixel by pixel, whatever the encoding."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from arfm_ros.core.errors import EpisodeError, SpecError
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.series import decode_image
from arfm_ros.episodes.write.writer import EpisodeWriter
from arfm_ros.wire.definitions import STORE
from arfm_ros.wire.images import COMPRESSED_IMAGE, ENCODINGS, IMAGE, Encoding, decode

HEIGHT, WIDTH = 16, 24
STAMP_NS = 1_700_000_000_000_000_000
BAYER = {"rggb": (0, 1, 1, 2), "bggr": (2, 1, 1, 0), "gbrg": (1, 2, 0, 1), "grbg": (1, 0, 2, 1)}


def image(rows: np.ndarray, encoding: str, big_endian: bool = False, padding: int = 0) -> bytes:
    """Serialize rows of numbers [H, N] as a foreign driver does."""
    order = ">" if big_endian else "<"
    data = np.ascontiguousarray(rows.astype(rows.dtype.newbyteorder(order)))
    data = np.pad(data.view(np.uint8), ((0, 0), (0, padding)), constant_values=77)
    return header_and(
        IMAGE,
        height=HEIGHT,
        width=WIDTH,
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=data.shape[1],
        data=data.reshape(-1),
    )


def header_and(kind: str, **fields: object) -> bytes:
    types = STORE.types
    stamp = types["builtin_interfaces/msg/Time"](*divmod(STAMP_NS, 10**9))
    header = types["std_msgs/msg/Header"](stamp=stamp, frame_id="eye")
    return bytes(STORE.serialize_cdr(types[kind](header=header, **fields), kind))


def noise(encoding: Encoding) -> np.ndarray:
    """Rows of random numbers as an encoding has them."""
    rng = np.random.default_rng(1)
    kind = np.uint8 if encoding.size == 1 else np.uint16
    return rng.integers(0, 256**encoding.size, (HEIGHT, WIDTH * encoding.channels), dtype=kind)


def recorded(folder: Path, kind: str, cdr: bytes) -> np.ndarray:
    """Write a message into an episode and decode what is read of it."""
    writer = EpisodeWriter(folder)
    writer.write("/eye/image_raw", kind, cdr, STAMP_NS)
    writer.close()
    (record,) = EpisodeReader(folder).records({"/eye/image_raw"})
    return decode_image(record)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_that_drives_trains_with_equal_pixels(
    encoding: str, tmp_path: Path
) -> None:
    cdr = image(noise(ENCODINGS[encoding]), encoding, padding=4)
    live = decode(cdr, compressed=False)
    assert live.shape == (HEIGHT, WIDTH, 3) and live.dtype == np.uint8
    np.testing.assert_array_equal(recorded(tmp_path / "e", IMAGE, cdr), live)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_every_compression_that_drives_trains_with_equal_pixels(
    suffix: str, tmp_path: Path
) -> None:
    rgb = cv2.GaussianBlur(noise(ENCODINGS["rgb8"]).reshape(HEIGHT, WIDTH, 3), (9, 9), 4)
    data = cv2.imencode(suffix, rgb[..., ::-1])[1].reshape(-1)
    cdr = header_and(COMPRESSED_IMAGE, format=suffix[1:], data=data)
    live = decode(cdr, compressed=True)
    assert np.abs(live.astype(int) - rgb).max() <= (0 if suffix == ".png" else 12)
    np.testing.assert_array_equal(recorded(tmp_path / "e", COMPRESSED_IMAGE, cdr), live)


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if ENCODINGS[name].size == 2])
def test_sixteen_bits_in_either_order_of_bytes_are_eight_bits_times_257(encoding: str) -> None:
    narrow = encoding.replace("16", "8")
    rows = noise(ENCODINGS[narrow])
    plain = decode(image(rows, narrow), compressed=False)
    for big_endian in (False, True):
        wide = image(rows.astype(np.uint16) * 257, encoding, big_endian)
        np.testing.assert_array_equal(decode(wide, compressed=False), plain)


@pytest.mark.parametrize("pattern", BAYER)
def test_a_mosaic_of_one_colour_is_that_colour(pattern: str) -> None:
    colour = np.array([200, 120, 40], np.uint8)
    tile = colour[list(BAYER[pattern])].reshape(2, 2)
    rows = np.tile(tile, (HEIGHT // 2, WIDTH // 2))
    rgb = decode(image(rows, f"bayer_{pattern}8"), compressed=False)
    np.testing.assert_array_equal(rgb[2:-2, 2:-2], np.broadcast_to(colour, rgb[2:-2, 2:-2].shape))


@pytest.mark.parametrize("encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv"])
def test_grey_in_yuv_is_grey(encoding: str) -> None:
    first = 1 if encoding in ("yuv422", "uyvy") else 0  # where the brightness is in a pair
    rows = np.full((HEIGHT, 2 * WIDTH), 128, np.uint8)
    rows[:, first::2] = 126  # of 16..235
    rgb = decode(image(rows, encoding), compressed=False)
    assert np.ptp(rgb) == 0 and abs(int(rgb[0, 0, 0]) - 128) <= 1


def test_what_is_refused_live_is_refused_in_a_recording_with_its_topic(tmp_path: Path) -> None:
    depth = image(np.zeros((HEIGHT, WIDTH), np.uint16), "16UC1")
    with pytest.raises(SpecError, match="'16UC1' is not one of rgb8"):
        decode(depth, compressed=False)
    with pytest.raises(EpisodeError, match="/eye/image_raw: .*'16UC1' is not one of rgb8"):
        recorded(tmp_path / "e", IMAGE, depth)


def test_a_node_that_sees_needs_no_bags() -> None:
    """Importing what decodes pictures and joint states loads no message definitions."""
    imported = "sys, arfm_ros.wire.images, arfm_ros.wire.joints"
    code = f"import {imported}; print('rosbags' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "False", done.stderr
