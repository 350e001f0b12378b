"""How long a recorder may take to stop: known to itself and to whoever stops it. No ROS here."""

from __future__ import annotations

STOP_S = 30.0  # after so long a stop is forced, by `arfm up` and by launch
IN_FLIGHT_S = 0.1  # what was published before `stop` may still be on its way for so long
DRAIN_S = IN_FLIGHT_S + 2.0  # at most, until it has arrived and is queued
MARGIN_S = 4.0  # for Python and the middleware to end
CLOSE_S = STOP_S - DRAIN_S - MARGIN_S  # for what waits for the disk, and to finish the file
ANSWER_S = 10.0  # for a label to be on the disk
