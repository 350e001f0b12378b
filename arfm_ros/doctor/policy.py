"""Check of the policy bundle: whole, and computing here what it computed where it was made."""

from __future__ import annotations

from arfm_ros.bringup import find_bundle
from arfm_ros.core.errors import ArfmError, EngineError, PackageError
from arfm_ros.doctor.finding import FAIL, OK, Finding


def check_policy(policy: str) -> Finding:
    """Load the bundle and compare with its reference vectors on this machine."""
    name, get_another = "policy", "get the bundle again, or give --policy FOLDER"
    try:
        from arfm_ros.engines import load_bundle, load_policy
        from arfm_ros.engines.gate.replay import load_reference, replay
        from arfm_ros.engines.server.remote import RemotePolicy, probe
    except ImportError as error:
        fix = "remove .venv and run ./arfm doctor again"
        return Finding(name, FAIL, f"the engine does not load: {error}", fix)
    try:
        folder = find_bundle(policy)
        bundle, loaded = load_bundle(folder), load_policy(folder)
        if isinstance(loaded, RemotePolicy):
            answer = f"{loaded.runtime.device} answered within {probe(loaded):.0f} ms"
            return Finding(name, OK, f"'{bundle.name}': {answer}")
        parity = replay(loaded, load_reference(folder))
    except EngineError as error:
        return Finding(name, FAIL, str(error), "start the server, or give --policy FOLDER")
    except PackageError as error:
        return Finding(name, FAIL, str(error), "give its folder: ./arfm doctor --policy FOLDER")
    except ArfmError as error:
        return Finding(name, FAIL, str(error), get_another)
    found = (
        f"'{bundle.name}' ({bundle.sha256[:12]}), differs from its reference by "
        f"{max(parity.max_step_error, parity.max_chunk_error):.1e} on this machine"
    )
    if not parity.passed:
        fix = f"{get_another}; it was made to differ by at most {parity.limits.step:.0e}"
        return Finding(name, FAIL, found, fix)
    return Finding(name, OK, found)
