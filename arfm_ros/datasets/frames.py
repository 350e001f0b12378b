"""Pictures of an episode for its rows, one after the other: the memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from arfm_ros.core.errors import EpisodeError
from arfm_ros.datasets.rows import Shot
from arfm_ros.episodes.reader import EpisodeReader
from arfm_ros.episodes.scan import Record
from arfm_ros.episodes.series import U8, decode_image
from arfm_ros.wire.images import COMPRESSED_IMAGE, compressed_payload

AHEAD = 256  # frames that may lie in the file before the one that is due


def records_of(reader: EpisodeReader, shot: Shot) -> Iterator[tuple[int, Record]]:
    """Yield (index in file order, record) for each row, in the order of the rows.

    Raises `EpisodeError` where frames lie too far from where their stamps say.
    """
    due, at = shot.frame.tolist(), 0
    needed, kept = set(due), dict[int, Record]()
    for n, record in enumerate(reader.records({shot.topic})):
        if n in needed:
            kept[n] = record
        while at < len(due) and due[at] in kept:
            yield due[at], kept[due[at]]
            at += 1
            if due[at - 1] not in due[at : at + 1]:
                kept.pop(due[at - 1])
        if len(kept) > AHEAD:
            raise EpisodeError(f"{shot.topic}: frames are {AHEAD} places out of order")


def pictures(reader: EpisodeReader, shot: Shot) -> Iterator[U8]:
    """Yield the picture [H, W, 3] RGB of each row; one that several rows have is decoded once."""
    before, rgb = -1, np.empty((0, 0, 3), np.uint8)
    for n, record in records_of(reader, shot):
        if n != before:
            before, rgb = n, decode_image(record)
        yield rgb


def encoded(reader: EpisodeReader, shot: Shot) -> Iterator[bytes]:
    """Yield each row's picture as JPEG or PNG bytes: as recorded, raw ones as PNG."""
    for _, record in records_of(reader, shot):
        if record.type_name == COMPRESSED_IMAGE:
            yield bytes(compressed_payload(record.cdr))
        else:
            done, png = cv2.imencode(".png", decode_image(record)[:, :, ::-1])
            if not done:
                raise EpisodeError(f"{shot.topic}: a picture cannot be written as PNG")
            yield png.tobytes()
