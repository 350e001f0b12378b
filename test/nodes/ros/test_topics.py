"""The table of topics: every row is real, relative and readable by whoever has to read it."""

from __future__ import annotations

import pytest

from arfm_ros.nodes.ros import topics
from arfm_ros.nodes.ros.topics import Service, Topic, interface

TOPICS = [row for row in vars(topics).values() if isinstance(row, Topic)]
SERVICES = [row for row in vars(topics).values() if isinstance(row, Service)]


@pytest.mark.parametrize("row", TOPICS + SERVICES, ids=lambda row: row.name)
def test_every_type_exists(row):
    assert interface(row.type_name).__name__ == row.type_name.rsplit("/", maxsplit=1)[-1]


def test_names_are_unique_and_relative_but_for_diagnostics():
    for rows in (TOPICS, SERVICES):  # ROS keeps them apart: `estop` is both
        assert len({row.name for row in rows}) == len(rows)
    names = [row.name for row in TOPICS + SERVICES]
    assert [name for name in names if name.startswith("/")] == ["/diagnostics"]


@pytest.mark.parametrize("row", TOPICS, ids=lambda row: row.name)
def test_every_reader_hears_its_writer(row):
    """A reader may ask for no more than the writer offers (DDS request against offer)."""
    assert row.writer.reliable >= row.reader.reliable
    assert row.writer.latched >= row.reader.latched


@pytest.mark.parametrize("row", TOPICS, ids=lambda row: row.name)
def test_every_writer_serves_a_reliable_recorder(row):
    assert row.writer.reliable


def test_the_camera_is_filled_in():
    assert topics.IMAGE.of(camera="wrist").name == "wrist/image_raw"
    assert topics.IMAGE.of(camera="wrist").at("hand/color").name == "hand/color"
