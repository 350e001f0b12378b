"""The doctor: every trap of a first user is found, and its fix is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from arfm_ros.bringup import share
from arfm_ros.cli.__main__ import main
from arfm_ros.doctor import FAIL, OK, WARN, examine, machine
from arfm_ros.doctor.finding import Finding
from arfm_ros.doctor.ros import check_dds_profile, check_domain, lease, segment_sizes


def test_every_check_reports_and_everything_that_is_not_ok_says_its_fix(tmp_path: Path) -> None:
    findings = examine("nowhere", str(tmp_path))
    assert {finding.level for finding in findings} <= {OK, WARN, FAIL}
    assert len({finding.check for finding in findings}) == len(findings) == 9
    assert all(finding.fix for finding in findings if finding.level != OK)


def test_a_bundle_that_is_not_there_fails_and_is_named(tmp_path: Path) -> None:
    policy = {f.check: f for f in examine("nowhere", str(tmp_path))}["policy"]
    assert policy.level == FAIL
    assert "nowhere" in policy.found


def test_json_holds_the_same_findings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status = main(["doctor", "--json", "--out", str(tmp_path)])
    findings = json.loads(capsys.readouterr().out)
    assert status == int(any(finding["level"] == FAIL for finding in findings))
    assert {"check", "level", "found", "fix"} == set(findings[0])


def test_too_little_shared_memory_fails_with_dockers_option(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Usage:
        free = 64 * 2**20

    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: Usage)
    found = machine.check_shared_memory(tmp_path)
    assert found.level == FAIL and "--shm-size" in found.fix


def test_a_broken_opengl_is_found_without_breaking_the_doctor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("mujoco")
    monkeypatch.setenv("MUJOCO_GL", "nonsense")
    found = machine.check_gl()
    assert found.level == FAIL and "libegl1" in found.fix


def test_a_profile_without_a_large_segment_or_with_a_long_lease_is_warned_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = tmp_path / "small.xml"
    small.write_text("<profiles><segment_size>524288</segment_size></profiles>")
    for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
        monkeypatch.setenv(name, str(small))
    assert check_dds_profile().level == WARN
    small.write_text("<profiles><segment_size>67108864</segment_size></profiles>")
    assert check_dds_profile().level == WARN
    assert "killed node counts as there for 20 s" in check_dds_profile().found
    small.write_text("not a profile")
    assert check_dds_profile().level == FAIL
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE")
    assert check_dds_profile().level == FAIL


def test_the_shipped_profile_is_read() -> None:
    assert lease(share("config", "fastdds.xml")) == 2.5
    assert segment_sizes(share("config", "fastdds.xml")) == [64 * 2**20]


@pytest.mark.parametrize("text", ["200", "my robot", "-1"])
def test_an_unusable_domain_fails(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", text)
    assert check_domain().level == FAIL


def test_a_folder_that_cannot_be_written_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine.os, "access", lambda folder, mode: False)
    found = machine.check_disk(tmp_path / "new" / "folder")
    assert found.level == FAIL and "--out" in found.fix


def test_a_line_shows_its_fix_below() -> None:
    assert Finding("disk", OK, "fine").line().count("\n") == 0
    assert "fix: do this" in Finding("disk", FAIL, "full", "do this").line().split("\n")[1]
