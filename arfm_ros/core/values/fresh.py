"""A newer state in an older context, for networks that take it in each step, as pi0 does.

Black et al. (2024): pi0's state is a token of the action expert, which looks at the keys and
values of pictures and text. So these may be older than the state. SmolVLA and pi0.5 have the
state among the tokens of the prefix; there is no newer one without another prefix.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from arfm_ros.core.errors import SpecError
from arfm_ros.core.values.data import F32, Context
from arfm_ros.core.values.spec import PolicySpec


def with_state(context: Context, spec: PolicySpec, state: F32, stamp_ns: int) -> Context:
    """Put the state [S] that was measured at `stamp_ns` in the place of a context's own.

    Relative actions then count from that state, and the chunk has its stamp. Raises `SpecError`
    where the step takes no state, or not as a row [1, S or more] that is padded with zeros.
    """
    name = spec.state_in_step
    own = context.tensors.get(name)
    row = np.asarray(state, dtype=np.float32)
    if own is None or own.ndim != 2 or len(own) != 1 or own.shape[1] < row.size:
        have = ", ".join(f"{k} {v.shape}" for k, v in context.tensors.items())
        raise SpecError(
            f"state_in_step is '{name}': needs a tensor [1, {row.size} or more] of that name in "
            f"the context, which has {have}"
        )
    padded = np.zeros(own.shape, dtype=np.float32)
    padded[0, : row.size] = spec.state_norm.normalise(row)
    return replace(
        context, tensors={**context.tensors, name: padded}, state=row, stamp_ns=stamp_ns
    )
