"""Images as nodes receive them: serialized, looked into only where one is really used.

Nodes subscribe raw: the callback gets serialized CDR bytes, keeps them, and reads the stamp at a
fixed place (`stamp_of`). Only the image that is really used is looked into, in the worker
thread. rclpy's own deserialization would copy every frame in the executor thread instead.
"""

from __future__ import annotations

from arfm_ros.wire.cdr import header_stamp_ns as stamp_of
from arfm_ros.wire.images import Frame, decode, frame_of

__all__ = ("Frame", "decode", "frame_of", "stamp_of")
