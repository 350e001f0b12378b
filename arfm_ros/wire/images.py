"""Pictures out of `Image` and `CompressedImage` as uint8 [H, W, 3] RGB, live and recorded alike.

Encodings are those of sensor_msgs/image_encodings.hpp that hold colours or grey. Sixteen bits
become eight as in cv_bridge: 65535 is 255. Depth (16UC1, 32FC1) is no picture and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.values.data import U8
from arfm_ros.wire.cdr import Cdr, Cursor
from arfm_ros.wire.errors import WireError

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
IMAGE_TYPES = (IMAGE, COMPRESSED_IMAGE)
BGR = cv2.COLOR_BGR2RGB
RECORDED_QUALITY = 95


@dataclass(frozen=True, slots=True)
class Frame:
    """What a `sensor_msgs/Image` says, its pixels still as they came."""

    height: int
    width: int
    encoding: str
    step: int  # bytes a row
    data: Any  # buffer of step * height bytes
    big_endian: bool = False


@dataclass(frozen=True, slots=True)
class Encoding:
    """A pixel: how many numbers of how many bytes, and OpenCV's code to RGB; None: it is RGB."""

    channels: int
    code: int | None
    size: int = 1  # bytes of a number


def _wide(encodings: Mapping[str, Encoding]) -> dict[str, Encoding]:
    return {n.replace("8", "16"): Encoding(e.channels, e.code, 2) for n, e in encodings.items()}


_COLOURS = {
    "rgb8": Encoding(3, None),
    "bgr8": Encoding(3, BGR),
    "rgba8": Encoding(4, cv2.COLOR_RGBA2RGB),
    "bgra8": Encoding(4, cv2.COLOR_BGRA2RGB),
    "mono8": Encoding(1, cv2.COLOR_GRAY2RGB),
    "bayer_rggb8": Encoding(1, cv2.COLOR_BayerRGGB2RGB),
    "bayer_bggr8": Encoding(1, cv2.COLOR_BayerBGGR2RGB),
    "bayer_gbrg8": Encoding(1, cv2.COLOR_BayerGBRG2RGB),
    "bayer_grbg8": Encoding(1, cv2.COLOR_BayerGRBG2RGB),
}
ENCODINGS: Mapping[str, Encoding] = {
    **_COLOURS,
    **_wide(_COLOURS),
    "8UC1": Encoding(1, cv2.COLOR_GRAY2RGB),
    "8UC3": Encoding(3, BGR),  # OpenCV's own order
    "8UC4": Encoding(4, cv2.COLOR_BGRA2RGB),
    "yuv422": Encoding(2, cv2.COLOR_YUV2RGB_UYVY),
    "uyvy": Encoding(2, cv2.COLOR_YUV2RGB_UYVY),
    "yuv422_yuy2": Encoding(2, cv2.COLOR_YUV2RGB_YUY2),
    "yuyv": Encoding(2, cv2.COLOR_YUV2RGB_YUY2),
}


def decode(cdr: Cdr, compressed: bool) -> U8:
    """Decode a serialized `Image` or `CompressedImage`; an rgb8 one becomes a view of its bytes.

    Raises `WireError` for bytes that are none and for an encoding that is not known.
    """
    return decode_compressed(compressed_payload(cdr)) if compressed else to_rgb(frame_of(cdr))


def frame_of(cdr: Cdr) -> Frame:
    """Look into a serialized `sensor_msgs/Image` without copying its pixels."""
    reader = Cursor(cdr)
    reader.header()
    height, width, encoding = reader.u32(), reader.u32(), reader.text()
    big_endian, step = bool(reader.octet()), reader.u32()
    return Frame(height, width, encoding, step, reader.octets(), big_endian)


def compressed_payload(cdr: Cdr) -> memoryview:
    """Give the JPEG or PNG bytes of a serialized `sensor_msgs/CompressedImage`."""
    reader = Cursor(cdr)
    reader.header()
    reader.octets()  # format: the bytes tell it themselves
    return reader.octets()


def to_rgb(frame: Frame) -> U8:
    """Give an image as RGB [H, W, 3]; rgb8 is a view of its data."""
    encoding = ENCODINGS.get(frame.encoding)
    if encoding is None:
        known = ", ".join(ENCODINGS)
        raise WireError(f"image encoding '{frame.encoding}' is not one of {known}")
    pixels = _pixels(frame, encoding)
    if encoding.code is None:
        return pixels
    flat = pixels[..., 0] if encoding.channels == 1 else pixels
    try:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(flat), encoding.code), dtype=np.uint8)
    except cv2.error as error:  # such as half a pair of pixels
        raise WireError(
            f"image {frame.width} x {frame.height} is too small or odd for {frame.encoding}"
        ) from error


def _pixels(frame: Frame, encoding: Encoding) -> U8:
    """Cut the rows' padding off: uint8 [H, W, C]."""
    flat = np.frombuffer(frame.data, dtype=np.uint8)
    row = frame.width * encoding.channels * encoding.size
    if frame.step < row or flat.size < frame.step * frame.height or not row * frame.height:
        raise WireError(
            f"image {frame.width} x {frame.height} {frame.encoding} with step {frame.step} has "
            f"{flat.size} bytes, needs {max(frame.step, row) * frame.height}"
        )
    rows = flat[: frame.step * frame.height].reshape(frame.height, frame.step)[:, :row]
    if encoding.size == 2:
        order = ">u2" if frame.big_endian else "<u2"
        rows = _eight_bits(np.ascontiguousarray(rows).view(order))
    return rows.reshape(frame.height, frame.width, encoding.channels)


def _eight_bits(values: NDArray[np.uint16]) -> U8:
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)  # rounds v * 255 / 65535


def decode_compressed(payload: Any) -> U8:
    """Decode JPEG or PNG to RGB [H, W, 3]."""
    data = np.frombuffer(payload, dtype=np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise WireError(f"compressed image of {len(payload)} bytes is neither JPEG nor PNG")
    return np.asarray(cv2.cvtColor(image, BGR), dtype=np.uint8)


DECODERS: Mapping[str, Callable[[Cdr], U8]] = {
    IMAGE: lambda cdr: decode(cdr, compressed=False),
    COMPRESSED_IMAGE: lambda cdr: decode(cdr, compressed=True),
}


def to_jpeg(rgb: U8) -> bytes:
    """Compress a picture [H, W, 3] for a recording."""
    done, jpeg = cv2.imencode(
        ".jpg", rgb[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, RECORDED_QUALITY]
    )
    if not done:
        raise WireError(f"OpenCV could not encode an image {rgb.shape} as JPEG")
    return bytes(jpeg.tobytes())
