"""Images out of serialized messages: every encoding gives the same picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from arfm_ros.core.errors import SpecError
from arfm_ros.nodes.ros.convert import ns_to_time
from arfm_ros.wire.cdr import header_stamp_ns as stamp_of
from arfm_ros.wire.images import decode, frame_of

STAMP = 1_790_000_000_123_456_789


def picture(height=24, width=31):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def serialize(pixels, encoding, padding=0, frame_id="scene"):
    height = pixels.shape[0]
    rows = pixels.reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    message = Image(
        height=height,
        width=pixels.shape[1],
        encoding=encoding,
        step=rows.shape[1],
        data=rows.tobytes(),
    )
    message.header.stamp, message.header.frame_id = ns_to_time(STAMP), frame_id
    return serialize_message(message)


ENCODED = {
    "rgb8": lambda rgb: rgb,
    "bgr8": lambda rgb: rgb[..., ::-1],
    "8UC3": lambda rgb: rgb[..., ::-1],
    "rgba8": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA),
    "bgra8": lambda rgb: cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA),
}


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ENCODED)
def test_every_colour_encoding_and_row_padding_gives_the_same_picture(encoding, padding):
    rgb = picture()
    got = decode(serialize(ENCODED[encoding](rgb), encoding, padding), compressed=False)
    assert got.dtype == np.uint8 and np.array_equal(got, rgb)


def test_grey_becomes_three_equal_channels():
    grey = picture()[..., 0]
    got = decode(serialize(grey, "mono8"), compressed=False)
    assert np.array_equal(got, np.stack([grey] * 3, axis=-1))


def test_rgb8_is_a_view_of_the_received_bytes():
    cdr = serialize(picture(), "rgb8")
    assert np.shares_memory(decode(cdr, compressed=False), np.frombuffer(cdr, np.uint8))


@pytest.mark.parametrize("frame_id", ["", "a", "ab", "abc", "camera_optical_frame"])
def test_the_stamp_and_the_pixels_are_found_whatever_the_frame_id_is_long(frame_id):
    rgb = picture()
    cdr = serialize(rgb, "rgb8", frame_id=frame_id)
    assert stamp_of(cdr) == STAMP
    assert np.array_equal(decode(cdr, compressed=False), rgb)


def test_jpeg_and_png_decode_to_rgb():
    rgb = cv2.GaussianBlur(picture(48, 64), (9, 9), 4)
    for suffix, tolerance in ((".png", 0), (".jpg", 12)):
        data = cv2.imencode(suffix, rgb[..., ::-1])[1].tobytes()
        cdr = serialize_message(CompressedImage(format=suffix[1:], data=data))
        assert np.abs(decode(cdr, compressed=True).astype(int) - rgb).max() <= tolerance


def test_what_is_neither_jpeg_nor_png_is_refused():
    cdr = serialize_message(CompressedImage(data=b"nothing of the sort"))
    with pytest.raises(SpecError, match="neither JPEG nor PNG"):
        decode(cdr, compressed=True)


def test_what_is_no_picture_is_refused_with_the_encodings_that_are():
    with pytest.raises(SpecError, match="'32FC1' is not one of rgb8, bgr8, .*yuyv"):
        decode(serialize(picture()[..., :1], "32FC1"), compressed=False)


def test_too_few_pixels_are_refused_with_both_sizes():
    cdr = serialize(picture()[:10], "rgb8")
    short = cdr.replace(np.uint32(10).tobytes(), np.uint32(11).tobytes(), 1)  # claims 11 rows
    with pytest.raises(SpecError, match="has 930 bytes, needs 1023"):
        decode(short, compressed=False)


def test_a_message_cut_short_is_refused_not_misread():
    cdr = serialize(picture(), "rgb8")
    for length in (0, 3, 10, 30, 60, len(cdr) - 100):
        with pytest.raises(SpecError, match=r"cut short|not CDR"):
            frame_of(cdr[:length])
