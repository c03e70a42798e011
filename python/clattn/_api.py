"""The functions of the package. Shapes: B batch, Hq query heads, Hkv key and value heads (Hq a multiple
of Hkv), S queries, T keys, D size of a query, Dk of a key (D, but for some scores), Dv of a value.

    tensor            4-D, layout "bhsd"   layout "bshd"       3-D (one head)   2-D
    query             (B, Hq, S, D)        (B, S, Hq, D)       (B, S, D)        (S, D)
    key               (B, Hkv, T, Dk)      (B, T, Hkv, Dk)     (B, T, Dk)       (T, Dk)
    value             (B, Hkv, T, Dv)      (B, T, Hkv, Dv)     (B, T, Dv)       (T, Dv)
    output            (B, Hq, S, Dv)       (B, S, Hq, Dv)      (B, S, Dv)       (S, Dv)
    weights, scores   (B, Hq, S, T)        the same            (B, S, T)        (S, T)
    lse, entropy      (B, Hq, S)           the same            (B, S)           (S)
    argmax            (B, Hq, S)           the same            (B, S)           (S)
    column_sums       (B, Hq, T)           the same            (B, T)           (T)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Optional, TypedDict, Union

import numpy as np
import numpy.typing as npt

from . import _job, _run
from ._devices import DeviceSpec
from ._keys import ProjectedKeys
from ._options import count, settings
from ._reports import Report

Array = npt.ArrayLike
"""What arrays may be: NumPy's, any that offers host memory by DLPack, nested lists."""

Params = Mapping[str, Optional[Array]]
"""Parameters of a score by name; None for one that is absent."""

ScoreName = Literal[
    "scaled-dot",
    "dot",
    "general",
    "additive",
    "location",
    "location-sensitive",
    "coverage",
    "cosine",
    "rbf",
]

NormalizerName = Literal["softmax", "none", "sigmoid", "sparsemax", "entmax15"]

Result = Union[np.ndarray, tuple[np.ndarray, ...]]


class CallOptions(TypedDict, total=False):
    """The keywords of attention() but for those that say what it gives, which attention_backward() and
    verify_backward() take too."""

    score: ScoreName
    params: Params | None
    scale: float | None
    softcap: float | None
    causal: bool | Literal["top-left", "bottom-right"]
    alignment: Literal["top-left", "bottom-right"]
    window: tuple[int, int] | None
    mask: Array | None
    bias: Array | None
    kv_lengths: Array | None
    cu_seqlens_q: Array | None
    cu_seqlens_k: Array | None
    alibi_slopes: Array | None
    sinks: Array | None
    normalizer: NormalizerName
    dropout: float
    seed: int
    dropout_offset: int
    layout: Literal["bhsd", "bshd"]
    precision: Literal["default", "strict", "fast"]
    device: DeviceSpec
    variant: str | None


class Options(CallOptions, total=False):
    """All keywords of attention(), which reference() and verify() take too."""

    return_weights: bool
    return_scores: bool
    scores_stage: Literal["raw", "capped", "modified"]
    return_lse: bool
    weights_heads: Array | None
    weights_rows: Array | None
    return_column_sums: bool
    return_argmax: bool
    return_entropy: bool


def attention(
    query: Array,
    key: Array | ProjectedKeys | None,
    value: Array,
    *,
    score: ScoreName = "scaled-dot",
    params: Params | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    causal: bool | Literal["top-left", "bottom-right"] = False,
    alignment: Literal["top-left", "bottom-right"] = "top-left",
    window: tuple[int, int] | None = None,
    mask: Array | None = None,
    bias: Array | None = None,
    kv_lengths: Array | None = None,
    cu_seqlens_q: Array | None = None,
    cu_seqlens_k: Array | None = None,
    alibi_slopes: Array | None = None,
    sinks: Array | None = None,
    normalizer: NormalizerName = "softmax",
    dropout: float = 0.0,
    seed: int = 0,
    dropout_offset: int = 0,
    layout: Literal["bhsd", "bshd"] = "bhsd",
    precision: Literal["default", "strict", "fast"] = "default",
    device: DeviceSpec = None,
    variant: str | None = None,
    return_weights: bool = False,
    return_scores: bool = False,
    scores_stage: Literal["raw", "capped", "modified"] = "raw",
    return_lse: bool = False,
    weights_heads: Array | None = None,
    weights_rows: Array | None = None,
    return_column_sums: bool = False,
    return_argmax: bool = False,
    return_entropy: bool = False,
) -> Result:
    """normalizer(modify(scale * score(query, key))) @ value, on a device.

    query, key and value have one float type (float32, float16, bfloat16 or float64), which the output,
    weights and scores have too; sums are kept in float32 or wider. NumPy arrays in host memory that the
    device shares are used where they lie, with any strides.

    Args:
        query: (B, Hq, S, D), or (B, S, Hq, D) with layout "bshd", (B, S, D), (S, D).
        key: (B, Hkv, T, Dk) and likewise; Hq a multiple of Hkv. None with score "location", which reads none. Or
            what project_keys() made of it: then without w_key or weight in params, and on the same device.
        value: (B, Hkv, T, Dv) and likewise.
        score: how a query meets a key, see Scores.
        params: parameters of the score by name, of any float type; numbers and lists get that of the sums.
        scale: multiplies the scores; None: 1/sqrt(D) for "scaled-dot", 1 for all others.
        softcap: scores become softcap * tanh(score / softcap); None or 0: none.
        causal: query i sees key j when j <= p, where p = i + offset is the query's place among the keys;
            "bottom-right" is short for causal=True with that alignment.
        alignment: offset 0 with "top-left", T - S (of the sequence, with lengths) with "bottom-right".
        window: (left, right): p - left <= j <= p + right; -1: no bound.
        mask: bool (True: may attend) or float (added), float32 or the inputs' type; broadcasts to
            (B, Hq, S, T), (B, S, T) or (S, T).
        bias: float, added to the scores; broadcasts likewise.
        kv_lengths: (B) integers from 0 to T: keys of each sequence.
        cu_seqlens_q, cu_seqlens_k: (B + 1) integers from 0 to the total, never falling: packed sequences,
            query (total_q, Hq, D), key (total_k, Hkv, D), value (total_k, Hkv, Dv), output
            (total_q, Hq, Dv), lse (Hq, total_q); without mask, bias, lengths, and other outputs.
        alibi_slopes: (Hq): -slope * |p - j| is added.
        sinks: (Hq): a logit more in the softmax of a head, without a value.
        normalizer: "softmax"; "none": the weights are the modified scores, masked = 0; "sigmoid": each is
            1 / (1 + exp(-score)); "sparsemax" (Martins and Astudillo, arXiv:1602.02068) and "entmax15" (Peters
            et al., arXiv:1905.05702): they add up to 1, and low scores have weight 0.
        dropout: the probability, below 1, that a weight is 0 where it meets its value; all others count
            1 / (1 - dropout) times (Srivastava et al., JMLR 15, 2014). Weights and column sums are given as they met
            the values; lse, argmax and entropy are of the weights before.
        seed, dropout_offset: integers below 2**64 that choose, with a weight's place in (B, Hq, S, T), which ones are
            dropped: the same on every device. Each step of training takes another dropout_offset.
        layout: "bhsd" or "bshd": the order of the axes of 4-D arrays.
        precision: "default": weights of float16 and bfloat16 may be rounded to the values' type; "strict":
            they stay float32; "fast": also inputs rounded to 11 bits and native exponentials.
        device: an index, a part of a name, one of clattn.devices(), or "reference"; None: CLATTN_DEVICE,
            else a GPU before a CPU, else the reference with a warning; with projected keys, theirs.
        variant: the implementation to take; None: the best that accepts the problem.
        return_weights, return_scores: also (B, Hq, S, T), (B, S, T) or (S, T), of the inputs' type.
        scores_stage: "raw" scores, "capped" ones, or "modified" by all (masked = -inf).
        return_lse: also (B, Hq, S), (B, S) or (S): the log-sum-exp of the modified scores, float32 (float64
            for float64).
        weights_heads, weights_rows: rising numbers of heads and queries, with return_weights: then weights are
            (B, len(heads), len(rows), T), (B, len(rows), T) or (len(rows), T); None: all.
        return_column_sums: also (B, Hq, T), (B, T) or (T): how much each key is looked at, the sum of the
            weights over a head's queries; of the type of lse.
        return_argmax: also (B, Hq, S), (B, S) or (S), int64: the key with the largest modified score of a row,
            the first of several, a NaN before all others, -1 where the row sees none.
        return_entropy: also (B, Hq, S), (B, S) or (S): how spread a row is, the sum of -w ln w over its weights,
            of the type of lse; not with normalizer "none".

    Scores of a query q (D) and a key k (Dk, D where it is not named); parameters may be shared by all heads,
    as here, or have an axis (Hq) in front:
        "scaled-dot": q.k with scale 1/sqrt(D) (Vaswani et al., arXiv:1706.03762).
        "dot": q.k (Luong et al., arXiv:1508.04025).
        "general": q^T W k, with weight W (D, Dk) (Luong et al.).
        "additive": v^T tanh(W_q q + W_k k + b), with w_query (A, D), w_key (A, Dk), v (A) and optionally bias b
            (A); where g (1) or (Hq) is given, v counts as g v / |v| (Bahdanau et al., arXiv:1409.0473; Luong's
            concat has w_query and w_key side by side in one matrix).
        "location": element j of W q is the score of key j, with weight W (M, D), M >= T (Luong et al.).
        "location-sensitive": v^T tanh(W_q q + W_k k + U f + b), f = conv * previous_weights around the key, a
            cross-correlation with zeros beyond the ends; as "additive", and conv (C, K), K odd, w_location U
            (A, C), previous_weights (B, T) or (B, Hq, T) (Chorowski et al., arXiv:1506.07503). With
            cumulative_weights, shaped like the previous ones, conv is (C, 2, K): a second channel for them
            (Tacotron 2, arXiv:1712.05884).
        "coverage": v^T tanh(W_q q + W_k k + w_c c + b); as "additive", and w_coverage w_c (A), coverage c (B, T)
            or (B, Hq, T), the sum of past weights (See et al., arXiv:1704.04368).
        "cosine": beta cos(q, k), 0 where a vector is zero, with beta (1), (Hq), (B, S) or (B, Hq, S) (Graves et
            al., arXiv:1410.5401).
        "rbf": -gamma |q - k|^2, with gamma (1) or (Hq) (Nadaraya, 1964; Watson, 1964).

    Returns:
        The output, or a tuple (output, weights, scores, lse, column_sums, argmax, entropy) of those asked for. A
        row that sees no key gives zeros, an lse of -inf and an argmax of -1.

    Raises:
        ValueError, TypeError: an argument is wrong; the sentence names it.
        clattn.UnsupportedError: no variant of the device takes this (a ValueError, too).
        clattn.Error: a failure of the device.
    """
    # CPython makes a dictionary of more than 15 keywords of a call, which small calls would feel.
    asked = settings(
        score,
        scale,
        softcap,
        causal,
        alignment,
        window,
        normalizer=normalizer,
        layout=layout,
        precision=precision,
        variant=variant,
        dropout=dropout,
        return_weights=return_weights,
        return_scores=return_scores,
        scores_stage=scores_stage,
        return_lse=return_lse,
        return_column_sums=return_column_sums,
        return_argmax=return_argmax,
        return_entropy=return_entropy,
    )
    job = _job.job_of(
        query,
        key,
        value,
        asked,
        seed=seed,
        dropout_offset=dropout_offset,
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
    _run.run(job, device)
    return job.results()


def project_keys(
    key: Array,
    params: Params | None = None,
    *,
    score: ScoreName,
    query_heads: int | None = None,
    layout: Literal["bhsd", "bshd"] = "bhsd",
    device: DeviceSpec = None,
) -> ProjectedKeys:
    """Keys as a score sees them, made once for many calls of attention(), which takes them as `key`: of "additive",
    "location-sensitive" and "coverage" W_k k, of "general" W k, of "cosine" k / |k|.

    Args:
        key: (B, Hkv, T, Dk), or (B, T, Hkv, Dk) with layout "bshd", (B, T, Dk), (T, Dk). It is read before the call
            returns.
        params: those of attention(). Only w_key or weight is read, and of w_query the size; the calls that take the
            keys are to leave out w_key or weight.
        query_heads: Hq of those calls; None: as many as key has.
        device: as of attention(). Keys stay there, and calls that take them go there unless told otherwise.

    Returns:
        An object to pass as `key`. reference() takes it where `device` was "reference"; verify() and packed sequences
        do not.
    """
    heads = None if query_heads is None else count(query_heads, "query_heads", 1)
    return _run.project(*_job.describe_keys(key, params, score, heads, layout), device)


def check_names(function: str, options: dict[str, Any], taken: Any = Options) -> None:
    """Refuses keywords that `taken` has not."""
    for name in options:
        if name not in taken.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def context(
    weights: Array,
    value: Array,
    *,
    layout: Literal["bhsd", "bshd"] = "bhsd",
    precision: Literal["default", "strict", "fast"] = "default",
    device: DeviceSpec = None,
    variant: str | None = None,
) -> np.ndarray:
    """weights @ value: the last step of attention alone, with weights made elsewhere.

    Args:
        weights: (B, Hq, S, T), (B, S, T) or (S, T), of the values' type or float32. They are taken as they
            are; a weight of -inf counts as 0.
        value: (B, Hkv, T, Dv), or (B, T, Hkv, Dv) with layout "bshd", (B, T, Dv), (T, Dv).

    Returns:
        (B, Hq, S, Dv), or (B, S, Hq, Dv) with layout "bshd", (B, S, Dv), (S, Dv), of the values' type.
    """
    job = _job.Job(*_job.collect_given(weights, value, layout, precision, variant))
    _run.run(job, device)
    return job.outputs[0]


def reference(query: Array, key: Array | ProjectedKeys | None, value: Array, **options: Any) -> Result:
    """attention() by the reference: plain C in double precision (float64: wider still), rounded once at
    the end. Takes what attention() takes (see Options); `device` and `variant` have no meaning here."""
    check_names("reference", options)
    options.pop("device", None)
    options.pop("variant", None)
    job = _job.describe(query, key, value, **options)
    _run.run_reference(job)
    return job.results()


def verify(query: Array, key: Array | None, value: Array, *, sample: int | None = None, **options: Any) -> Report:
    """attention() on a device, held against the reference. Takes what attention() takes (see Options).

    Args:
        sample: check that many rows of queries, spread evenly (over packed sequences by their lengths, at
            least one of each); None: all.

    Returns:
        A report with .ok, .errors and .bounds (by output), .variant, .device. A wrong result is no
        exception: look at .ok.
    """
    if sample is not None:
        if isinstance(sample, bool) or not hasattr(sample, "__index__") or sample.__index__() < 1:
            raise ValueError(f"sample: {sample!r}, expected a number of rows from 1, or None")
        sample = min(sample.__index__(), 2**63)
    check_names("verify", options)
    job = _job.describe(query, key, value, **options)
    return _run.verify(job, options.get("device"), sample or 0)
