"""Checks of the machine: OpenGL, shared memory, disk, real-time permission."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from arfm_ros.doctor.finding import FAIL, OK, WARN, Finding
from arfm_ros.up.shared_memory import orphans

MIB = 2**20
# Every participant has a segment of 64 MiB (config/fastdds.xml); six processes run.
SHM_NEEDED_MIB = 6 * 64 + 64
DISK_NEEDED_MIB = 2048
RENDER_TIMEOUT_S = 60.0
# In a process of its own: a broken OpenGL driver ends the process that tries it.
RENDER = """
import mujoco
model = mujoco.MjModel.from_xml_string(
    '<mujoco><worldbody><light pos="0 0 3"/><geom type="sphere" size=".1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 24, 32)
renderer.update_scene(data)
print(int(renderer.render().max()))
"""


def check_shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Check the room for images between processes."""
    name = "shared memory"
    if not folder.is_dir():
        return Finding(name, WARN, f"{folder} is missing: images go over UDP", "mount a tmpfs")
    free_mib = shutil.disk_usage(folder).free // MIB
    found = f"{free_mib} MiB free in {folder}"
    if free_mib < SHM_NEEDED_MIB:
        fix = "docker: --shm-size=1g or --ipc=host; else: mount -o remount,size=1g /dev/shm"
        return Finding(name, FAIL, f"{found}, the stack needs {SHM_NEEDED_MIB}", fix)
    left = len(orphans(folder))
    if left:
        found += f"; killed nodes left {left} segments behind"
        return Finding(name, WARN, found, "the next ./arfm up removes them")
    return Finding(name, OK, found)


def check_gl() -> Finding:
    """Render one picture of the simulation's kind."""
    name, backend = "OpenGL", os.environ.get("MUJOCO_GL", "the display's")
    try:
        done = subprocess.run(
            [sys.executable, "-c", RENDER],
            capture_output=True,
            text=True,
            timeout=RENDER_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Finding(name, FAIL, f"rendering hangs (MUJOCO_GL={backend})", "set MUJOCO_GL=egl")
    if done.returncode == 0 and done.stdout.strip().isdecimal() and int(done.stdout) > 0:
        return Finding(name, OK, f"renders off screen (MUJOCO_GL={backend})")
    said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
    fix = "apt-get install libegl1 libgl1-mesa-dri, then MUJOCO_GL=egl (only --sim needs it)"
    return Finding(name, FAIL, f"cannot render: {said}", fix)


def check_disk(out: Path) -> Finding:
    """Check the room for recordings."""
    name, folder = "disk", out.expanduser().resolve()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return Finding(name, FAIL, f"{folder} is not writable", "give another folder with --out")
    free_mib = shutil.disk_usage(folder).free // MIB
    if free_mib < DISK_NEEDED_MIB:
        found = f"{free_mib} MiB free under {folder}; five episodes take up to {DISK_NEEDED_MIB}"
        return Finding(name, WARN, found, "free some space or give another folder with --out")
    return Finding(name, OK, f"{free_mib // 1024} GiB free under {folder}")


def check_realtime() -> Finding:
    """Check the permission for real-time priority, which only a real robot's loop profits from."""
    name = "real time"
    soft, _ = resource.getrlimit(resource.RLIMIT_RTPRIO)
    if os.geteuid() == 0 or soft > 0:
        return Finding(name, OK, "real-time priority is permitted (optional)")
    fix = "optional: '@realtime - rtprio 98' in /etc/security/limits.conf, join that group"
    return Finding(name, OK, "no real-time priority; simulation does not need it", fix)
