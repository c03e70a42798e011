"""What callers of the package say, checked and named: words, numbers and arrays.

The rules of shapes and values are the library's own (src/problem.c, src/call.c); here is what has a
Python side: words instead of enums, types of arrays.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple, TypeVar

import numpy as np

from . import _native
from ._arrays import INTEGERS, numbers, tensor
from ._keys import ProjectedKeys, Projection
from ._scores import SCORES, parameters

NORMALIZERS = {"softmax": 0, "none": 1, "sigmoid": 2, "sparsemax": 3, "entmax15": 4}
ALIGNMENTS = {"top-left": 0, "bottom-right": 1}
LAYOUTS = {"bhsd": 0, "bshd": 1}
PRECISIONS = {"default": 0, "strict": 1, "fast": 2}
STAGES = {"raw": 0, "capped": 1, "modified": 2}


class Options(NamedTuple):
    """What a description says in words and numbers, with the defaults of the C library's enums."""

    score: Any = "scaled-dot"
    normalizer: Any = "softmax"
    alignment: Any = "top-left"
    layout: Any = "bhsd"
    precision: Any = "default"
    scores_stage: Any = "raw"
    flags: int = 0
    outputs: int = _native.OUTPUT
    scale: float = 0.0
    softcap: float = 0.0
    window: tuple[int, int] = (0, 0)
    variant: Any = None
    dropout: float = 0.0
    projection: Projection | None = None
    """Of keys that come projected."""
    direction: int = _native.FORWARD
    gradients: tuple[str, ...] = ()
    """With direction BACKWARD, of which arrays; `outputs` says then of what gradients come in."""


_Meaning = TypeVar("_Meaning")


def choice(table: dict[str, _Meaning], name: str, given: Any) -> _Meaning:
    try:
        return table[given]
    except (KeyError, TypeError):
        raise ValueError(f"{name}: {given!r}, expected one of {', '.join(map(repr, table))}") from None


def _number(given: Any, name: str) -> float:
    if not isinstance(given, (str, bytes)):
        try:
            return float(given)
        except OverflowError:
            raise ValueError(f"{name}: {given!r}, expected a finite number") from None
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{name}: {given!r}, expected a number")


def count(given: Any, name: str, least: int, bits: int = 63) -> int:
    try:
        number = operator.index(given)
    except TypeError:
        number = None
    if number is None or isinstance(given, bool):
        raise TypeError(f"{name}: {given!r}, expected an integer from {least}")
    if number < least or number >> bits:
        raise ValueError(f"{name}: {number}, expected an integer from {least}, below 2**{bits}")
    return number


def flag(given: Any, name: str) -> bool:
    if given is False or given is True:
        return given
    if not isinstance(given, (int, np.bool_)):
        raise TypeError(f"{name}: {given!r}, expected True or False")
    return bool(given)


def _causal(given: Any, alignment: Any) -> tuple[bool, Any]:
    if given is False or given is True:
        return given, alignment
    if isinstance(given, str):
        if given not in ALIGNMENTS:
            raise ValueError(f"causal: {given!r}, expected True, False, 'top-left' or 'bottom-right'")
        return True, given
    if not isinstance(given, np.bool_):
        raise TypeError(f"causal: {given!r}, expected True, False or 'bottom-right'")
    return bool(given), alignment


def _window(given: Any) -> tuple[int, int]:
    try:
        left, right = (side.__index__() for side in given)
        if not (-1 <= left < 2**63 and -1 <= right < 2**63):
            raise ValueError
    except (TypeError, ValueError, AttributeError):
        raise ValueError(f"window: {given!r}, expected (left, right), two integers from -1 (-1: no bound)") from None
    return left, right


def variant_name(given: Any) -> bytes | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise TypeError(f"variant: {given!r}, expected the name of a variant or None")
    return _native.encoded(given, "variant")


def _integers(given: Any, name: str) -> np.ndarray:
    a = tensor(given, name)
    if a.dtype in INTEGERS:
        return a
    if a.dtype.kind not in "iu" and a.size:
        raise TypeError(f"{name}: dtype {a.dtype}, expected integers")
    if a.dtype.kind == "u" and (a > np.iinfo(np.int64).max).any():
        raise ValueError(f"{name}: {a.max()}, expected an integer below 2**63")
    return a.astype(np.int64)


_NOT_PACKED = {
    "return_weights": _native.WEIGHTS,
    "return_scores": _native.SCORES,
    "return_column_sums": _native.COLUMN_SUMS,
    "return_argmax": _native.ARGMAX,
    "return_entropy": _native.ENTROPY,
}


def _cu_seqlens(q: Any, k: Any, outputs: int) -> list[np.ndarray]:
    for name, bit in _NOT_PACKED.items():
        if outputs & bit:
            raise ValueError(f"{name}: given with cu_seqlens_q and cu_seqlens_k, expected one of the two")
    for name, given in (("cu_seqlens_q", q), ("cu_seqlens_k", k)):
        if given is None:
            raise ValueError(f"{name}: missing, expected cumulative lengths beside the other's")
    return [_integers(q, "cu_seqlens_q"), _integers(k, "cu_seqlens_k")]


def _chosen(given: Any, name: str, outputs: int) -> np.ndarray:
    """Of which heads or rows weights are given out."""
    if not outputs & _native.WEIGHTS:
        raise ValueError(f"{name}: given without return_weights=True, expected both")
    return _integers(given, name)


def _modification(given: Any, name: str, sums: np.dtype) -> np.ndarray:
    a = tensor(given, name)
    if not hasattr(given, "dtype") and a.dtype.kind in ("f" if name == "mask" else "iuf"):
        a = a.astype(sums)  # lists and numbers come without a type
    return a


_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)


def wide(dtype: np.dtype) -> np.dtype:
    """The type of the sums."""
    return _F64 if dtype == _F64 else _F32


def words(options: Options) -> tuple[int, ...]:
    """The library's numbers for what the options say in words, but for the score."""
    return (
        choice(LAYOUTS, "layout", options.layout),
        choice(NORMALIZERS, "normalizer", options.normalizer),
        choice(ALIGNMENTS, "alignment", options.alignment),
        choice(PRECISIONS, "precision", options.precision),
        choice(STAGES, "scores_stage", options.scores_stage),
    )


def settings(
    score: Any = "scaled-dot",
    scale: Any = None,
    softcap: Any = None,
    causal: Any = False,
    alignment: Any = "top-left",
    window: Any = None,
    *,
    normalizer: Any = "softmax",
    layout: Any = "bhsd",
    precision: Any = "default",
    variant: Any = None,
    dropout: Any = 0.0,
    return_weights: Any = False,
    return_scores: Any = False,
    scores_stage: Any = "raw",
    return_lse: Any = False,
    return_column_sums: Any = False,
    return_argmax: Any = False,
    return_entropy: Any = False,
) -> Options:
    """What a caller asks for beside the arrays."""
    flags, outputs, scale_number = 0, _native.OUTPUT, 0.0
    causal, alignment = _causal(causal, alignment)
    if causal:
        flags |= _native.CAUSAL
    if window is not None:
        window = _window(window)
        flags |= _native.WINDOW
    if scale is not None:
        scale_number = _number(scale, "scale")
        flags |= _native.SCALE
    if flag(return_weights, "return_weights"):
        outputs |= _native.WEIGHTS
    if flag(return_scores, "return_scores"):
        outputs |= _native.SCORES
    if flag(return_lse, "return_lse"):
        outputs |= _native.LSE
    if flag(return_column_sums, "return_column_sums"):
        outputs |= _native.COLUMN_SUMS
    if flag(return_argmax, "return_argmax"):
        outputs |= _native.ARGMAX
    if flag(return_entropy, "return_entropy"):
        outputs |= _native.ENTROPY
        if normalizer == "none":
            raise ValueError("return_entropy: given with normalizer 'none', whose weights may be negative")
    softcap = 0.0 if softcap is None else _number(softcap, "softcap")
    return Options(
        score,
        normalizer,
        alignment,
        layout,
        precision,
        scores_stage,
        flags,
        outputs,
        scale_number,
        softcap,
        window or (0, 0),
        variant,
        _number(dropout, "dropout"),
    )


def gather(
    arrays: dict[str, np.ndarray],
    key: Any,
    value: Any,
    options: Options,
    *,
    params: Any = None,
    mask: Any = None,
    bias: Any = None,
    kv_lengths: Any = None,
    cu_seqlens_q: Any = None,
    cu_seqlens_k: Any = None,
    alibi_slopes: Any = None,
    sinks: Any = None,
    weights_heads: Any = None,
    weights_rows: Any = None,
) -> Options:
    """Adds what is given to `arrays`, and to the options what they have to say of it."""
    flags = 0
    arrays["value"] = tensor(value, "value")
    if isinstance(key, ProjectedKeys):
        options = options._replace(projection=key.projection)
        flags |= _native.PROJECTED_KEYS
    elif key is not None or options.score != "location":
        arrays["key"] = tensor(key, "key")
    sums = wide(arrays["value"].dtype)
    if params is not None:
        arrays.update(parameters(params, choice(SCORES, "score", options.score), options.score, sums))
    if mask is not None:
        arrays["mask"] = _modification(mask, "mask", sums)
        flags |= _native.MASK
    if bias is not None:
        arrays["bias"] = _modification(bias, "bias", sums)
        flags |= _native.BIAS
    if kv_lengths is not None:
        arrays["kv_lengths"] = _integers(kv_lengths, "kv_lengths")
        flags |= _native.KV_LENGTHS
    if alibi_slopes is not None:
        arrays["alibi_slopes"] = numbers(alibi_slopes, "alibi_slopes", sums)
        flags |= _native.ALIBI
    if sinks is not None:
        arrays["sinks"] = numbers(sinks, "sinks", sums)
        flags |= _native.SINKS
    if cu_seqlens_q is not None or cu_seqlens_k is not None:
        arrays["cu_seqlens_q"], arrays["cu_seqlens_k"] = _cu_seqlens(cu_seqlens_q, cu_seqlens_k, options.outputs)
        flags |= _native.PACKED
    if weights_heads is not None:
        arrays["weights_heads"] = _chosen(weights_heads, "weights_heads", options.outputs)
        flags |= _native.WEIGHTS_HEADS
    if weights_rows is not None:
        arrays["weights_rows"] = _chosen(weights_rows, "weights_rows", options.outputs)
        flags |= _native.WEIGHTS_ROWS
    return options._replace(flags=options.flags | flags) if flags else options
