"""The pictures of a camera as a film that every browser plays."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.episodes.series import decode_image, image_topic, resized

HEIGHT_MAX = 360
TIME_BASE = Fraction(1, 90_000)
QUALITY = {"crf": "26", "preset": "veryfast"}


@dataclass(frozen=True, slots=True)
class Film:
    """An MP4 file (H.264, 4:2:0); its first picture was seen at `begin_s` of the episode."""

    begin_s: float
    frames: int
    base64: str


def film(reader: EpisodeReader, camera: str, begin_ns: int) -> Film | None:
    """Make a film of a camera, each picture at its stamp; None for a camera without pictures.

    Raises `EpisodeError` for a camera that is not there.
    """
    import av

    records = sorted(reader.records({image_topic(reader, camera)}), key=stamp_ns)
    if not records:
        return None
    buffer = io.BytesIO()
    first_ns, last = stamp_ns(records[0]), -1
    with av.open(buffer, "w", format="mp4") as container:
        stream = None
        for record in records:
            rgb = decode_image(record)
            height = min(HEIGHT_MAX, rgb.shape[0]) // 2 * 2
            width = round(rgb.shape[1] * height / rgb.shape[0] / 2) * 2
            if stream is None:
                stream = container.add_stream("libx264", options=QUALITY)
                stream.width, stream.height = width, height
                stream.pix_fmt, stream.codec_context.time_base = "yuv420p", TIME_BASE
            due = int((stamp_ns(record) - first_ns) * 1e-9 / TIME_BASE)
            last = max(last + 1, due)  # two pictures of one stamp
            small = np.ascontiguousarray(resized(rgb, stream.height, stream.width))
            frame = av.VideoFrame.from_ndarray(small, format="rgb24")
            frame.pts, frame.time_base = last, TIME_BASE
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    text = base64.b64encode(buffer.getvalue()).decode()
    return Film((first_ns - begin_ns) / 1e9, len(records), text)
