"""Inputs and outputs of a graph that are one state, handed on from call to call."""

import re
from collections.abc import Mapping

from service.ports import Port
from service.types import Shape

BEFORE = re.compile(
    r"^(past_key_values|past|previous|prev|last|old|initial|init|input|in)_|_(input|in|prev|past|init|0)$"
)
AFTER = re.compile(
    r"^(present_key_values|present|next|new|updated|final|output|out)_|_?(output|out|next|new|present|n)$"
)


def pairs(unfed: Mapping[str, Port], outputs: Mapping[str, Shape]) -> list[tuple[str, str]]:
    """(input, output) of inputs that no part feeds and that an output of a like name and shape continues.

    Such as past_key_values.0.key and present.0.key, state and stateN, h0 and hn, cache_in and cache_out.
    """
    return [
        (name, other)
        for name, port in unfed.items()
        for other, shape in outputs.items()
        if same(stem(name, BEFORE), stem(other, AFTER)) and alike(port.shape, shape)
    ]


def stem(name: str, side: re.Pattern[str]) -> tuple[str, str]:
    """In lower case, words joined by _; and the same without what says on which side it stands."""
    words = re.findall(r"[a-z]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    joined = "_".join(words)
    return joined, side.sub("", joined, count=1)


def same(before: tuple[str, str], after: tuple[str, str]) -> bool:
    return after[1] != "" and after[1] in before and before[0] != after[0]


def alike(one: Shape, other: Shape) -> bool:
    """An unknown shape, and an unknown axis, are like any."""
    if not one or not other:
        return True
    return len(one) == len(other) and all(None in (a, b) or a == b for a, b in zip(one, other, strict=True))
