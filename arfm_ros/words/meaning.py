"""What a policy was taught to understand: an instruction without a known meaning is not obeyed.

A network takes any text for one of those that it knows, and does something.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ALIKE = 0.6  # of the words of an instruction and a phrase together, so many are common to both
FILLERS = frozenset("a an and at in into it of on onto please the then to".split())
SHOWN = 6


def misunderstood(instruction: str, phrases: Sequence[str]) -> str:
    """Say why an instruction means nothing to a policy that was taught `phrases`; '' if it does.

    It does as a phrase, letter by letter. It does too when all of its words are known, one of them
    begins a phrase (it says what to do), and it is most of a phrase, or a part of the phrase that
    begins so.
    Without phrases everything passes: an older bundle does not say what it was taught.
    """
    if not phrases or instruction.strip() in phrases:
        return ""
    known = [_words(phrase) for phrase in phrases]
    words = set(_words(instruction))
    strange = sorted(words - set().union(*known))
    does = any(one[0] in words for one in known if one)
    if does and not strange and any(_like(words, one) for one in known if one):
        return ""
    why = f"it does not know {', '.join(strange)[:80]}" if strange else "it is like none of these"
    taught = ", ".join(f"'{phrase}'" for phrase in list(phrases)[:SHOWN])
    more = ", ..." if len(phrases) > SHOWN else ""
    return (
        f"instruction '{instruction[:80]}' means nothing to the policy: {why}; say {taught}{more}"
    )


def _like(words: set[str], phrase: Sequence[str]) -> bool:
    common, every = words.intersection(phrase), words.union(phrase)
    part = words == common and phrase[0] in words and len(words) > 1
    return part or len(common) >= ALIKE * len(every)


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"[a-z0-9]+", text.lower()) if word not in FILLERS]
