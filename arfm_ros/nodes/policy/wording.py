"""Whether a policy can be told what it is told."""

from __future__ import annotations

from functools import lru_cache

from arfm_ros.core.values.spec import PolicySpec
from arfm_ros.words.meaning import misunderstood


class Wording:
    """Judge an instruction; the last one is kept, for it is asked about with each picture."""

    def __init__(self) -> None:
        self._misunderstood = lru_cache(1)(misunderstood)

    def trouble(self, spec: PolicySpec, text: str, obey_unknown: bool) -> str:
        """Say why `text` is no instruction for a policy, '' if it is one."""
        if spec.language.mode == "none":
            return ""
        if not text:
            return "no instruction: publish one on 'instruction' or set default_instruction"
        if spec.language.mode != "hashed_words" or obey_unknown:
            return ""  # a language model reads any text
        return self._misunderstood(text, spec.phrases)
