"""Instructions as token ids: hashed words, no vocabulary file, the same on every machine."""

from __future__ import annotations

import re
import zlib

import numpy as np
from numpy.typing import NDArray

PAD = 0


def tokenize(text: str, length: int, vocabulary: int) -> NDArray[np.int64]:
    """Hash the words of `text` to ids in 1..vocabulary-1 and pad with 0 to [length].

    Words beyond `length` are dropped. The hash is CRC-32, so that training and robot agree.
    """
    words = re.findall(r"[a-z0-9]+", text.lower())[:length]
    ids = [1 + zlib.crc32(w.encode()) % (vocabulary - 1) for w in words]
    return np.asarray(ids + [PAD] * (length - len(ids)), dtype=np.int64)
