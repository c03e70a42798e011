"""What each score takes beside query, key and value. The formulas stand in attention()'s documentation, the
rules of shapes are the library's own (src/params.c)."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any, NamedTuple

import numpy as np

from . import _native
from ._arrays import numbers


class Score(NamedTuple):
    code: int
    """The library's."""
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    """Names of parameters, and of what goes with them."""
    has_key_size: bool = False
    """True where keys may be of another size than queries."""
    query_size: tuple[str, int] = ("key", -1)
    """Whose axis is as long as a query."""
    of_keys: tuple[str, ...] | None = None
    """What keys can meet before they meet a query; None where nothing can be made of keys alone."""


_ADDITIVE = ("w_query", "w_key", "v")
_OPTIONAL = ("bias", "g")
_PROJECTED: dict[str, Any] = {"has_key_size": True, "query_size": ("params.w_query", -1), "of_keys": ("w_key",)}

SCORES = {
    "scaled-dot": Score(0),
    "dot": Score(1),
    "general": Score(3, ("weight",), has_key_size=True, query_size=("params.weight", -2), of_keys=("weight",)),
    "additive": Score(4, _ADDITIVE, _OPTIONAL, **_PROJECTED),
    "location": Score(5, ("weight",), has_key_size=True, query_size=("params.weight", -1)),
    "location-sensitive": Score(
        6,
        (*_ADDITIVE, "conv", "w_location", "previous_weights"),
        (*_OPTIONAL, "cumulative_weights"),
        **_PROJECTED,
    ),
    "coverage": Score(7, (*_ADDITIVE, "w_coverage", "coverage"), _OPTIONAL, **_PROJECTED),
    "cosine": Score(8, ("beta",), of_keys=()),
    "rbf": Score(9, ("gamma",)),
}
GIVEN = Score(_native.SCORE_GIVEN)

STATES = ("previous_weights", "cumulative_weights", "coverage")
"""Parameters that come from earlier steps."""


def parameters(params: Any, score: Score, called: str, otherwise: np.dtype) -> dict[str, np.ndarray]:
    """Those that are given, under the names that the library has for them: "params.weight". Numbers without a float
    type get the type `otherwise`."""
    if not hasattr(params, "keys"):
        raise TypeError(f"params: of type {type(params).__name__}, expected a dict of arrays by name")
    found = {}
    for name in params:
        if name not in score.required and name not in score.optional:
            expected = "another name" if score.required else "none"
            raise ValueError(f"params: {name!r}, expected {expected}, as {_what_it_takes(score, called)}")
        if params[name] is not None:
            found["params." + name] = numbers(params[name], "params." + name, otherwise)
    return found


def check_complete(given: Container[str], score: Score, called: str, names: Iterable[str]) -> None:
    """`given`: by the names of parameters()."""
    for name in names:
        if "params." + name not in given:
            raise ValueError(f"params.{name}: missing, expected an array, as {_what_it_takes(score, called)}")


def _what_it_takes(score: Score, called: str) -> str:
    names = ", ".join(score.required) or "no parameters"
    if score.optional:
        names += f", and optionally {', '.join(score.optional)}"
    return f"the score {called!r} takes {names}"
