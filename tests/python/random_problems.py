"""Problems drawn by chance from everything that attention() takes; a seed gives the same one each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from plain import BFLOAT16, DTYPES

SIZES = [1, 1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17]
KEYS = [1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 33, 64, 67, 131, 257]
VECTORS = [1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 32, 33, 64, 65]
SCORES = ["scaled-dot", "dot", "general", "additive", "location", "location-sensitive", "coverage", "cosine", "rbf"]


class Draw:
    """Chances, and arrays in all the ways that memory may lie."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def one(self, choices: list[Any]) -> Any:
        return choices[self.rng.integers(len(choices))]

    def normal(self, shape: tuple[int, ...], dtype: np.dtype, size: float = 1.0) -> np.ndarray:
        return (size * self.rng.standard_normal(shape)).astype(dtype)

    def laid_out(self, a: np.ndarray) -> np.ndarray:
        """The same numbers in another order of memory, or of bytes."""
        axis = int(self.rng.integers(a.ndim))
        ways = ["transposed", "backwards", "gaps", "bytes", "unaligned", "read-only"]
        way = self.one(["as it is"] * 3 + ways)
        if way == "transposed":
            order = self.rng.permutation(a.ndim)
            return np.ascontiguousarray(a.transpose(order)).transpose(np.argsort(order))
        if way == "backwards":
            return np.flip(np.flip(a, axis).copy(), axis)
        if way == "gaps":
            return np.repeat(a, 2, axis=axis)[(slice(None),) * axis + (slice(1, None, 2),)]
        if way == "bytes" and a.dtype != BFLOAT16:
            return a.astype(a.dtype.newbyteorder(">"))
        if way == "unaligned":
            memory = np.empty(a.nbytes + 1, np.uint8)
            moved = memory[1:].view(a.dtype).reshape(a.shape)
            moved[...] = a
            return moved
        if way == "read-only":
            a.flags.writeable = False
        return a


def broadcast_shape(draw: Draw, square: tuple[int, ...]) -> tuple[int, ...]:
    """A shape of any rank that broadcasts to that of the weights."""
    shape = tuple(1 if draw.chance(0.4) else length for length in square)
    return shape[draw.rng.integers(len(square)) :]


def visibility(draw: Draw, square: tuple[int, ...], B: int, S: int, T: int) -> dict[str, Any]:
    """Causal, alignment, window and lengths, in any combination."""
    options: dict[str, Any] = {}
    if draw.chance(0.4):
        options["causal"] = draw.one([True, True, "top-left", "bottom-right"])
    if draw.chance(0.4):
        options["alignment"] = draw.one(["top-left", "bottom-right"])
    if draw.chance(0.25):
        options["window"] = tuple(int(side) for side in draw.rng.integers(-1, max(S, T), 2))
    if draw.chance(0.25):
        lengths = draw.rng.integers(0, T + 1, B)
        options["kv_lengths"] = draw.one([lengths, *map(lengths.astype, (np.int32, np.uint16)), lengths.tolist()])
    if draw.chance(0.5):
        options["mask"] = draw.laid_out(draw.rng.random(broadcast_shape(draw, square)) < 0.6)
    return options


def additions(draw: Draw, square: tuple[int, ...], Hq: int, dtype: np.dtype) -> dict[str, Any]:
    """Bias, float mask, ALiBi, sinks and softcap, in any combination."""
    options: dict[str, Any] = {}
    for name, p in (("bias", 0.25), ("mask", 0.2)):
        if draw.chance(p):
            a = draw.normal(broadcast_shape(draw, square), draw.one([dtype, np.dtype(np.float32)]))
            a[draw.rng.random(a.shape) < draw.one([0.0, 0.2, 0.9])] = draw.one([-np.inf, -10000.0])
            options[name] = draw.laid_out(a)
    any_float = draw.one(list(DTYPES.values()))
    if draw.chance(0.2):
        options["alibi_slopes"] = draw.laid_out(np.abs(draw.normal((Hq,), any_float, 0.5)))
    if draw.chance(0.25):
        options["sinks"] = draw.laid_out(draw.normal((Hq,), any_float, 2.0))
    if draw.chance(0.2):
        options["softcap"] = draw.one([0, 0.5, 5.0, 30])
    return options


@dataclass
class Parameters:
    """Draws the parameters of a score, for the sizes of a problem."""

    draw: Draw
    B: int
    Hq: int
    S: int
    T: int
    D: int
    Dk: int

    def number_array(self, a: np.ndarray) -> Any:
        """Of any float type, laid out in any way; or a number or lists, which come without a type."""
        if not a.ndim or (a.size and self.draw.chance(0.1)):
            return a.astype(np.float32).tolist()  # which they become
        return self.draw.laid_out(a.astype(self.draw.one(list(DTYPES.values()))))

    def matrix(self, *shape: int) -> Any:
        """A matrix or a vector, shared or one per head, that keeps sums of its rows small, or does not."""
        if self.draw.chance(0.3):
            shape = (self.Hq, *shape)
        spread = self.draw.one([0.3, 1.0]) / np.sqrt(shape[-1])
        return self.number_array(spread * self.draw.rng.standard_normal(shape))

    def scalar(self) -> Any:
        shape = self.draw.one([(), (1,), (self.Hq,)])
        spread = self.draw.one([0.1, 1.0, 5.0])
        return self.number_array(np.asarray(spread * self.draw.rng.standard_normal(shape)))

    def of_rows(self) -> Any:
        shape = self.draw.one([(self.B, self.S), (self.B, self.Hq, self.S)])
        return self.number_array(self.draw.rng.random(shape))

    def earlier_weights(self) -> Any:
        shape = self.draw.one([(self.B, self.T), (self.B, self.Hq, self.T)])
        return self.number_array(self.draw.rng.random(shape) * self.draw.one([1, 1 / max(self.T, 1)]))

    def of_location(self, A: int) -> dict[str, Any]:
        C, K = self.draw.one([1, 2, 3, 5]), self.draw.one([1, 3, 5, 31])
        channels = self.draw.one([(), (2,)])
        found = {"conv": self.matrix(C, *channels, K), "w_location": self.matrix(A, C)}
        found["previous_weights"] = self.earlier_weights()
        if channels:
            found["cumulative_weights"] = self.earlier_weights()
        return found

    def of_hidden(self, score: str) -> dict[str, Any]:
        A = self.draw.one(VECTORS)
        found = {"w_query": self.matrix(A, self.D), "w_key": self.matrix(A, self.Dk), "v": self.matrix(A)}
        if self.draw.chance(0.5):
            found["bias"] = self.draw.one([None, self.matrix(A)])
        if self.draw.chance(0.3):
            found["g"] = self.scalar()
        if score == "coverage":
            found.update(w_coverage=self.matrix(A), coverage=self.earlier_weights())
        if score == "location-sensitive":
            found.update(self.of_location(A))
        return found

    def of(self, score: str) -> dict[str, Any]:
        if score == "general":
            return {"weight": self.matrix(self.D, self.Dk)}
        if score == "location":
            return {"weight": self.matrix(self.T + self.draw.one([0, 1, 9]), self.D)}
        if score == "cosine":
            return {"beta": self.draw.one([self.scalar, self.of_rows])()}
        if score == "rbf":
            return {"gamma": self.scalar()}
        return self.of_hidden(score) if score in ("additive", "location-sensitive", "coverage") else {}


def told_of_weights(draw: Draw, Hq: int, S: int, rank: int, options: dict[str, Any]) -> dict[str, Any]:
    """Column sums, argmax and entropy, and which heads and rows weights are of."""
    told: dict[str, Any] = {f"return_{name}": draw.chance(0.5) for name in ("column_sums", "argmax", "entropy")}
    told["return_entropy"] &= options.get("normalizer") != "none"
    for name, length in (("weights_heads", Hq), ("weights_rows", S)):
        if options["return_weights"] and draw.chance(0.5) and (name == "weights_rows" or rank == 4):
            chosen = np.flatnonzero(draw.rng.random(length) < draw.one([0.2, 0.5, 0.9]))
            told[name] = draw.one([chosen, chosen.astype(np.int32), chosen.tolist()])
    return told


def problem(seed: int) -> tuple[tuple[np.ndarray, np.ndarray | None, np.ndarray], dict[str, Any]]:
    """(query, key, value) and the keywords of attention(); location scores may have no key."""
    draw = Draw(seed)
    score = draw.one(SCORES) if draw.chance(0.6) else "scaled-dot"
    dtype = DTYPES[draw.one(["f32", "f32", "f16", "bf16", "f64"])]
    rank = draw.one([4, 4, 3, 2])
    B = draw.one([1, 2, 3]) if rank > 2 else 1
    Hkv, group = (draw.one([1, 2, 3]), draw.one([1, 1, 2, 3])) if rank == 4 else (1, 1)
    S, T, D, Dv = draw.one(SIZES), draw.one(KEYS), draw.one(VECTORS), draw.one(VECTORS)
    if draw.chance(0.06):
        B, S, T = draw.one([(0 if rank > 2 else 1, S, T), (B, 0, T), (B, S, 0)])
    Hq, layout = Hkv * group, draw.one(["bhsd", "bshd"])
    Dk = D if score in ("scaled-dot", "dot", "cosine", "rbf") else draw.one([D, *VECTORS])

    def make(heads: int, rows: int, size: int) -> np.ndarray:
        shape = {4: (B, heads, rows, size), 3: (B, rows, size), 2: (rows, size)}[rank]
        a = draw.normal(shape, dtype, draw.one([0.1, 1.0, 1.0, 4.0]))
        return a.transpose(0, 2, 1, 3).copy() if rank == 4 and layout == "bshd" else a

    query, key, value = make(Hq, S, D), make(Hkv, T, Dk), make(Hkv, T, Dv)
    square = {4: (B, Hq, S, T), 3: (B, S, T), 2: (S, T)}[rank]
    options = {"layout": layout, **visibility(draw, square, B, S, T), **additions(draw, square, Hq, dtype)}
    if draw.chance(0.2) and T:
        # Behind a mask they must not show, elsewhere they must.
        value[draw.rng.random(value.shape) < 0.05] = draw.one([np.nan, np.inf])
        if draw.chance(0.5):
            key[draw.rng.random(key.shape) < 0.01] = np.nan
    params = Parameters(draw, B, Hq, S, T, D, Dk).of(score)
    if params or draw.chance(0.5):
        options.update(score=score, params=params)
    if draw.chance(0.25):
        options["scale"] = draw.one([0.0, -0.3, 0.125, 1, np.float32(0.7)])
    if draw.chance(0.35) and "sinks" not in options:
        options["normalizer"] = draw.one(["none", "sigmoid", "sparsemax", "entmax15"])
    options["precision"] = draw.one(["default", "default", "strict", "fast"])
    options["scores_stage"] = draw.one(["raw", "capped", "modified"])
    for name in ("return_weights", "return_scores", "return_lse"):
        options[name] = draw.chance(0.5)
    has_key = score != "location" or draw.chance(0.5)
    arrays = draw.laid_out(query), draw.laid_out(key) if has_key else None, draw.laid_out(value)
    return arrays, {**options, **told_of_weights(draw, Hq, S, rank, options)}
