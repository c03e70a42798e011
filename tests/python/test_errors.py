"""Every refusal: the exception, and that its sentence names the argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scripts import run

import clattn

ml_dtypes = pytest.importorskip("ml_dtypes")

F32 = np.float32
B, HQ, HKV, S, T, D, DV, A, C, K = 2, 4, 2, 3, 5, 8, 6, 7, 3, 9


def zeros(*shape: int, dtype: Any = F32) -> np.ndarray:
    return np.zeros(shape, dtype)


def arguments(**changes: Any) -> dict[str, Any]:
    """A good call, with changes."""
    return {"query": zeros(B, HQ, S, D), "key": zeros(B, HKV, T, D), "value": zeros(B, HKV, T, DV), **changes}


def one_head(**changes: Any) -> dict[str, Any]:
    return {"query": zeros(S, D), "key": zeros(T, D), "value": zeros(T, DV), **changes}


def weights(**changes: Any) -> dict[str, Any]:
    return arguments(return_weights=True, **changes)


def packed(**changes: Any) -> dict[str, Any]:
    return {
        "query": zeros(6, HQ, D),
        "key": zeros(9, HKV, D),
        "value": zeros(9, HKV, DV),
        "cu_seqlens_q": [0, 2, 6],
        "cu_seqlens_k": [0, 5, 9],
        **changes,
    }


ADDITIVE = {"w_query": zeros(A, D), "w_key": zeros(A, D), "v": zeros(A)}
PARAMS: dict[str, dict[str, Any]] = {
    "general": {"weight": zeros(D, D)},
    "additive": ADDITIVE,
    "location": {"weight": zeros(T, D)},
    "location-sensitive": {
        **ADDITIVE,
        "conv": zeros(C, K),
        "w_location": zeros(A, C),
        "previous_weights": zeros(B, T),
    },
    "coverage": {**ADDITIVE, "w_coverage": zeros(A), "coverage": zeros(B, T)},
    "cosine": {"beta": 1.0},
    "rbf": {"gamma": 1.0},
}


def scored(score: str, **changes: Any) -> dict[str, Any]:
    """A good call of a score, with changes of its parameters; None leaves one out."""
    return arguments(score=score, params={**PARAMS[score], **changes})


def two_channels(**changes: Any) -> dict[str, Any]:
    return scored("location-sensitive", **{"conv": zeros(C, 2, K), "cumulative_weights": zeros(B, T), **changes})


SHAPES = {
    "query of another rank": ("query", arguments(query=zeros(B, S, D))),
    "key of another rank": ("key", arguments(key=zeros(T, D))),
    "rank 0": ("value", one_head(query=F32(0), key=F32(0), value=F32(0))),
    "rank 1": ("value", one_head(query=zeros(8), key=zeros(8), value=zeros(8))),
    "rank 5": ("value", one_head(query=zeros(1, 1, 1, 3, 8), key=zeros(1, 1, 1, 5, 8), value=zeros(1, 1, 1, 5, 8))),
    "key of another D": ("key", arguments(key=zeros(B, HKV, T, D + 1))),
    "key of another batch": ("key", arguments(key=zeros(B + 1, HKV, T, D))),
    "key of other heads": ("key", arguments(key=zeros(B, 1, T, D))),
    "value of another T": ("value", arguments(value=zeros(B, HKV, T - 1, DV))),
    "value of another batch": ("value", arguments(value=zeros(1, HKV, T, DV))),
    "heads no multiple": ("query", arguments(query=zeros(B, 3, S, D))),
    "fewer query heads": ("query", arguments(query=zeros(B, 1, S, D))),
    "no query heads": ("query", arguments(query=zeros(B, 0, S, D))),
    "no value heads": ("value", arguments(key=zeros(B, 0, T, D), value=zeros(B, 0, T, DV))),
    "D of 0": ("query", arguments(query=zeros(B, HQ, S, 0), key=zeros(B, HKV, T, 0))),
    "Dv of 0": ("value", arguments(value=zeros(B, HKV, T, 0))),
    "bshd read as bhsd": ("query", arguments(query=zeros(B, S, 2, D), layout="bshd")),
    "mask too wide": ("mask", arguments(mask=zeros(S, T + 1, dtype=bool))),
    "mask of a higher rank": ("mask", one_head(mask=zeros(1, S, T, dtype=bool))),
    "mask of rank 5": ("mask", arguments(mask=zeros(1, B, HQ, S, T, dtype=bool))),
    "mask per key head": ("mask", arguments(mask=zeros(B, HKV, S, T, dtype=bool))),
    "bias too wide": ("bias", arguments(bias=zeros(B, HQ, S + 1, T))),
    "bias of a higher rank": ("bias", one_head(bias=zeros(B, 1, S, T))),
    "one length for two sequences": ("kv_lengths", arguments(kv_lengths=[3])),
    "lengths as a column": ("kv_lengths", arguments(kv_lengths=[[3], [4]])),
    "one length without an axis": ("kv_lengths", arguments(kv_lengths=3)),
    "a slope per key head": ("alibi_slopes", arguments(alibi_slopes=zeros(HKV))),
    "slopes of rank 2": ("alibi_slopes", arguments(alibi_slopes=zeros(B, HQ))),
    "one slope without an axis": ("alibi_slopes", arguments(alibi_slopes=0.5)),
    "a sink per key head": ("sinks", arguments(sinks=zeros(HKV))),
    "one sink without an axis": ("sinks", arguments(sinks=0.5)),
    "ragged lists": ("query", arguments(query=[[1.0], [1.0, 2.0]])),
    "key of another D than vectors compared": ("key", {**scored("cosine"), "key": zeros(B, HKV, T, D + 1)}),
    "keys of no elements": ("key", {**scored("general", weight=zeros(D, 0)), "key": zeros(B, HKV, T, 0)}),
    "weight of another D": ("params.weight", scored("general", weight=zeros(D + 1, D))),
    "weight of another Dk": ("params.weight", scored("general", weight=zeros(D, D + 1))),
    "weight per key head": ("params.weight", scored("general", weight=zeros(HKV, D, D))),
    "weight that is a number": ("params.weight", scored("general", weight=1.0)),
    "weight of rank 4": ("params.weight", scored("general", weight=zeros(1, HQ, D, D))),
    "weight of rank 5": ("params.weight", scored("general", weight=zeros(1, 1, HQ, D, D))),
    "weight of fewer rows than keys": ("params.weight", scored("location", weight=zeros(T - 1, D))),
    "location of another D": ("params.weight", scored("location", weight=zeros(T, D + 1))),
    "w_query of another A": ("params.w_query", scored("additive", w_query=zeros(A + 1, D))),
    "w_query transposed": ("params.w_query", scored("additive", w_query=zeros(D, A))),
    "w_key of another Dk": ("params.w_key", scored("additive", w_key=zeros(A, D - 1))),
    "w_key per key head": ("params.w_key", scored("additive", w_key=zeros(HKV, A, D))),
    "v as a column": ("params.v", scored("additive", v=zeros(A, 1), w_query=zeros(1, D), w_key=zeros(1, D))),
    "v of no elements": ("params.v", scored("additive", v=zeros(0))),
    "bias of another A": ("params.bias", scored("additive", bias=zeros(A - 1))),
    "bias per key head": ("params.bias", scored("coverage", bias=zeros(HKV, A))),
    "g per key head": ("params.g", scored("additive", g=zeros(HKV))),
    "g per unit": ("params.g", scored("additive", g=zeros(A))),
    "conv of an even width": ("params.conv", scored("location-sensitive", conv=zeros(C, K - 1))),
    "conv of no width": ("params.conv", scored("location-sensitive", conv=zeros(C, 0))),
    "conv without filters": ("params.conv", scored("location-sensitive", conv=zeros(0, K))),
    "conv of rank 1": ("params.conv", scored("location-sensitive", conv=zeros(K))),
    "conv of two channels for one": ("params.conv", scored("location-sensitive", conv=zeros(C, 2, K))),
    "conv of one channel for two": ("params.conv", two_channels(conv=zeros(C, K))),
    "conv of three channels": ("params.conv", two_channels(conv=zeros(C, 3, K))),
    "conv per key head": ("params.conv", two_channels(conv=zeros(HKV, C, 2, K))),
    "w_location of other filters": ("params.w_location", scored("location-sensitive", w_location=zeros(A, C + 1))),
    "previous weights of another T": (
        "params.previous_weights",
        scored("location-sensitive", previous_weights=zeros(B, T + 1)),
    ),
    "previous weights of one sequence": (
        "params.previous_weights",
        scored("location-sensitive", previous_weights=zeros(T)),
    ),
    "cumulative weights per key head": ("params.cumulative_weights", two_channels(cumulative_weights=zeros(B, HKV, T))),
    "coverage of rows": ("params.coverage", scored("coverage", coverage=zeros(B, HQ, S, T))),
    "w_coverage a matrix": ("params.w_coverage", scored("coverage", w_coverage=zeros(A, 1))),
    "beta per key head": ("params.beta", scored("cosine", beta=zeros(HKV))),
    "beta of other rows": ("params.beta", scored("cosine", beta=zeros(B, S + 1))),
    "beta per key": ("params.beta", scored("cosine", beta=zeros(B, HQ, T))),
    "gamma per row": ("params.gamma", scored("rbf", gamma=zeros(B, S))),
    "gamma of no elements": ("params.gamma", scored("rbf", gamma=[])),
}

VALUES = {
    "unknown score": ("score", arguments(score="cosmic")),
    "unknown normalizer": ("normalizer", arguments(normalizer="max")),
    "unknown layout": ("layout", arguments(layout="bsdh")),
    "a layout that is a list": ("layout", arguments(layout=["bhsd"])),
    "unknown alignment": ("alignment", arguments(alignment="left")),
    "unknown causal": ("causal", arguments(causal="yes")),
    "unknown precision": ("precision", arguments(precision="f32")),
    "unknown stage": ("scores_stage", arguments(scores_stage="final", return_scores=True)),
    "unknown variant": ("variant", arguments(variant="fastest")),
    "unknown param": ("weight", arguments(params={"weight": zeros(D, D)})),
    "a score that is a list": ("score", arguments(score=["general"], params={"weight": zeros(D, D)})),
    "a misspelt param": ("weight", scored("general", wieght=zeros(D, D))),
    "param of another score": ("w_query, w_key, v", scored("additive", conv=zeros(C, K))),
    "param of no name": ("beta", arguments(score="cosine", params={1: 2.0})),
    "no params": ("params.weight", arguments(score="general")),
    "g NaN": ("params.g", scored("additive", g=float("nan"))),
    "beta infinite": ("params.beta", scored("cosine", beta=[1.0, 2.0, np.inf, 3.0])),
    "beta of a row NaN": ("params.beta", scored("cosine", beta=np.full((B, S), np.nan))),
    "gamma infinite in float32": ("params.gamma", scored("rbf", gamma=1e39)),
    "heads of no weights": ("weights_heads", arguments(weights_heads=[0])),
    "rows of no weights": ("weights_rows", arguments(weights_rows=[0])),
    "a head beyond all": ("weights_heads", weights(weights_heads=[0, HQ])),
    "a row beyond all": ("weights_rows", weights(weights_rows=[S])),
    "a head from the end": ("weights_heads", weights(weights_heads=[-1])),
    "falling rows": ("weights_rows", weights(weights_rows=[1, 0])),
    "a row twice": ("weights_rows", weights(weights_rows=[1, 1])),
    "a row beyond 63 bits": ("18446744073709551615", weights(weights_rows=np.array([2**64 - 1], np.uint64))),
    "heads of rank 2": ("weights_heads", weights(weights_heads=[[0, 1]])),
    "no head where there is one": ("weights_heads", one_head(return_weights=True, weights_heads=[])),
    "entropy of what may be negative": ("return_entropy", arguments(return_entropy=True, normalizer="none")),
    "window below -1": ("window", arguments(window=(-2, 0))),
    "right window below -1": ("window", arguments(window=(0, -5))),
    "window of one number": ("window", arguments(window=(3,))),
    "window without a pair": ("window", arguments(window=3)),
    "window of floats": ("window", arguments(window=(1.0, 2.0))),
    "window beyond 64 bits": ("window", arguments(window=(2**63, 0))),
    "negative softcap": ("softcap", arguments(softcap=-1.0)),
    "softcap NaN": ("softcap", arguments(softcap=float("nan"))),
    "softcap infinite": ("softcap", arguments(softcap=float("inf"))),
    "scale NaN": ("scale", arguments(scale=float("nan"))),
    "scale infinite": ("scale", arguments(scale=-float("inf"))),
    "scale infinite in float32": ("scale", arguments(scale=1e39)),
    "scale beyond a float": ("scale", arguments(scale=10**400)),
    "negative dropout": ("dropout", arguments(dropout=-0.1)),
    "dropout of all": ("dropout", arguments(dropout=1)),
    "dropout NaN": ("dropout", arguments(dropout=float("nan"))),
    "negative seed": ("seed", arguments(dropout=0.1, seed=-1)),
    "seed beyond 64 bits": ("seed", arguments(dropout=0.1, seed=2**64)),
    "negative dropout_offset": ("dropout_offset", arguments(dropout=0.1, dropout_offset=-1)),
    "slope NaN": ("alibi_slopes", arguments(alibi_slopes=[0.5, 0.5, np.nan, 0.5])),
    "slope infinite": ("alibi_slopes", arguments(alibi_slopes=[0.5, 0.5, 0.5, np.inf])),
    "sink NaN": ("sinks", arguments(sinks=[np.nan, 0.5, 0.5, 0.5])),
    "sink infinite": ("sinks", arguments(sinks=[-np.inf, 0.5, 0.5, 0.5])),
    "sinks without softmax": ("sinks", arguments(sinks=zeros(HQ), normalizer="none")),
    "sinks beside sparsemax": ("sinks", arguments(sinks=zeros(HQ), normalizer="sparsemax")),
    "negative length": ("kv_lengths", arguments(kv_lengths=[3, -1])),
    "length beyond T": ("kv_lengths", arguments(kv_lengths=[T + 1, 3])),
    "length beyond 63 bits": ("18446744073709551615", arguments(kv_lengths=np.array([1, 2**64 - 1], np.uint64))),
    "a name that ends early": ("variant", arguments(variant="staged\0zz")),
    "a device's name that ends early": ("device", arguments(device="pocl\0zz")),
    "unknown device": ("device", arguments(device="no such device")),
    "device of no index": ("device", arguments(device=1000)),
    "negative device": ("device", arguments(device=-1)),
}

TYPES = {
    "mask of 0 and 1": ("mask", arguments(mask=[[1, 0, 1, 1, 1]])),
    "masked array": ("key", arguments(key=np.ma.masked_array(zeros(B, HKV, T, D), mask=True))),
    "a flag that is an array": ("return_weights", arguments(return_weights=np.array([1, 2]))),
    "another flag that is a number": ("return_argmax", arguments(return_argmax=2.5)),
    "heads of floats": ("weights_heads", weights(weights_heads=[0.0, 1.0])),
    "heads as a mask": ("weights_heads", weights(weights_heads=[True] * HQ)),
    "rows as a slice": ("weights_rows", weights(weights_rows=slice(0, 2))),
    "a keyword of another library": ("is_causal", arguments(is_causal=True)),
    "query None": ("query", arguments(query=None)),
    "query of integers": ("query", arguments(query=zeros(B, HQ, S, D, dtype=np.int32))),
    "query of another float": ("query", arguments(query=zeros(B, HQ, S, D, dtype=np.float16))),
    "key of another float": ("key", arguments(key=zeros(B, HKV, T, D, dtype=np.float64))),
    "key of bfloat16": ("key", arguments(key=zeros(B, HKV, T, D, dtype=ml_dtypes.bfloat16))),
    "value of integers": ("value", arguments(value=zeros(B, HKV, T, DV, dtype=np.int64))),
    "value complex": ("value", arguments(value=zeros(B, HKV, T, DV, dtype=np.complex64))),
    "value of objects": ("value", arguments(value=np.full((B, HKV, T, DV), None))),
    "value no array": ("value", arguments(value=object())),
    "mask of integers": ("mask", arguments(mask=zeros(S, T, dtype=np.int32))),
    "mask of bytes": ("mask", arguments(mask=zeros(S, T, dtype=np.uint8))),
    "mask of a wider float": ("mask", arguments(mask=zeros(S, T, dtype=np.float64))),
    "mask of another half": ("mask", arguments(mask=zeros(S, T, dtype=np.float16))),
    "bias of bools": ("bias", arguments(bias=zeros(S, T, dtype=bool))),
    "bias of integers": ("bias", arguments(bias=zeros(S, T, dtype=np.int8))),
    "lengths of floats": ("kv_lengths", arguments(kv_lengths=[1.0, 2.0])),
    "lengths of bools": ("kv_lengths", arguments(kv_lengths=[True, True])),
    "slopes of words": ("alibi_slopes", arguments(alibi_slopes=["a", "b", "c", "d"])),
    "sinks of bools": ("sinks", arguments(sinks=[True] * HQ)),
    "scale a word": ("scale", arguments(scale="1")),
    "scale an array": ("scale", arguments(scale=zeros(2))),
    "softcap a word": ("softcap", arguments(softcap="none")),
    "dropout a word": ("dropout", arguments(dropout="0.1")),
    "dropout None": ("dropout", arguments(dropout=None)),
    "seed a float": ("seed", arguments(dropout=0.1, seed=1.0)),
    "seed a bool": ("seed", arguments(dropout=0.1, seed=True)),
    "seed None": ("seed", arguments(dropout=0.1, seed=None)),
    "dropout_offset a word": ("dropout_offset", arguments(dropout=0.1, dropout_offset="1")),
    "causal a number": ("causal", arguments(causal=1)),
    "params a list": ("params", arguments(params=[zeros(2)])),
    "params an array": ("params", arguments(score="general", params=zeros(D, D))),
    "a matrix of bools": ("params.weight", scored("general", weight=zeros(D, D, dtype=bool))),
    "a matrix of complex numbers": ("params.w_key", scored("additive", w_key=zeros(A, D, dtype=np.complex64))),
    "a masked parameter": ("params.v", scored("additive", v=np.ma.masked_array(zeros(A), mask=True))),
    "beta a word": ("params.beta", scored("cosine", beta="1")),
    "key None": ("key", arguments(key=None)),
    "variant a number": ("variant", arguments(variant=1)),
    "device a bool": ("device", arguments(device=True)),
    "device a float": ("device", arguments(device=0.0)),
    "unknown keyword": ("is_causal", arguments(is_causal=True)),
}

PACKED = {
    "not from 0": ("cu_seqlens_q", packed(cu_seqlens_q=[1, 2, 6])),
    "negative start": ("cu_seqlens_k", packed(cu_seqlens_k=[-1, 5, 9])),
    "falling": ("cu_seqlens_k", packed(cu_seqlens_k=[0, 10, 9])),
    "too short a total": ("cu_seqlens_q", packed(cu_seqlens_q=[0, 2, 5])),
    "too long a total": ("cu_seqlens_k", packed(cu_seqlens_k=[0, 5, 10])),
    "only of queries": ("cu_seqlens_k", packed(cu_seqlens_k=None)),
    "only of keys": ("cu_seqlens_q", packed(cu_seqlens_q=None)),
    "of unlike counts": ("cu_seqlens_k", packed(cu_seqlens_k=[0, 9])),
    "empty": ("cu_seqlens_q", packed(cu_seqlens_q=np.zeros(0, int))),
    "a matrix": ("cu_seqlens_q", packed(cu_seqlens_q=[[0, 2, 6]])),
    "beyond 63 bits": ("cu_seqlens_q", packed(cu_seqlens_q=np.array([0, 2**64 - 1, 6], np.uint64))),
    "query of rank 2": ("query", packed(query=zeros(6, D))),
    "query of rank 4": ("query", packed(query=zeros(1, 6, HQ, D))),
    "key of rank 4": ("key", packed(key=zeros(9, HKV, D, 1))),
    "value of rank 2": ("value", packed(value=zeros(9, HKV))),
    "value of rank 4": ("value", packed(value=zeros(9, HKV, DV, 1))),
    "value of other rows": ("value", packed(value=zeros(8, HKV, DV))),
    "key of other heads": ("key", packed(key=zeros(9, 1, D))),
    "key of another D": ("key", packed(key=zeros(9, HKV, D + 1))),
    "heads no multiple": ("query", packed(query=zeros(6, 3, D))),
    "no query heads": ("query", packed(query=zeros(6, 0, D))),
    "no value heads": ("value", packed(key=zeros(9, 0, D), value=zeros(9, 0, DV))),
    "with a mask": ("mask", packed(mask=zeros(6, 9, dtype=bool))),
    "with a bias": ("bias", packed(bias=zeros(6, 9))),
    "with lengths": ("kv_lengths", packed(kv_lengths=[4, 4])),
    "with weights": ("return_weights", packed(return_weights=True)),
    "with scores": ("return_scores", packed(return_scores=True)),
    "with column sums": ("return_column_sums", packed(return_column_sums=True)),
    "with argmax": ("return_argmax", packed(return_argmax=True)),
    "with entropy": ("return_entropy", packed(return_entropy=True)),
    "with location": ("location", packed(score="location", params={"weight": zeros(9, D)})),
    "with previous weights": (
        "previous_weights",
        packed(score="location-sensitive", params={**PARAMS["location-sensitive"], "previous_weights": zeros(1, 9)}),
    ),
    "with coverage": ("coverage", packed(score="coverage", params={**PARAMS["coverage"], "coverage": zeros(1, 9)})),
}


def refused(kind: type[Exception], name: str, call: dict[str, Any]) -> None:
    """By the device's functions and by the reference alike, where that has the argument."""
    for function in (clattn.attention, clattn.verify, clattn.reference):
        if function is clattn.reference and name in ("device", "variant"):
            continue
        with pytest.raises(kind) as caught:
            function(**call)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name, call", SHAPES.values(), ids=SHAPES)
def test_shape(name: str, call: dict[str, Any]) -> None:
    refused(ValueError, name, call)


@pytest.mark.parametrize("name, call", VALUES.values(), ids=VALUES)
def test_value(name: str, call: dict[str, Any]) -> None:
    refused(ValueError, name, call)


@pytest.mark.parametrize("name, call", TYPES.values(), ids=TYPES)
def test_type(name: str, call: dict[str, Any]) -> None:
    refused(TypeError, name, call)


@pytest.mark.parametrize("name, call", PACKED.values(), ids=PACKED)
def test_packed(name: str, call: dict[str, Any]) -> None:
    refused(ValueError, name, call)


@pytest.mark.parametrize("score, name", [(score, name) for score, params in PARAMS.items() for name in params])
def test_missing(score: str, name: str) -> None:
    refused(ValueError, f"params.{name}", scored(score, **{name: None}))


def test_packed_lengths_of_floats() -> None:
    refused(TypeError, "cu_seqlens_q", packed(cu_seqlens_q=[0.0, 2.0, 6.0]))


def test_good_calls_pass() -> None:
    """The calls that the tests above spoil are good ones."""
    for call in (arguments(), one_head(), packed(), *map(scored, PARAMS), two_channels()):
        assert clattn.verify(**call).ok


@pytest.mark.parametrize("sample", [0, -1, True, 1.5, "all"])
def test_sample(sample: Any) -> None:
    with pytest.raises(ValueError, match="sample"):
        clattn.verify(**one_head(), sample=sample)


def test_verify_on_the_reference() -> None:
    with pytest.raises(ValueError, match="device"):
        clattn.verify(**one_head(), device="reference")


def test_variant_that_cannot_take_it() -> None:
    """UnsupportedError is a ValueError for those who ask for the wrong thing, an Error for those who try devices."""
    with pytest.raises(clattn.UnsupportedError, match="reference") as caught:
        clattn.attention(**one_head(), variant="reference")
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, clattn.Error)
    assert caught.value.status == "CLATTN_E_UNSUPPORTED"


CONTEXT = {
    "weights of another rank": (ValueError, "weights", zeros(HQ, S, T), zeros(B, HKV, T, DV)),
    "weights of another T": (ValueError, "value", zeros(B, HQ, S, T + 1), zeros(B, HKV, T, DV)),
    "heads no multiple": (ValueError, "weights", zeros(B, 3, S, T), zeros(B, HKV, T, DV)),
    "no weights' heads": (ValueError, "weights", zeros(B, 0, S, T), zeros(B, HKV, T, DV)),
    "no values' heads": (ValueError, "value", zeros(B, HQ, S, T), zeros(B, 0, T, DV)),
    "Dv of 0": (ValueError, "value", zeros(S, T), zeros(T, 0)),
    "rank 5": (ValueError, "value", zeros(1, 1, 1, S, T), zeros(1, 1, 1, T, DV)),
    "weights of another float": (TypeError, "weights", zeros(S, T, dtype=np.float64), zeros(T, DV)),
    "weights None": (TypeError, "weights", None, zeros(T, DV)),
}


@pytest.mark.parametrize("kind, name, weights, value", CONTEXT.values(), ids=CONTEXT)
def test_context(kind: type[Exception], name: str, weights: Any, value: Any) -> None:
    with pytest.raises(kind, match=name):
        clattn.context(weights, value)


def test_ambiguous_device() -> None:
    """PoCL makes several devices of one CPU; part of their name then fits both."""
    if "Portable" not in clattn.devices()[0].platform:
        pytest.skip("no PoCL, which alone can be told to show two devices")
    code = """
        import clattn, numpy as np
        name = clattn.devices()[1].name
        assert name == clattn.devices()[0].name
        a = np.zeros((2, 3), np.float32)
        clattn.attention(a, a, a, device=1)
        try: clattn.attention(a, a, a, device=name)
        except ValueError as error: print(error)
    """
    done = run(code, POCL_DEVICES="pthread pthread")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("device") and "pthread" in done.stdout
