"""Whether a network takes the state where its bundle says: in the step, and nowhere before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arfm_ros.core.errors import BundleError, SpecError
from arfm_ros.core.values.data import Context, Policy
from arfm_ros.core.values.fresh import with_state
from arfm_ros.core.values.spec import PolicySpec


def require_state_in_step(policy: Policy, spec: PolicySpec, context: Context) -> None:
    """Compare `context`, of the spec's example, given another state with one encoded with it.

    Raises `BundleError` where they differ: a fresh state in an old context would be a lie.
    """
    seen = spec.example(seed=0)
    other = replace(seen, state=spec.example(seed=1).state)
    encoded = policy.encode(other)
    try:
        given = with_state(context, spec, other.state, other.stamp_ns)
    except SpecError as error:
        raise BundleError(f"policy '{spec.name}': {error}") from error
    differing = [
        name
        for name, value in encoded.tensors.items()
        if not np.allclose(value, given.tensors[name], rtol=1e-5, atol=1e-5)
    ]
    if differing:
        raise BundleError(
            f"policy '{spec.name}' says that its state is in '{spec.state_in_step}' alone, but "
            f"another state changes the context's {', '.join(differing)}: export it again"
        )
