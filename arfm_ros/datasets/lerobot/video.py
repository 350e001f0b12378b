"""Videos as LeRobot reads them: H.264, every second frame a key frame: seeking is cheap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.core.errors import EpisodeError
from arfm_ros.datasets.libraries import library
from arfm_ros.episodes.series import U8

OPTIONS = {"crf": "18", "g": "2", "bf": "0", "preset": "veryfast"}


def write_video(path: Path, frames: Iterable[U8], fps: int) -> dict[str, Any]:
    """Write pictures [H, W, 3] RGB, number n at n / fps seconds; return what LeRobot says of it.

    Raises `EpisodeError` for pictures of several sizes.
    """
    av = library("av")
    size: tuple[int, ...] = ()
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=fps, options=OPTIONS)
        stream.thread_count = 1
        for n, rgb in enumerate(frames):
            if not size:
                size = rgb.shape
                stream.height, stream.width = size[:2]
                stream.pix_fmt = "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
            if rgb.shape != size:
                raise EpisodeError(f"pictures of {rgb.shape} after {size}: a video has one size")
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, fps)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return {
        "video.height": size[0],
        "video.width": size[1],
        "video.codec": "h264",
        "video.pix_fmt": "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p",
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }


def read_video(path: Path, times_s: Iterable[float], tolerance_s: float) -> Iterator[U8]:
    """Yield the picture [H, W, 3] at each of rising times; raises `EpisodeError` for none near."""
    av = library("av")
    with av.open(str(path)) as file:
        stream, coming, at = file.streams.video[0], iter(()), None
        for wanted in times_s:
            if at is None:
                file.seek(max(0, int(wanted / stream.time_base)), stream=stream)
                coming = file.decode(stream)
            if at is None or at.time < wanted - tolerance_s:
                at = next((one for one in coming if one.time >= wanted - tolerance_s), None)
            if at is None or at.time > wanted + tolerance_s:
                near = "it ends" if at is None else f"the next is at {at.time:.3f} s"
                raise EpisodeError(f"{path} has no picture at {wanted:.3f} s: {near}")
            yield at.to_ndarray(format="rgb24")
