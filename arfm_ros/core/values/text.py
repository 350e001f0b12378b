"""Instructions as text for a tokenizer, or as hashed words, which need no vocabulary file."""

from __future__ import annotations

import re
import zlib

import numpy as np
from numpy.typing import NDArray

from arfm_ros.core.values.data import F32
from arfm_ros.core.values.spec import Language

PAD = 0


def compose(language: Language, instruction: str, state: F32) -> str:
    """Fill the template of `language` in with an instruction and a normalised state [S].

    The state is written as pi0.5 reads it (Physical Intelligence 2025): the number of the bin of
    each value between -1 and 1; below -1 it is -1, above 1 the last one.
    """
    whole = language.template
    if language.state_bins:
        edges = np.linspace(-1, 1, language.state_bins + 1)[:-1]
        bins = np.digitize(state, edges) - 1
        whole = whole.replace("{state}", " ".join(map(str, bins)))
    if language.flat:
        instruction = instruction.strip().replace("_", " ").replace("\n", " ")
    if language.bare:  # as GR00T does: letters, digits, spaces and underscores are left
        kept = (c for c in instruction.lower() if c.isalnum() or c.isspace() or c == "_")
        instruction = "".join(kept)
    return whole.replace("{instruction}", instruction)


def tokenize(text: str, length: int, vocabulary: int) -> NDArray[np.int64]:
    """Hash the words of `text` to ids in 1..vocabulary-1 and pad with 0 to [length].

    Words beyond `length` are dropped. The hash is CRC-32, so that training and robot agree.
    """
    words = re.findall(r"[a-z0-9]+", text.lower())[:length]
    ids = [1 + zlib.crc32(w.encode()) % (vocabulary - 1) for w in words]
    return np.asarray(ids + [PAD] * (length - len(ids)), dtype=np.int64)
