"""Attention written straight from its definition, a row of queries at a time, and how far a device may be from it.

Nothing here comes from the package: the two share no misreading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

ml_dtypes = pytest.importorskip("ml_dtypes")

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = {"f32": np.dtype(np.float32), "f16": np.dtype(np.float16), "bf16": BFLOAT16, "f64": np.dtype(np.float64)}


@dataclass
class Results:
    """The outputs in the caller's shapes, and what the error budget asks of a problem (docs/numerics.md)."""

    output: np.ndarray
    weights: np.ndarray
    scores: np.ndarray
    lse: np.ndarray
    column_sums: np.ndarray
    argmax: np.ndarray
    entropy: np.ndarray
    modified: np.ndarray
    """The modified scores, whatever the stage of those given out."""
    faint_infinity: np.ndarray
    """Where a visible infinite value meets a weight below e^-87, which the device's exponential makes 0: the output is
    infinite by the definition, NaN by the device's 0 * inf."""
    largest_score: float
    largest_value: float
    weight_sum: float
    column_sum: float
    entropy_slope: float


def four_axes(a: np.ndarray, layout: str) -> np.ndarray:
    """A query, key or value, or what has its axes, as (B, H, rows, size)."""
    if a.ndim == 4:
        return a.transpose(0, 2, 1, 3) if layout == "bshd" else a
    return a[:, None] if a.ndim == 3 else a[None, None]


def callers_axes(a: np.ndarray, rank: int) -> np.ndarray:
    """(B, Hq, ...) as a caller with inputs of that rank has it."""
    return a if rank == 4 else a[:, 0] if rank == 3 else a[0, 0]


def keep_11_bits(a: np.ndarray) -> np.ndarray:
    """Rounded to 11 significant bits, as precision "fast" may."""
    fraction, exponent = np.frexp(a)
    return np.ldexp(np.rint(np.ldexp(fraction, 11)), exponent - 11)


def additive_row(q: np.ndarray, keys: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
    """v^T tanh(W_q q + W_k k + b), with what location-sensitive and coverage scores add inside of the tanh."""
    hidden = keys @ p["w_key"].T + p["w_query"] @ q
    if "bias" in p:
        hidden = hidden + p["bias"]
    if "w_coverage" in p:
        hidden = hidden + np.outer(p["coverage"], p["w_coverage"])
    if "conv" in p:
        channels = [p[name] for name in ("previous_weights", "cumulative_weights") if name in p]
        filters = p["conv"].reshape(len(p["conv"]), len(channels), -1)
        side = filters.shape[2] // 2
        padded = np.pad(channels, ((0, 0), (side, side)))
        found = np.zeros((len(keys), len(filters)), q.dtype)
        for j in range(len(keys)):
            found[j] = (filters * padded[:, j : j + 2 * side + 1]).sum(axis=(1, 2))
        hidden = hidden + found @ p["w_location"].T
    v = p["v"]
    if "g" in p:
        v = p["g"] * v / np.sqrt((v * v).sum())
    return np.tanh(hidden) @ v


def cosine_row(q: np.ndarray, keys: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
    lengths = np.sqrt((q * q).sum()) * np.sqrt((keys * keys).sum(axis=1))
    return p["beta"] * np.where(lengths == 0, 0, keys @ q / np.where(lengths == 0, 1, lengths))


SCORE_ROWS = {
    "scaled-dot": lambda q, keys, p: keys @ q,
    "dot": lambda q, keys, p: keys @ q,
    "general": lambda q, keys, p: keys @ (p["weight"].T @ q),
    "additive": additive_row,
    "location": lambda q, keys, p: p["weight"][: len(keys)] @ q,
    "location-sensitive": additive_row,
    "coverage": additive_row,
    "cosine": cosine_row,
    "rbf": lambda q, keys, p: -p["gamma"] * ((keys - q) ** 2).sum(axis=1),
}
"""A row of scores from a query (D), keys (T, Dk) and the parameters of the row."""

AXES_OF_MATRICES = {"weight": 2, "w_query": 2, "w_key": 2, "v": 1, "bias": 1, "w_location": 2, "w_coverage": 1}
"""Without the axis of heads that may stand in front."""


def of_row(name: str, a: np.ndarray, channels: int, b: int, h: int, i: int) -> np.ndarray:
    """What of a parameter counts for query i of head h of sequence b."""
    if name == "conv":
        return a[h] if a.ndim > channels + 1 else a
    if name in AXES_OF_MATRICES:
        return a[h] if a.ndim > AXES_OF_MATRICES[name] else a
    if name in ("previous_weights", "cumulative_weights", "coverage"):
        return a if a.ndim == 1 else a[b] if a.ndim == 2 else a[b, h]
    if a.ndim < 2:
        return a.reshape(-1)[h if a.size > 1 else 0]
    return a[b, i] if a.ndim == 2 else a[b, h, i]


def softmax(logits: np.ndarray, sink: Any) -> tuple[np.ndarray, Any]:
    """Weights of the visible keys, and the log-sum-exp; `sink` is one more logit, None for none."""
    all_logits = logits if sink is None else np.append(logits, sink)
    top = all_logits.max(initial=-np.inf)
    if top == -np.inf:
        return np.zeros_like(logits), top
    total = np.exp(all_logits - top).sum()
    return np.where(logits == -np.inf, 0, np.exp(logits - top) / total), top + np.log(total)


def sparsemax(z: np.ndarray) -> np.ndarray:
    """max(z - t, 0), with the t that makes 1 of their sum."""
    falling = np.sort(z)[::-1]
    k = np.arange(1, len(z) + 1)
    sums = falling.cumsum()
    count = k[1 + k * falling > sums][-1]
    return np.maximum(z - (sums[count - 1] - 1) / z.dtype.type(count), 0)


def entmax15(z: np.ndarray) -> np.ndarray:
    """max(z / 2 - t, 0)^2, likewise: t is the lower root for the largest k scores of which none lies below it."""
    falling = np.sort(z / 2)[::-1]
    for k in range(1, len(z) + 1):
        largest = falling[:k]
        spread = ((largest - largest.mean()) ** 2).sum()
        if spread > 1 or (root := largest.mean() - np.sqrt((1 - spread) / k)) > largest[-1]:
            break
        threshold = root
    return np.maximum(z / 2 - threshold, 0) ** 2


def of_largest(normalizer: Any, logits: np.ndarray) -> np.ndarray:
    """A normalizer that gives weight to the largest scores alone: a NaN or +infinity among them spoils it."""
    held = logits != -np.inf
    weights = np.zeros_like(logits)
    if held.any():
        top = logits.max()
        weights[held] = normalizer(logits[held] - top) if np.isfinite(top) else np.nan
    return weights


NORMALIZERS = {
    "none": lambda logits: np.where(logits == -np.inf, 0, logits),
    "sigmoid": lambda logits: 1 / (1 + np.exp(-logits)),
    "sparsemax": lambda logits: of_largest(sparsemax, logits),
    "entmax15": lambda logits: of_largest(entmax15, logits),
}
"""Weights of the visible keys, but for softmax."""


def key_looked_at_most(modified: np.ndarray) -> int:
    """The first of the largest, a NaN before all others; -1 where all are hidden."""
    return -1 if (modified == -np.inf).all() else int(modified.argmax())


def entropy_of(row: np.ndarray, normalizer: str) -> tuple[Any, float]:
    """The sum of -w ln w, and by how much it may change where weights err by one."""
    held = row[row > 0].astype(np.float64)
    if normalizer in ("sparsemax", "entmax15"):  # whose weights have absolute errors
        slope = (1 + np.abs(np.log(np.maximum(held, 2.0**-53)))).sum()
    else:
        slope = (held * (1 + np.abs(np.log(held)))).sum()
    return np.where(row == 0, 0, -row * np.log(row)).sum(), float(slope)


def attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    real: type,
    rounded: bool = False,
    score: str = "scaled-dot",
    params: dict[str, Any] | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    causal: bool | str = False,
    alignment: str = "top-left",
    window: tuple[int, int] | None = None,
    mask: Any = None,
    bias: Any = None,
    kv_lengths: Any = None,
    alibi_slopes: Any = None,
    sinks: Any = None,
    normalizer: str = "softmax",
    layout: str = "bhsd",
    scores_stage: str = "raw",
    weights_heads: Any = None,
    weights_rows: Any = None,
    **_outputs: Any,
) -> Results:
    """All outputs, computed in the type `real`; `rounded`: from inputs and weights of 11 bits."""

    def numbers(a: Any) -> np.ndarray:
        return np.asarray(a).astype(np.float64).astype(real)

    rank = np.ndim(value)
    if key is None:
        key = np.zeros_like(value)  # location scores only count them
    q, k, v = (four_axes(numbers(a), layout) for a in (query, key, value))
    if rounded:
        q, k, v = map(keep_11_bits, (q, k, v))
    (B, Hq, S, D), (Hkv, T), Dv = q.shape, k.shape[1:3], v.shape[3]
    p = {name: numbers(a) for name, a in (params or {}).items() if a is not None}
    channels = 1 + ("cumulative_weights" in p)
    if scale is None:
        scale = 1 / np.sqrt(D) if score == "scaled-dot" else 1  # a double, as a given one
    if isinstance(causal, str):
        causal, alignment = True, causal
    square = (B, Hq, S, T) if rank == 4 else (B, S, T) if rank == 3 else (S, T)
    added, allowed = [], np.ones((B, Hq, S, T), bool)
    for given in (bias, mask):
        if given is None:
            continue
        full = four_axes(np.broadcast_to(given, square), "bhsd")
        if full.dtype == np.bool_:
            allowed &= full
        else:
            added.append(numbers(full))
            allowed &= added[-1] != -np.inf
    slopes = None if alibi_slopes is None else numbers(alibi_slopes)
    sinks = None if sinks is None else numbers(sinks)

    output, lse = np.zeros((B, Hq, S, Dv), real), np.zeros((B, Hq, S), real)
    faint_infinity = np.zeros(output.shape, bool)
    weights, scores, all_modified = (np.zeros((B, Hq, S, T), real) for _ in range(3))
    argmax, entropy = np.zeros((B, Hq, S), np.int64), np.zeros((B, Hq, S), real)
    largest_score = largest_value = weight_sum = entropy_slope = 0.0
    j = np.arange(T)
    for b, h, i in np.ndindex(B, Hq, S):
        length = T if kv_lengths is None else int(kv_lengths[b])
        place = i + (length - S if alignment == "bottom-right" else 0)
        keys, values = k[b, h // (Hq // Hkv)], v[b, h // (Hq // Hkv)]

        own = {name: of_row(name, a, channels, b, h, i) for name, a in p.items()}
        raw = real(scale) * SCORE_ROWS[score](q[b, h, i], keys, own)
        capped = real(softcap) * np.tanh(raw / real(softcap)) if softcap else raw
        modified = capped if slopes is None else capped - slopes[h] * np.abs(place - j)
        for term in added:
            modified = modified + term[b, h, i]
        seen = allowed[b, h, i] & (j < length)
        if causal:
            seen &= j <= place
        if window is not None and window[0] >= 0:
            seen &= place - window[0] <= j
        if window is not None and window[1] >= 0:
            seen &= j <= place + window[1]
        modified = np.where(seen, modified, real(-np.inf))

        row, lse[b, h, i] = softmax(modified[seen], None if sinks is None else sinks[h])
        if normalizer != "softmax":
            row = NORMALIZERS[normalizer](modified[seen])
        weights[b, h, i, seen] = row
        all_modified[b, h, i] = modified
        argmax[b, h, i] = key_looked_at_most(modified)
        entropy[b, h, i], slope = entropy_of(row, normalizer)
        entropy_slope = max(entropy_slope, slope)
        scores[b, h, i] = {"raw": raw, "capped": capped, "modified": modified}[scores_stage]
        output[b, h, i] = (keep_11_bits(row) if rounded else row) @ values[seen]
        faint_infinity[b, h, i] = np.isinf(values[seen][np.abs(row) < np.exp(-87)]).any(axis=0)

        counts = modified[seen] if normalizer == "none" else modified[seen][row > 2.0**-53]
        largest_score = max(largest_score, largest(counts), largest(lse[b, h, i]))
        largest_value = max(largest_value, largest(values[seen]))
        weight_sum = max(weight_sum, float(np.abs(row[np.isfinite(row)]).sum()))
    if rank == 4 and layout == "bshd":
        output, faint_infinity = output.transpose(0, 2, 1, 3), faint_infinity.transpose(0, 2, 1, 3)
    column_sums = weights.sum(axis=2)
    column_sum = largest(np.abs(np.where(np.isfinite(weights), weights, 0)).sum(axis=2))
    if weights_heads is not None:
        weights = weights[:, np.asarray(weights_heads, int)]
    if weights_rows is not None:
        weights = weights[:, :, np.asarray(weights_rows, int)]
    found = (output, weights, scores, lse, column_sums, argmax, entropy, all_modified, faint_infinity)
    outputs = (callers_axes(a, rank) for a in found)
    return Results(*outputs, largest_score, largest_value, weight_sum, column_sum, entropy_slope)


def largest(a: Any) -> float:
    """The largest finite magnitude, 0 where there is none."""
    return float(np.abs(a).max(initial=0, where=np.isfinite(a)))


def last_place(dtype: np.dtype, magnitude: float) -> float:
    """The distance between neighbours of that magnitude in a type."""
    info = ml_dtypes.finfo(dtype)
    exponent = max(int(np.frexp(magnitude)[1]) - 1, info.minexp) if magnitude else info.minexp
    return float(np.ldexp(1.0, exponent - info.nmant))


def stored(a: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """`a`, infinite where a type cannot hold it; not rounded."""
    with np.errstate(over="ignore"):
        return np.where(np.isinf(a.astype(np.float64).astype(dtype)), np.copysign(np.inf, a), a)


@dataclass
class Expectation:
    """What one output should be, and how far it may be from that."""

    want: np.ndarray
    asked: np.ndarray
    """False where plain code in the same precision leaves the range of its numbers."""
    bound: float
    """Of a device's error."""
    reference_bound: float
    """Of the error of what computes in wider numbers and rounds once."""

    def error(self, got: np.ndarray) -> float:
        """The largest |got - want|; infinity where only one of them is NaN or infinite, or they differ in sign."""
        assert got.shape == self.want.shape
        got, want = got.astype(self.want.dtype)[self.asked], self.want[self.asked]
        same = (got == want) | (np.isnan(got) & np.isnan(want))
        with np.errstate(invalid="ignore"):
            distance = np.where(same, 0, np.abs(got - want))
        return float(np.where(np.isnan(distance), np.inf, distance).max(initial=0))


@dataclass
class KeyExpectation(Expectation):
    """What an argmax should be. Errors are in scores: another key is as right when its score is as large."""

    modified: np.ndarray

    def error(self, got: np.ndarray) -> float:
        assert got.shape == self.want.shape
        error = 0.0
        for index in np.argwhere(self.asked & (got != self.want)):
            key, best = got[tuple(index)], self.want[tuple(index)]
            there = 0 <= key < self.modified.shape[-1] and best >= 0
            short = self.modified[(*index, best)] - self.modified[(*index, key)] if there else np.inf
            error = max(error, float(short) if np.isfinite(short) else np.inf)
        return error


def expect_keys(exact: Results, plain: Results, roundings: float, of_reference: float) -> KeyExpectation:
    """Rows with a score that plain code in the same precision does not know have nothing to ask for."""
    finite = np.isfinite(exact.modified) & np.isfinite(plain.modified)
    same = (exact.modified == plain.modified) | (np.isnan(exact.modified) & np.isnan(plain.modified))
    apart = np.subtract(exact.modified, plain.modified, where=finite, out=np.zeros_like(exact.modified))
    bound = 2 * largest(apart) + roundings
    return KeyExpectation(exact.argmax, (finite | same).all(axis=-1), bound, of_reference, exact.modified)


OUTPUTS = ("output", "weights", "scores", "lse", "column_sums", "argmax", "entropy")
OF_SUMS = ("lse", "column_sums", "entropy")
"""Those that have the type of the sums."""


def expect(query: Any, key: Any, value: Any, **options: Any) -> dict[str, Expectation]:
    """By output, for the arguments of clattn.attention(): the error budget of docs/numerics.md."""
    dtype = np.asarray(value).dtype.newbyteorder("=")
    f64 = dtype == np.float64
    fast = options.get("precision") == "fast" and not f64
    wide, sums = (np.longdouble, np.float64) if f64 else (np.float64, np.float32)
    with np.errstate(all="ignore"):
        exact = attention(query, key, value, real=wide, **options)
        plain = attention(query, key, value, real=sums, rounded=fast, **options)
    unit = 2.0**-11 if fast else 2.0**-53 if f64 else 2.0**-24
    expectations: dict[str, Expectation] = {}
    for name in OUTPUTS:
        held = np.dtype(sums) if name in OF_SUMS else dtype
        want = stored(getattr(exact, name), held)
        rough = stored(getattr(plain, name).astype(wide), held)
        finite = np.isfinite(want) & np.isfinite(rough)
        asked = finite | (want == rough) | (np.isnan(want) & np.isnan(rough))
        plain_error = largest(np.subtract(rough, want, where=finite, out=np.zeros_like(want)))
        if name == "output":
            asked &= ~exact.faint_infinity
        m = {
            "output": exact.largest_value * max(1.0, exact.weight_sum),
            "column_sums": exact.column_sum,
            "entropy": max(1.0, exact.entropy_slope),
        }.get(name, 1.0)
        peak = largest(np.where(finite, want, 0))
        place = last_place(held, peak)
        # Scores that are given out are scores, also those that no weight depends on.
        s = max(exact.largest_score, peak) if name == "scores" else exact.largest_score

        def rounding(u: float) -> float:
            return 8 * u * (1 + s / 4) * m

        if name == "argmax":
            of_reference = rounding(float(np.finfo(wide).eps) / 2)
            expectations[name] = expect_keys(exact, plain, rounding(unit), of_reference)
            continue
        bound = 2 * plain_error + rounding(unit) + place
        expectations[name] = Expectation(want, asked, bound, rounding(float(np.finfo(wide).eps) / 2) + place)
    return expectations
