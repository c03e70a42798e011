"""What is to be computed: arguments checked and named, a description, and the library's arguments.

The rules of shapes and values are the library's own (src/problem.c, src/call.c); here is what has a
Python side: words instead of enums, types of arrays, shapes of outputs, packed sequences.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from . import _native
from ._arrays import BOOLS, INTEGERS, array, float_code, floats, native, put

SCORES = {"scaled-dot": 0, "dot": 1}
NORMALIZERS = {"softmax": 0, "none": 1}
ALIGNMENTS = {"top-left": 0, "bottom-right": 1}
LAYOUTS = {"bhsd": 0, "bshd": 1}
PRECISIONS = {"default": 0, "strict": 1, "fast": 2}
STAGES = {"raw": 0, "capped": 1, "modified": 2}

_ARGS_SIZE = ctypes.sizeof(_native.AttentionArgs)


def _choice(table: dict[str, int], name: str, given: Any) -> int:
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


def _causal(given: Any, alignment: Any) -> tuple[bool, Any]:
    if isinstance(given, str):
        if given not in ALIGNMENTS:
            raise ValueError(f"causal: {given!r}, expected True, False, 'top-left' or 'bottom-right'")
        return True, given
    if given is not False and given is not True and not isinstance(given, np.bool_):
        raise TypeError(f"causal: {given!r}, expected True, False or 'bottom-right'")
    return bool(given), alignment


def _window(given: Any) -> tuple[int, int]:
    try:
        left, right = (side.__index__() for side in given)
        if not (-1 <= left < 2**63 and -1 <= right < 2**63):
            raise ValueError
    except (TypeError, ValueError, AttributeError):
        raise ValueError(
            f"window: {given!r}, expected (left, right), two integers from -1 (-1: no bound)"
        ) from None
    return left, right


def _check_params(score: str, params: Any) -> None:
    if params is None:
        return
    if not hasattr(params, "keys"):
        raise TypeError(f"params: {params!r}, expected a dict of arrays by name")
    for name in params:
        raise ValueError(f"params: {name!r}, expected none, as the score {score!r} takes no parameters")


def _per_head(given: Any, name: str) -> np.ndarray:
    a = array(given, name)
    return floats(a.astype(np.float64) if a.dtype.kind in "iu" else a, name)


def _integers(given: Any, name: str) -> np.ndarray:
    a = array(given, name)
    if a.dtype in INTEGERS:
        return a
    if a.dtype.kind not in "iu" and a.size:
        raise TypeError(f"{name}: dtype {a.dtype}, expected integers")
    if a.dtype.kind == "u" and (a > np.iinfo(np.int64).max).any():
        raise ValueError(f"{name}: {a.max()}, expected a length")
    return a.astype(np.int64)


class Job:
    """A description (`key`: its fields in order), and the arguments of its runs: one, or one for each
    packed sequence. Holds the arrays whose memory they name."""

    __slots__ = ("dtype", "code", "wide", "layout", "key", "runs", "outputs", "names", "kept", "starts")

    def __init__(self, value: np.ndarray, layout: int):
        self.dtype = value.dtype
        self.code = float_code(value.dtype)
        self.wide = np.dtype(np.float64 if self.code == _native.F64 else np.float32)
        self.layout = layout
        self.key: tuple = ()
        self.runs: list[_native.AttentionArgs] = []
        self.outputs: list[np.ndarray] = []
        self.names: list[str] = []
        self.kept: list[np.ndarray] = []
        self.starts: list[int] = []

    def results(self) -> Any:
        return self.outputs[0] if len(self.outputs) == 1 else tuple(self.outputs)

    def desc(self) -> _native.AttentionDesc:
        return _native.AttentionDesc(ctypes.sizeof(_native.AttentionDesc), *self.key)

    def put(self, args: _native.AttentionArgs, name: str, a: np.ndarray, code: int) -> None:
        self.kept.append(put(args, name, a, code))

    def put_float(self, args: _native.AttentionArgs, name: str, a: np.ndarray) -> None:
        self.put(args, name, a, float_code(a.dtype))

    def same_type(self, given: Any, name: str) -> np.ndarray:
        a = floats(given, name)
        if a.dtype != self.dtype:
            raise TypeError(f"{name}: dtype {a.dtype}, expected {self.dtype} as value has")
        return a

    def put_modification(self, args: _native.AttentionArgs, name: str, given: Any, may_be_bool: bool) -> None:
        a = native(array(given, name))
        if not hasattr(given, "dtype") and a.dtype.kind in "iuf":
            a = a.astype(self.wide)  # lists and numbers come without a type
        code = BOOLS.get(a.dtype) if may_be_bool else None
        if code is None:
            code = float_code(a.dtype)
            if code not in (_native.F32, self.code):
                own = "" if self.dtype == np.float32 else f" or {self.dtype}"
                raise TypeError(f"{name}: dtype {a.dtype}, expected {'bool or ' if may_be_bool else ''}float32{own}")
        self.put(args, name, a if a.ndim else a.reshape(1), code)

    def add_output(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        a = np.empty(shape, dtype)
        self.outputs.append(a)
        self.names.append(name)
        return a

    def add_outputs(self, args: _native.AttentionArgs, wanted: int, shape: tuple[int, ...], T: int, Dv: int) -> None:
        """`shape` is the query's."""
        if wanted & _native.OUTPUT:
            put(args, "output", self.add_output("output", (*shape[:-1], Dv), self.dtype), self.code)
        rows = shape[:-1]
        if self.layout == _native.BSHD and len(shape) == 4:
            rows = (shape[0], shape[2], shape[1])
        if wanted & _native.WEIGHTS:
            put(args, "weights", self.add_output("weights", (*rows, T), self.dtype), self.code)
        if wanted & _native.SCORES:
            put(args, "scores", self.add_output("scores", (*rows, T), self.dtype), self.code)
        if wanted & _native.LSE:
            a = self.add_output("lse", rows, self.wide)
            put(args, "lse", a, float_code(a.dtype))


def _check_sizes(name: str, shape: tuple[int, ...], rank: int, like: str) -> None:
    if len(shape) != rank:
        raise ValueError(f"{name}: shape {shape}, expected {rank} dimensions as {like} has")


def _heads(shape: tuple[int, ...], layout: int) -> int:
    return 1 if len(shape) < 4 else shape[2 if layout == _native.BSHD else 1]


def _check_heads(name: str, query_heads: int, kv_heads: int) -> None:
    """`name`: of what has the queries' heads."""
    for tensor, heads in ((name, query_heads), ("value", kv_heads)):
        if heads == 0:
            raise ValueError(f"{tensor}: no heads, expected at least one")
    if query_heads % kv_heads:
        raise ValueError(f"{name}: {query_heads} heads, expected a multiple of the {kv_heads} of value")


def _check_vectors(name: str, shape: tuple[int, ...]) -> None:
    if shape[-1] == 0:
        raise ValueError(f"{name}: shape {shape}, expected vectors of at least one element")


def describe(
    query: Any,
    key: Any,
    value: Any,
    *,
    score: str = "scaled-dot",
    params: Any = None,
    scale: Any = None,
    softcap: Any = None,
    causal: Any = False,
    alignment: Any = "top-left",
    window: Any = None,
    mask: Any = None,
    bias: Any = None,
    kv_lengths: Any = None,
    cu_seqlens_q: Any = None,
    cu_seqlens_k: Any = None,
    alibi_slopes: Any = None,
    sinks: Any = None,
    normalizer: Any = "softmax",
    layout: Any = "bhsd",
    precision: Any = "default",
    device: Any = None,
    variant: Any = None,
    return_weights: bool = False,
    return_scores: bool = False,
    scores_stage: Any = "raw",
    return_lse: bool = False,
) -> Job:
    """A job from the arguments of clattn.attention(); `device` is its caller's business."""
    value = floats(value, "value")
    job = Job(value, _choice(LAYOUTS, "layout", layout))
    query, key = job.same_type(query, "query"), job.same_type(key, "key")
    causal, alignment = _causal(causal, alignment)
    score_code = _choice(SCORES, "score", score)
    _check_params(score, params)
    outputs = _native.OUTPUT
    flags = left = right = 0
    if return_weights:
        outputs |= _native.WEIGHTS
    if return_scores:
        outputs |= _native.SCORES
    if return_lse:
        outputs |= _native.LSE
    if causal:
        flags |= _native.CAUSAL
    if window is not None:
        left, right = _window(window)
        flags |= _native.WINDOW
    if scale is not None:
        scale = _number(scale, "scale")
        flags |= _native.SCALE
    modifications = {"mask": mask, "bias": bias, "kv_lengths": kv_lengths}
    packed = cu_seqlens_q is not None or cu_seqlens_k is not None
    if packed:
        lengths = _packed_lengths(query, key, value, cu_seqlens_q, cu_seqlens_k)
        refused = {**modifications, "return_weights": return_weights or None, "return_scores": return_scores or None}
        for name, given in refused.items():
            if given is not None:
                raise ValueError(f"{name}: given with cu_seqlens_q and cu_seqlens_k, expected one of the two")
        job.layout = _native.BSHD
        q_heads, kv_heads = query.shape[1], value.shape[1]
    else:
        rank = value.ndim
        _check_sizes("query", query.shape, rank, "value")
        _check_sizes("key", key.shape, rank, "value")
        if not 2 <= rank <= 4:
            raise ValueError(f"value: shape {value.shape}, expected 2, 3 or 4 dimensions")
        q_heads, kv_heads = _heads(query.shape, job.layout), _heads(value.shape, job.layout)
    _check_heads("query", q_heads, kv_heads)
    _check_vectors("query", query.shape)
    _check_vectors("value", value.shape)
    args = _native.AttentionArgs(_ARGS_SIZE)
    if mask is not None:
        job.put_modification(args, "mask", mask, True)
        flags |= _native.MASK
    if bias is not None:
        job.put_modification(args, "bias", bias, False)
        flags |= _native.BIAS
    if kv_lengths is not None:
        a = _integers(kv_lengths, "kv_lengths")
        job.put(args, "kv_lengths", a if a.ndim else a.reshape(1), INTEGERS[a.dtype])
        flags |= _native.KV_LENGTHS
    if alibi_slopes is not None:
        job.put_float(args, "alibi_slopes", _per_head(alibi_slopes, "alibi_slopes"))
        flags |= _native.ALIBI
    if sinks is not None:
        job.put_float(args, "sinks", _per_head(sinks, "sinks"))
        flags |= _native.SINKS
    job.key = (
        job.code,
        job.layout,
        score_code,
        _choice(NORMALIZERS, "normalizer", normalizer),
        _choice(ALIGNMENTS, "alignment", alignment),
        _choice(PRECISIONS, "precision", precision),
        flags,
        outputs,
        _choice(STAGES, "scores_stage", scores_stage),
        q_heads,
        kv_heads,
        query.shape[-1],
        value.shape[-1],
        scale or 0.0,
        0.0 if softcap is None else _number(softcap, "softcap"),
        left,
        right,
        _variant(variant),
    )
    if packed:
        _add_sequences(job, args, query, key, value, lengths, outputs)
        return job
    for name, a in (("query", query), ("key", key), ("value", value)):
        job.put(args, name, a, job.code)
    T = key.shape[-3 if len(key.shape) == 4 and job.layout == _native.BSHD else -2]
    job.add_outputs(args, outputs, query.shape, T, value.shape[-1])
    job.runs.append(args)
    return job


def _variant(given: Any) -> bytes | None:
    if given is None:
        return None
    if not isinstance(given, str):
        raise TypeError(f"variant: {given!r}, expected the name of a variant or None")
    return given.encode()


def describe_given(weights: Any, value: Any, layout: Any, precision: Any, variant: Any) -> Job:
    """A job that takes `weights` as they are: output = weights @ value."""
    value = floats(value, "value")
    job = Job(value, _choice(LAYOUTS, "layout", layout))
    weights = floats(weights, "weights")
    if weights.dtype not in (job.dtype, np.dtype(np.float32)):
        raise TypeError(f"weights: dtype {weights.dtype}, expected {job.dtype} as value has, or float32")
    rank = value.ndim
    _check_sizes("weights", weights.shape, rank, "value")
    if not 2 <= rank <= 4:
        raise ValueError(f"value: shape {value.shape}, expected 2, 3 or 4 dimensions")
    q_heads, kv_heads = _heads(weights.shape, _native.BHSD), _heads(value.shape, job.layout)
    _check_heads("weights", q_heads, kv_heads)
    _check_vectors("value", value.shape)
    job.key = (
        job.code,
        job.layout,
        _native.SCORE_GIVEN,
        _native.NORMALIZER_NONE,
        0,
        _choice(PRECISIONS, "precision", precision),
        0,
        _native.OUTPUT,
        0,
        q_heads,
        kv_heads,
        0,
        value.shape[-1],
        0.0,
        0.0,
        0,
        0,
        _variant(variant),
    )
    args = _native.AttentionArgs(_ARGS_SIZE)
    job.put_float(args, "given_scores", weights)
    job.put(args, "value", value, job.code)
    rows = weights.shape[:-1]
    if rank == 4 and job.layout == _native.BSHD:
        rows = (rows[0], rows[2], rows[1])
    put(args, "output", job.add_output("output", (*rows, value.shape[-1]), job.dtype), job.code)
    job.runs.append(args)
    return job


def _packed_lengths(query: np.ndarray, key: np.ndarray, value: np.ndarray, q: Any, k: Any) -> list[list[int]]:
    """The cumulative lengths of queries and of keys, from 0 to their totals, never falling."""
    both = []
    for name, given, tensor, a in (("cu_seqlens_q", q, "query", query), ("cu_seqlens_k", k, "key", key)):
        if given is None:
            raise ValueError(f"{name}: missing, expected cumulative lengths of {tensor} beside the other's")
        lengths = _integers(given, name)
        if lengths.ndim != 1 or len(lengths) < 1:
            raise ValueError(f"{name}: shape {lengths.shape}, expected (B + 1)")
        if a.ndim != 3:
            raise ValueError(f"{tensor}: shape {a.shape}, expected (total, heads, size) with cumulative lengths")
        lengths = lengths.tolist()
        if lengths[0] != 0 or lengths[-1] != a.shape[0]:
            raise ValueError(
                f"{name}: from {lengths[0]} to {lengths[-1]}, expected from 0 to {a.shape[0]}, the rows of {tensor}"
            )
        for b, (first, last) in enumerate(zip(lengths, lengths[1:])):
            if last < first:
                raise ValueError(f"{name}: element {b + 1} is {last} after {first}, expected lengths that never fall")
        both.append(lengths)
    if value.ndim != 3 or value.shape[:2] != key.shape[:2]:
        raise ValueError(f"value: shape {value.shape}, expected ({key.shape[0]}, {key.shape[1]}, Dv) as key has")
    if len(both[0]) != len(both[1]):
        raise ValueError(f"cu_seqlens_k: {len(both[1])} elements, expected {len(both[0])} as cu_seqlens_q has")
    return both


def _add_sequences(
    job: Job,
    args: _native.AttentionArgs,
    query: np.ndarray,
    key: np.ndarray,
    value: np.ndarray,
    lengths: list[list[int]],
    wanted: int,
) -> None:
    """One run for each sequence, on views of the packed arrays; `args` has what all share."""
    output = job.add_output("output", (*query.shape[:2], value.shape[2]), job.dtype)
    lse = job.add_output("lse", query.shape[1::-1], job.wide) if wanted & _native.LSE else None
    for q, q_end, k, k_end in zip(lengths[0], lengths[0][1:], lengths[1], lengths[1][1:]):
        if q == q_end:
            continue
        one = _native.AttentionArgs.from_buffer_copy(args)
        for name, a, first, last in (
            ("query", query, q, q_end),
            ("key", key, k, k_end),
            ("value", value, k, k_end),
            ("output", output, q, q_end),
        ):
            job.put(one, name, a[None, first:last], job.code)
        if lse is not None:
            job.put(one, "lse", lse[None, :, q:q_end], float_code(lse.dtype))
        job.runs.append(one)
        job.starts.append(q)
