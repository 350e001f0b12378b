"""An episode as a file of the Rerun viewer (`rerun FILE.rrd`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from arfm_ros.episodes.reader import EpisodeReader, stamp_ns
from arfm_ros.episodes.series import cameras_of, image_topic
from arfm_ros.episodes.show.story import Story, read_story
from arfm_ros.wire.images import COMPRESSED_IMAGE, DECODERS, compressed_payload

TIMELINE, PNG = "stamp", b"\x89PNG"


def write_rerun(folder: Path, out: Path) -> Path:
    """Write cameras, joints, commands, chunks, who acted and events to `out` (.rrd)."""
    import rerun as rr

    story, reader = read_story(folder, frames=0), EpisodeReader(folder)
    with rr.RecordingStream("arfm_ros", recording_id=folder.name) as recording:
        recording.save(str(out))
        for camera in cameras_of(reader):
            _camera(rr, recording, reader, camera)
        for root, lines in (("measured", story.measured), ("commanded", story.commanded)):
            for name, line in lines.items():
                _scalars(rr, recording, f"{root}/{name}", _absolute(story, line.t_s), line.value)
        for stage, line in story.latencies.items():
            times = _absolute(story, line.t_s)
            _scalars(rr, recording, f"latency_ms/{stage}", times, line.value)
        _chunks(rr, recording, story)
        _words(rr, recording, story)
    return out


def _absolute(story: Story, t_s: Any) -> Any:
    """Turn seconds of the episode into stamps, as the bag has them."""
    return (story.begin_ns + np.round(np.asarray(t_s) * 1e9)).astype("datetime64[ns]")


def _camera(rr: Any, recording: Any, reader: EpisodeReader, camera: str) -> None:
    for record in reader.records({image_topic(reader, camera)}):
        recording.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns(record), "ns"))
        if record.type_name == COMPRESSED_IMAGE:  # as it is: nothing is encoded again
            payload = bytes(compressed_payload(record.cdr))
            kind = "image/png" if payload.startswith(PNG) else "image/jpeg"
            picture = rr.EncodedImage(contents=payload, media_type=kind)
        else:
            picture = rr.Image(DECODERS[record.type_name](record.cdr)).compress()
        recording.log(f"camera/{camera}", picture)


def _scalars(rr: Any, recording: Any, path: str, times: Any, values: Any) -> None:
    if len(values):
        columns = [rr.TimeColumn(TIMELINE, timestamp=times)]
        recording.send_columns(path, indexes=columns, columns=rr.Scalars.columns(scalars=values))


def _chunks(rr: Any, recording: Any, story: Story) -> None:
    """Draw each chunk as its own lines over the time in which it was due."""
    for n, chunk in enumerate(story.chunks):
        times = _absolute(story, chunk.due_s)
        for name, path in zip(chunk.names, chunk.position.T):
            _scalars(rr, recording, f"chunk/{name}/{n % 2}", times, path)


def _words(rr: Any, recording: Any, story: Story) -> None:
    said = [
        (t, f"who/{group}", word) for group, all_ in story.authority.items() for t, word in all_
    ]
    said += [(event.t_s, f"event/{event.kind}", event.text) for event in story.events]
    for t_s, path, text in sorted(said):
        recording.set_time(TIMELINE, timestamp=_absolute(story, t_s))
        recording.log(path, rr.TextLog(text))
