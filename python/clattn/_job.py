"""What is to be computed: arguments checked and named, a description, and the library's arguments.

The rules of shapes and values are the library's own (src/problem.c, src/call.c); here is what has a
Python side: words instead of enums, types of arrays, shapes of outputs.

A call is made in two steps. form() knows all but the numbers: it checks and lays out once what calls
that look alike share. A Job adds the addresses of this call's arrays.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from typing import Any, NamedTuple, TypeVar

import numpy as np

from . import _native
from ._arrays import BOOLS, INTEGERS, address, float_code, is_float, lay_out, numbers, tensor
from ._scores import GIVEN, SCORES, check_complete, parameters

NORMALIZERS = {"softmax": 0, "none": 1, "sigmoid": 2, "sparsemax": 3, "entmax15": 4}
ALIGNMENTS = {"top-left": 0, "bottom-right": 1}
LAYOUTS = {"bhsd": 0, "bshd": 1}
PRECISIONS = {"default": 0, "strict": 1, "fast": 2}
STAGES = {"raw": 0, "capped": 1, "modified": 2}

_OUTPUT_BITS = {
    "output": _native.OUTPUT,
    "weights": _native.WEIGHTS,
    "scores": _native.SCORES,
    "lse": _native.LSE,
}

_put_address = struct.Struct("P").pack_into
_new_args = _native.AttentionArgs.from_buffer_copy


class Shape(NamedTuple):
    """An array without its numbers."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]


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


class Output(NamedTuple):
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    address: int
    """Where its address goes in the arguments, in bytes."""


class Form(NamedTuple):
    """All of a call but its numbers."""

    key: tuple
    """The fields of the description, in order."""
    template: bytes
    """The arguments, without addresses."""
    addresses: tuple[int, ...]
    """Where the inputs' addresses go in the arguments, in bytes."""
    outputs: tuple[Output, ...]


_Meaning = TypeVar("_Meaning")


def _choice(table: dict[str, _Meaning], name: str, given: Any) -> _Meaning:
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


def _flag(given: Any, name: str) -> bool:
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


def _variant(given: Any) -> bytes | None:
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
        raise ValueError(f"{name}: {a.max()}, expected a length")
    return a.astype(np.int64)


def _cu_seqlens(q: Any, k: Any, outputs: int) -> list[np.ndarray]:
    for name, bit in (("return_weights", _native.WEIGHTS), ("return_scores", _native.SCORES)):
        if outputs & bit:
            raise ValueError(f"{name}: given with cu_seqlens_q and cu_seqlens_k, expected one of the two")
    for name, given in (("cu_seqlens_q", q), ("cu_seqlens_k", k)):
        if given is None:
            raise ValueError(f"{name}: missing, expected cumulative lengths beside the other's")
    return [_integers(q, "cu_seqlens_q"), _integers(k, "cu_seqlens_k")]


def _modification(given: Any, name: str, sums: np.dtype) -> np.ndarray:
    a = tensor(given, name)
    if not hasattr(given, "dtype") and a.dtype.kind in ("f" if name == "mask" else "iuf"):
        a = a.astype(sums)  # lists and numbers come without a type
    return a


_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)


def _wide(dtype: np.dtype) -> np.dtype:
    """The type of the sums."""
    return _F64 if dtype == _F64 else _F32


def _heads(shape: tuple[int, ...], layout: int, packed: bool) -> int:
    if packed:
        return shape[1]
    return 1 if len(shape) < 4 else shape[2 if layout == _native.BSHD else 1]


def _size(name: str, by_name: dict[str, Shape]) -> int:
    """Of the vectors of an array; 0, which asks the library for its default, where there is none."""
    return by_name[name].shape[-1] if name in by_name else 0


def _check_ranks(by_name: dict[str, Shape], rows: Shape, called: str, packed: bool) -> None:
    """`called`: the caller's name of `rows`, which has the queries' rows."""
    rank = len(by_name["value"].shape)
    for name in ("query", "key", "value"):
        if packed and name in by_name and len(by_name[name].shape) != 3:
            raise ValueError(
                f"{name}: shape {by_name[name].shape}, expected (total, heads, size) with cumulative lengths"
            )
    for said, a in ((called, rows), ("key", by_name.get("key"))):
        if a and len(a.shape) != rank:
            raise ValueError(f"{said}: shape {a.shape}, expected {rank} dimensions as value has")
    if not 2 <= rank <= 4:
        raise ValueError(f"value: shape {by_name['value'].shape}, expected 2, 3 or 4 dimensions")


def _check_heads(name: str, query_heads: int, kv_heads: int) -> None:
    """`name`: of what has the queries' heads."""
    for owner, heads in ((name, query_heads), ("value", kv_heads)):
        if heads == 0:
            raise ValueError(f"{owner}: no heads, expected at least one")
    if query_heads % kv_heads:
        raise ValueError(f"{name}: {query_heads} heads, expected a multiple of the {kv_heads} of value")


def _code(a: Shape, value: Shape) -> int:
    """The library's code of an input's type, where the input may have it."""
    if a.name in ("kv_lengths", "cu_seqlens_q", "cu_seqlens_k"):
        return INTEGERS[a.dtype]
    if a.name == "mask" and a.dtype in BOOLS:
        return _native.BOOL
    if a.name in ("query", "key", "value"):
        if not is_float(a.dtype):
            raise TypeError(f"{a.name}: dtype {a.dtype}, expected float32, float16, bfloat16 or float64")
        if a.dtype != value.dtype:
            raise TypeError(f"{a.name}: dtype {a.dtype}, expected {value.dtype} as value has")
    elif a.name in ("mask", "bias", "given_scores") and a.dtype not in (np.float32, value.dtype):
        name = "weights" if a.name == "given_scores" else a.name
        own = "" if value.dtype == np.float32 else f" or {value.dtype}"
        raise TypeError(f"{name}: dtype {a.dtype}, expected {'bool or ' if name == 'mask' else ''}float32{own}")
    return float_code(a.dtype)


@functools.lru_cache(maxsize=256)
def form(arrays: tuple[tuple, ...], options: Options) -> Form:
    """Checks what calls with such arrays and options share, and lays out their arguments. `arrays`: what a
    Shape has of each."""
    shapes = [Shape(*a) for a in arrays]
    by_name = {a.name: a for a in shapes}
    value = by_name["value"]
    packed = bool(options.flags & _native.PACKED)
    layout = _choice(LAYOUTS, "layout", options.layout)
    # What has the queries' rows, and the axes of its heads: query, or weights in its place.
    if "given_scores" in by_name:
        score, rows, rows_layout, called = GIVEN, by_name["given_scores"], _native.BHSD, "weights"
    else:
        score, rows, rows_layout, called = _choice(SCORES, "score", options.score), by_name["query"], layout, "query"
    codes = [_code(a, value) for a in shapes]
    _check_ranks(by_name, rows, called, packed)
    q_heads, kv_heads = _heads(rows.shape, rows_layout, packed), _heads(value.shape, layout, packed)
    _check_heads(called, q_heads, kv_heads)
    check_complete(by_name, score, options.score)
    for name in ("query", "key", "value", "params.v"):
        if name in by_name and by_name[name].shape[-1] == 0:
            raise ValueError(f"{name}: shape {by_name[name].shape}, expected vectors of at least one element")
    args = _native.AttentionArgs(ctypes.sizeof(_native.AttentionArgs))
    for a, of_type in zip(shapes, codes):
        lay_out(args, a.name, of_type, a.shape, a.strides, a.dtype.itemsize)
    key = (
        float_code(value.dtype),
        layout,
        score.code,
        _choice(NORMALIZERS, "normalizer", options.normalizer),
        _choice(ALIGNMENTS, "alignment", options.alignment),
        _choice(PRECISIONS, "precision", options.precision),
        options.flags,
        options.outputs,
        _choice(STAGES, "scores_stage", options.scores_stage),
        q_heads,
        kv_heads,
        _size("query", by_name),
        value.shape[-1],
        options.scale,
        options.softcap,
        *options.window,
        _variant(options.variant),
        _size("key", by_name) if score.has_key_size else 0,
        _size("params.v", by_name),
    )
    if packed:
        shapes_of_outputs = _packed_outputs(rows, value)
    else:
        shapes_of_outputs = _outputs(by_name, rows, rows_layout, layout)
    outputs = _lay_out_outputs(args, options.outputs, shapes_of_outputs, value)
    addresses = tuple(_native.address_offsets[a.name] for a in shapes)
    return Form(key, bytes(args), addresses, outputs)


def _outputs(by_name: dict[str, Shape], rows: Shape, rows_layout: int, layout: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the outputs. `rows` has the queries' rows in `rows_layout`."""
    value = by_name["value"]
    rank = len(value.shape)
    first = rows.shape[:-1]
    turned = (first[0], first[2], first[1]) if rank == 4 else first
    bhs, bsh = (turned, first) if rows_layout == _native.BSHD else (first, turned)
    T = value.shape[1 if rank == 4 and layout == _native.BSHD else -2]
    if "key" in by_name:
        key = by_name["key"].shape
        T = key[1 if rank == 4 and layout == _native.BSHD else -2]
    return {
        "output": (*(bsh if layout == _native.BSHD else bhs), value.shape[-1]),
        "weights": (*bhs, T),
        "scores": (*bhs, T),
        "lse": bhs,
    }


def _packed_outputs(query: Shape, value: Shape) -> dict[str, tuple[int, ...]]:
    total, heads = query.shape[:2]
    return {"output": (total, heads, value.shape[-1]), "lse": (heads, total)}


def _lay_out_outputs(
    args: _native.AttentionArgs, wanted: int, shapes: dict[str, tuple[int, ...]], value: Shape
) -> tuple[Output, ...]:
    """Those of the shapes that are wanted, laid out in `args`."""
    found = []
    for name, shape in shapes.items():
        dtype = _wide(value.dtype) if name == "lse" else value.dtype
        if wanted & _OUTPUT_BITS[name]:
            lay_out(args, name, float_code(dtype), shape, None, dtype.itemsize)
            found.append(Output(name, shape, dtype, _native.address_offsets[name]))
    return tuple(found)


def _form(arrays: tuple[tuple, ...], options: Options) -> Form:
    try:
        return form(arrays, options)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return form.__wrapped__(arrays, options)  # which says whose fault it is


class Job:
    """A description (`key`: its fields in order), and the arguments of its run. Holds the arrays whose memory
    they name."""

    __slots__ = ("key", "args", "outputs", "names", "kept")

    def __init__(self, arrays: dict[str, np.ndarray], options: Options):
        shapes = tuple([(name, a.dtype, a.shape, a.strides) for name, a in arrays.items()])
        made = _form(shapes, options)
        args = _new_args(made.template)
        for a, at in zip(arrays.values(), made.addresses):
            _put_address(args, at, address(a))
        self.key = made.key
        self.kept = arrays
        self.outputs: list[np.ndarray] = []
        self.names = [output.name for output in made.outputs]
        for output in made.outputs:
            a = np.empty(output.shape, output.dtype)
            _put_address(args, output.address, address(a))
            self.outputs.append(a)
        self.args = args

    def results(self) -> Any:
        return self.outputs[0] if len(self.outputs) == 1 else tuple(self.outputs)

    def desc(self) -> _native.AttentionDesc:
        return _native.AttentionDesc(ctypes.sizeof(_native.AttentionDesc), *self.key)


def describe(
    query: Any,
    key: Any,
    value: Any,
    *,
    score: Any = "scaled-dot",
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
    return_weights: Any = False,
    return_scores: Any = False,
    scores_stage: Any = "raw",
    return_lse: Any = False,
) -> Job:
    """A job from the arguments of clattn.attention(); `device` is its caller's business."""
    arrays = {"query": tensor(query, "query"), "value": tensor(value, "value")}
    if key is not None or score != "location":
        arrays["key"] = tensor(key, "key")
    flags, outputs, scale_number = 0, _native.OUTPUT, 0.0
    sums = _wide(arrays["value"].dtype)
    if params is not None:
        arrays.update(parameters(params, _choice(SCORES, "score", score), score, sums))
    causal, alignment = _causal(causal, alignment)
    if causal:
        flags |= _native.CAUSAL
    if window is not None:
        window = _window(window)
        flags |= _native.WINDOW
    if scale is not None:
        scale_number = _number(scale, "scale")
        flags |= _native.SCALE
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
    if _flag(return_weights, "return_weights"):
        outputs |= _native.WEIGHTS
    if _flag(return_scores, "return_scores"):
        outputs |= _native.SCORES
    if _flag(return_lse, "return_lse"):
        outputs |= _native.LSE
    if cu_seqlens_q is not None or cu_seqlens_k is not None:
        arrays["cu_seqlens_q"], arrays["cu_seqlens_k"] = _cu_seqlens(cu_seqlens_q, cu_seqlens_k, outputs)
        flags |= _native.PACKED
    softcap = 0.0 if softcap is None else _number(softcap, "softcap")
    options = Options(
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
    )
    return Job(arrays, options)


def describe_given(weights: Any, value: Any, layout: Any, precision: Any, variant: Any) -> Job:
    """A job that takes `weights` as they are: output = weights @ value."""
    arrays = {"given_scores": tensor(weights, "weights"), "value": tensor(value, "value")}
    return Job(arrays, Options(normalizer="none", layout=layout, precision=precision, variant=variant))
