"""What is to be computed: a description, and the library's arguments.

A call is made in two steps. form() knows all but the numbers: it checks and lays out once what calls
that look alike share. A Job adds the addresses of this call's arrays.
"""

from __future__ import annotations

import ctypes
import functools
import operator
from typing import Any, NamedTuple

import numpy as np

from . import _native
from ._arrays import BOOLS, INTEGERS, address, float_code, is_float, lay_out, put_address, tensor
from ._keys import ProjectedKeys, Projection
from ._options import LAYOUTS, Options, choice, count, gather, settings, variant_name, wide, words
from ._scores import GIVEN, SCORES, STATES, Score, check_complete, parameters

_OUTPUT_BITS = {
    "output": _native.OUTPUT,
    "weights": _native.WEIGHTS,
    "scores": _native.SCORES,
    "lse": _native.LSE,
    "column_sums": _native.COLUMN_SUMS,
    "argmax": _native.ARGMAX,
    "entropy": _native.ENTROPY,
}
_OF_SUMS = ("lse", "column_sums", "entropy")
"""Outputs that have the type of the sums."""

_INT64 = np.dtype(np.int64)

_GRADIENT_BITS = {
    "query": _native.GRAD_QUERY,
    "key": _native.GRAD_KEY,
    "value": _native.GRAD_VALUE,
    "given_scores": _native.GRAD_GIVEN_SCORES,
    "bias": _native.GRAD_BIAS,
    "alibi_slopes": _native.GRAD_ALIBI_SLOPES,
    "sinks": _native.GRAD_SINKS,
}
"""Those of parameters have one in common."""

_RESULTS = {
    "output": "output",
    "lse": "lse",
    "weights": "weights",
    "grad.output": "grad_output",
    "grad.weights": "grad_weights",
    "grad.lse": "grad_lse",
}
"""What backward reads beside forward's inputs, and what a caller calls it."""

_GIVEN = frozenset(gather.__kwdefaults__ or ())
"""The keywords of attention() that are no words or numbers."""

_new_args = _native.AttentionArgs.from_buffer_copy


class Shape(NamedTuple):
    """An array without its numbers."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Sizes(NamedTuple):
    """Of a description; 0 asks the library for its default."""

    query_heads: int
    kv_heads: int
    query: int
    value: int = 0
    key: int = 0
    hidden: int = 0


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


def _heads(shape: tuple[int, ...], layout: int, packed: bool) -> int:
    if packed:
        return shape[1]
    return 1 if len(shape) < 4 else shape[2 if layout == _native.BSHD else 1]


def _length(shape: tuple[int, ...], layout: int) -> int:
    """T, of a key or value."""
    return shape[1 if len(shape) == 4 and layout == _native.BSHD else -2]


def _fields(options: Options, score: Score, dtype: np.dtype, sizes: Sizes) -> tuple:
    """A description's, in order."""
    layout, normalizer, alignment, precision, stage = words(options)
    return (
        float_code(dtype),
        layout,
        score.code,
        normalizer,
        alignment,
        precision,
        options.flags,
        options.outputs,
        stage,
        sizes.query_heads,
        sizes.kv_heads,
        sizes.query,
        sizes.value,
        options.scale,
        options.softcap,
        *options.window,
        variant_name(options.variant),
        sizes.key if score.has_key_size else 0,
        sizes.hidden,
        options.direction,
        functools.reduce(operator.or_, (_GRADIENT_BITS.get(of, _native.GRAD_PARAMS) for of in options.gradients), 0),
        options.dropout,
    )


def _size(name: str, by_name: dict[str, Shape]) -> int:
    """Of the vectors of an array; 0, which asks the library for its default, where there is none."""
    return by_name[name].shape[-1] if name in by_name else 0


def _check_rank(a: Shape) -> None:
    if not 2 <= len(a.shape) <= 4:
        raise ValueError(f"{a.name}: shape {a.shape}, expected 2, 3 or 4 dimensions")


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
    _check_rank(by_name["value"])


def _check_heads(name: str, query_heads: int, of: str, kv_heads: int) -> None:
    """`name`: of what has the queries' heads; `of`: of what has the keys'."""
    for owner, heads in ((name, query_heads), (of, kv_heads)):
        if heads == 0:
            raise ValueError(f"{owner}: no heads, expected at least one")
    if query_heads % kv_heads:
        raise ValueError(f"{name}: {query_heads} heads, expected a multiple of the {kv_heads} of {of}")


def _code(a: Shape, value: Shape) -> int:
    """The library's code of an input's type, where the input may have it."""
    if a.name in ("kv_lengths", "cu_seqlens_q", "cu_seqlens_k", "weights_heads", "weights_rows"):
        return INTEGERS[a.dtype]
    if a.name == "mask" and a.dtype in BOOLS:
        return _native.BOOL
    if a.name in _RESULTS:
        expected = wide(value.dtype) if a.name.endswith("lse") else value.dtype
        if a.dtype != expected:
            raise TypeError(f"{_RESULTS[a.name]}: dtype {a.dtype}, expected {expected}")
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


def _check_vectors(by_name: dict[str, Shape]) -> None:
    for name in ("query", "key", "value", "params.v"):
        if name in by_name and by_name[name].shape[-1] == 0:
            raise ValueError(f"{name}: shape {by_name[name].shape}, expected vectors of at least one element")


def _check_projection(
    found: Projection, expected: Projection, given: dict[str, Shape], score: Score, packed: bool
) -> None:
    if packed:
        raise ValueError(
            "key: projected keys, given with packed sequences (cu_seqlens_q, cu_seqlens_k); expected an array"
        )
    for name, a, b in zip(Projection._fields, found, expected):
        if a != b:
            kind = TypeError if name == "dtype" else ValueError
            raise kind(f"key: projected with {name}={a}, expected {b}")
    for name in score.of_keys or ():
        if "params." + name in given:
            raise ValueError(f"params.{name}: given with projected keys, which have met it; expected none")


def _projected_shape(made: Projection, value: Shape, layout: int) -> tuple[int, ...]:
    """Of what projected keys hold: as a key would have it, which has the axes of value."""
    shape = [*value.shape[:-1], made.size]
    if len(shape) == 4:
        shape[2 if layout == _native.BSHD else 1] = made.heads
    return tuple(shape)


def _laid_out(shapes: list[Shape], codes: list[int]) -> _native.AttentionArgs:
    """The arguments of a call, without addresses and outputs."""
    args = _native.AttentionArgs(ctypes.sizeof(_native.AttentionArgs))
    for a, code in zip(shapes, codes):
        lay_out(args, a.name, code, a.shape, a.strides, a.dtype.itemsize)
    return args


@functools.lru_cache(maxsize=256)
def form(arrays: tuple[tuple, ...], options: Options) -> Form:
    """Checks what calls with such arrays and options share, and lays out their arguments. `arrays`: what a
    Shape has of each."""
    shapes = [Shape(*a) for a in arrays]
    by_name = {a.name: a for a in shapes}
    value = by_name["value"]
    packed = bool(options.flags & _native.PACKED)
    layout = choice(LAYOUTS, "layout", options.layout)
    # What has the queries' rows, and the axes of its heads: query, or weights in its place.
    if "given_scores" in by_name:
        score, rows, rows_layout, called = GIVEN, by_name["given_scores"], _native.BHSD, "weights"
    else:
        score, rows, rows_layout, called = choice(SCORES, "score", options.score), by_name["query"], layout, "query"
    codes = [_code(a, value) for a in shapes]
    _check_ranks(by_name, rows, called, packed)
    q_heads, kv_heads = _heads(rows.shape, rows_layout, packed), _heads(value.shape, layout, packed)
    _check_heads(called, q_heads, "value", kv_heads)
    made = options.projection
    met = score.of_keys or () if made else ()
    check_complete(by_name, score, options.score, [name for name in score.required if name not in met])
    _check_vectors(by_name)
    args = _laid_out(shapes, codes)
    D, A = _size("query", by_name), _size("params.v", by_name)
    Dk = made.Dk if made else _size("key", by_name)
    if made:
        B = rows.shape[0] if len(rows.shape) > 2 else 1
        wanted = Projection(options.score, value.dtype, q_heads, kv_heads, D, Dk, A, B, made.heads)
        _check_projection(made, wanted, by_name, score, packed)
    key = _fields(options, score, value.dtype, Sizes(q_heads, kv_heads, D, value.shape[-1], Dk, A))
    if options.direction == _native.BACKWARD:
        if made:
            by_name["key"] = Shape("key", value.dtype, _projected_shape(made, value, layout), ())
        outputs = tuple(_lay_out_output(args, "grad." + of, *by_name[of][1:3]) for of in options.gradients)
    elif packed:
        outputs = _lay_out_outputs(args, options.outputs, _packed_outputs(rows, value), value)
    else:
        outputs = _lay_out_outputs(args, options.outputs, _outputs(by_name, rows, rows_layout, layout), value)
    addresses = tuple(_native.address_offsets[a.name] for a in shapes)
    return Form(key, bytes(args), addresses, outputs)


def _outputs(by_name: dict[str, Shape], rows: Shape, rows_layout: int, layout: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the outputs. `rows` has the queries' rows in `rows_layout`."""
    value = by_name["value"]
    rank = len(value.shape)
    first = rows.shape[:-1]
    turned = (first[0], first[2], first[1]) if rank == 4 else first
    bhs, bsh = (turned, first) if rows_layout == _native.BSHD else (first, turned)
    T = _length(by_name.get("key", value).shape, layout)
    return {
        "output": (*(bsh if layout == _native.BSHD else bhs), value.shape[-1]),
        "weights": (*_chosen(bhs, by_name), T),
        "scores": (*bhs, T),
        "lse": bhs,
        "column_sums": (*bhs[:-1], T),
        "argmax": bhs,
        "entropy": bhs,
    }


def _chosen(bhs: tuple[int, ...], by_name: dict[str, Shape]) -> tuple[int, ...]:
    """The axes of heads and rows of weights, where only some of these are wanted."""
    *lead, S = bhs
    if "weights_heads" in by_name and len(bhs) == 3:
        lead[1] = by_name["weights_heads"].shape[0]
    return (*lead, by_name["weights_rows"].shape[0] if "weights_rows" in by_name else S)


def _packed_outputs(query: Shape, value: Shape) -> dict[str, tuple[int, ...]]:
    total, heads = query.shape[:2]
    return {"output": (total, heads, value.shape[-1]), "lse": (heads, total)}


def _lay_out_outputs(
    args: _native.AttentionArgs, wanted: int, shapes: dict[str, tuple[int, ...]], value: Shape
) -> tuple[Output, ...]:
    """Those of the shapes that are wanted, laid out in `args`."""
    found = []
    for name, shape in shapes.items():
        if wanted & _OUTPUT_BITS[name]:
            dtype = _INT64 if name == "argmax" else wide(value.dtype) if name in _OF_SUMS else value.dtype
            found.append(_lay_out_output(args, name, dtype, shape))
    return tuple(found)


def _lay_out_output(args: _native.AttentionArgs, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> Output:
    code = INTEGERS[dtype] if dtype in INTEGERS else float_code(dtype)
    lay_out(args, name, code, shape, None, dtype.itemsize)
    return Output(name, shape, dtype, _native.address_offsets[name])


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

    __slots__ = ("key", "args", "outputs", "names", "kept", "projected_keys")

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        options: Options,
        projected_keys: ProjectedKeys | None = None,
        draw: tuple[int, int] = (0, 0),
    ):
        shapes = tuple([(name, a.dtype, a.shape, a.strides) for name, a in arrays.items()])
        made = _form(shapes, options)
        args = _new_args(made.template)
        for a, at in zip(arrays.values(), made.addresses):
            put_address(args, at, address(a))
        self.key = made.key
        self.kept = arrays
        self.projected_keys = projected_keys
        if projected_keys is not None:
            args.projected_keys = projected_keys.handle
        args.dropout_seed, args.dropout_offset = draw
        self.outputs: list[np.ndarray] = []
        self.names = [output.name for output in made.outputs]
        for output in made.outputs:
            a = np.empty(output.shape, output.dtype)
            put_address(args, output.address, address(a))
            self.outputs.append(a)
        self.args = args

    def results(self) -> Any:
        return self.outputs[0] if len(self.outputs) == 1 else tuple(self.outputs)

    def desc(self) -> _native.AttentionDesc:
        return _native.AttentionDesc(ctypes.sizeof(_native.AttentionDesc), *self.key)


def draw_of(seed: Any, dropout_offset: Any) -> tuple[int, int]:
    """Which weights are dropped. No part of the options, as calls that look alike differ by it."""
    return count(seed, "seed", 0, 64), count(dropout_offset, "dropout_offset", 0, 64)


def job_of(
    query: Any,
    key: Any,
    value: Any,
    options: Options,
    *,
    seed: Any = 0,
    dropout_offset: Any = 0,
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
) -> Job:
    """A job from what a caller asks for and what is given."""
    arrays = {"query": tensor(query, "query")}
    options = gather(
        arrays,
        key,
        value,
        options,
        params=params,
        mask=mask,
        bias=bias,
        kv_lengths=kv_lengths,
        cu_seqlens_q=cu_seqlens_q,
        cu_seqlens_k=cu_seqlens_k,
        alibi_slopes=alibi_slopes,
        sinks=sinks,
        weights_heads=weights_heads,
        weights_rows=weights_rows,
    )
    return Job(arrays, options, key if options.projection else None, draw_of(seed, dropout_offset))


def collect(
    query: Any, key: Any, value: Any, *, device: Any = None, **said: Any
) -> tuple[dict[str, np.ndarray], Options]:
    """What there is in the arguments of clattn.attention(); `device` is its caller's business."""
    given = {name: said.pop(name) for name in _GIVEN & said.keys()}
    arrays = {"query": tensor(query, "query")}
    return arrays, gather(arrays, key, value, settings(**said), **given)


def describe(query: Any, key: Any, value: Any, *, seed: Any = 0, dropout_offset: Any = 0, **said: Any) -> Job:
    """A job from the arguments of clattn.attention()."""
    arrays, options = collect(query, key, value, **said)
    return Job(arrays, options, key if options.projection else None, draw_of(seed, dropout_offset))


def collect_given(
    weights: Any, value: Any, layout: Any, precision: Any, variant: Any
) -> tuple[dict[str, np.ndarray], Options]:
    """Of a job that takes `weights` as they are: output = weights @ value."""
    arrays = {"given_scores": tensor(weights, "weights"), "value": tensor(value, "value")}
    return arrays, Options(normalizer="none", layout=layout, precision=precision, variant=variant)


class Part(NamedTuple):
    """Of calls that have their queries later: what they share."""

    key: tuple
    """The fields of the description, in order."""
    args: _native.AttentionArgs
    kept: dict[str, np.ndarray]
    """The arrays whose memory they name."""
    sizes: Sizes
    rows: tuple[int, ...]
    """(B, Hq), (B) or (): the axes of the queries, but for S and D."""
    T: int


def _vector_size(by_name: dict[str, Shape], name: str, axis: int) -> int:
    shape = by_name[name].shape
    if len(shape) < -axis or shape[axis] == 0:
        raise ValueError(f"{name}: shape {shape}, expected a matrix of at least one element")
    return shape[axis]


def _part(arrays: dict[str, np.ndarray], options: Options, query_heads: int | None, of: str) -> Part:
    """`of`: which of the arrays all others go with, "key" or "value"."""
    shapes = [Shape(name, a.dtype, a.shape, a.strides) for name, a in arrays.items()]
    by_name = {a.name: a for a in shapes}
    lead = by_name[of]
    layout, score = choice(LAYOUTS, "layout", options.layout), SCORES[options.score]
    codes = [_code(a, lead) for a in shapes]
    _check_rank(lead)
    _check_vectors(by_name)
    kv_heads = _heads(lead.shape, layout, False)
    q_heads = kv_heads if query_heads is None else query_heads
    if len(lead.shape) < 4 and q_heads != 1:
        raise ValueError(f"query_heads: {q_heads}, expected 1, as {of} of {len(lead.shape)} dimensions has one head")
    _check_heads("query_heads" if query_heads else of, q_heads, of, kv_heads)
    A = _size("params.v", by_name)
    if not A and "params.w_key" in by_name:
        A = _vector_size(by_name, "params.w_key", -2)
    sizes = Sizes(
        q_heads,
        kv_heads,
        _vector_size(by_name, *score.query_size),
        _size("value", by_name),
        _size("key", by_name),
        A,
    )
    args = _laid_out(shapes, codes)
    for a in shapes:
        put_address(args, _native.address_offsets[a.name], address(arrays[a.name]))
    rows = ((lead.shape[0], q_heads), lead.shape[:1], ())[4 - len(lead.shape)]
    key = _fields(options, score, lead.dtype, sizes)
    return Part(key, args, arrays, sizes, rows, _length(lead.shape, layout))


def describe_keys(key: Any, params: Any, score: Any, query_heads: int | None, layout: Any) -> tuple[Part, Projection]:
    """What clattn.project_keys() makes, and of what."""
    of = choice(SCORES, "score", score)
    if of.of_keys is None:
        names = ", ".join(repr(name) for name, other in SCORES.items() if other.of_keys is not None)
        raise ValueError(f"score: {score!r}, expected one that makes something of keys alone: {names}")
    arrays = {"key": tensor(key, "key")}
    given = {} if params is None else parameters(params, of, score, wide(arrays["key"].dtype))
    owner = of.query_size[0]
    needed = [name for name in of.required if name in of.of_keys or "params." + name == owner]
    check_complete(given, of, score, needed)
    arrays.update({"params." + name: given["params." + name] for name in needed})
    options = settings(score=score, layout=layout)._replace(flags=_native.PROJECTED_KEYS)
    part = _part(arrays, options, query_heads, "key")
    B = part.rows[0] if part.rows else 1
    size = part.sizes
    dtype = arrays["key"].dtype
    # An array that is broadcast to an axis of heads is one for all.
    of_heads = any(arrays["params." + name].ndim == 3 and arrays["params." + name].strides[0] for name in of.of_keys)
    heads = size.query_heads if of_heads else size.kv_heads
    return part, Projection(score, dtype, size.query_heads, size.kv_heads, size.query, size.key, size.hidden, B, heads)


def describe_batch(key: Any, value: Any, options: Options, query_heads: int | None, **given: Any) -> Part:
    """What the steps of a decoder share; of what there was before them, nothing need be given."""
    arrays: dict[str, np.ndarray] = {}
    options = gather(arrays, key, value, options, **given)
    if options.projection:
        raise TypeError("key: projected keys, expected an array, as a decoder projects keys itself")
    score = SCORES[options.score]
    check_complete(arrays, score, options.score, [name for name in score.required if name not in STATES])
    return _part(arrays, options, query_heads, "value")
