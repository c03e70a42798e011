"""The scores that have parameters, and the normalizers beside softmax, against plain.py and against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain import DTYPES, expect

import clattn
from clattn import _job

B, HQ, HKV, S, T, D, DK, DV, A = 2, 4, 2, 3, 7, 5, 6, 4, 8
RNG = np.random.default_rng(5)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


def earlier_weights(*shape: int) -> np.ndarray:
    return RNG.dirichlet(np.ones(shape[-1]), shape[:-1]).astype(np.float32)


QUERY, KEY, VALUE = normal(B, HQ, S, D), normal(B, HKV, T, DK), normal(B, HKV, T, DV)
KEY_OF_D = normal(B, HKV, T, D)
ADDITIVE = {"w_query": normal(A, D), "w_key": normal(A, DK), "v": normal(A)}
PREVIOUS = earlier_weights(B, T)

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "general": ("general", {"weight": normal(D, DK)}),
    "general, per head": ("general", {"weight": normal(HQ, D, DK)}),
    "additive": ("additive", ADDITIVE),
    "additive, bias": ("additive", {**ADDITIVE, "bias": normal(A)}),
    "additive, g": ("additive", {**ADDITIVE, "g": 2.5}),
    "additive, some per head": (
        "additive",
        {**ADDITIVE, "w_key": normal(HQ, A, DK), "bias": normal(HQ, A), "g": normal(HQ)},
    ),
    "additive, all per head": (
        "additive",
        {"w_query": normal(HQ, A, D), "w_key": normal(HQ, A, DK), "v": normal(HQ, A), "bias": normal(HQ, A)},
    ),
    "location": ("location", {"weight": normal(T + 2, D)}),
    "location, per head": ("location", {"weight": normal(HQ, T, D)}),
    "location-sensitive": (
        "location-sensitive",
        {**ADDITIVE, "conv": normal(3, 5), "w_location": normal(A, 3), "previous_weights": PREVIOUS},
    ),
    "location-sensitive, two channels": (
        "location-sensitive",
        {
            **ADDITIVE,
            "bias": normal(A),
            "conv": normal(3, 2, 5),
            "w_location": normal(A, 3),
            "previous_weights": PREVIOUS,
            "cumulative_weights": PREVIOUS + earlier_weights(B, T),
        },
    ),
    "location-sensitive, per head": (
        "location-sensitive",
        {
            **ADDITIVE,
            "conv": normal(HQ, 3, 2, 5),
            "w_location": normal(HQ, A, 3),
            "previous_weights": earlier_weights(B, HQ, T),
            "cumulative_weights": earlier_weights(B, HQ, T),
        },
    ),
    "location-sensitive, wider than the keys": (
        "location-sensitive",
        {**ADDITIVE, "conv": normal(1, 31), "w_location": normal(A, 1), "previous_weights": PREVIOUS},
    ),
    "coverage": ("coverage", {**ADDITIVE, "w_coverage": normal(A), "coverage": 3 * PREVIOUS}),
    "coverage, per head": (
        "coverage",
        {**ADDITIVE, "w_coverage": normal(HQ, A), "coverage": earlier_weights(B, HQ, T), "g": [1.5]},
    ),
    "cosine": ("cosine", {"beta": 5}),
    "cosine, beta per head": ("cosine", {"beta": normal(HQ)}),
    "cosine, beta per row": ("cosine", {"beta": normal(B, S)}),
    "cosine, beta per row and head": ("cosine", {"beta": normal(B, HQ, S)}),
    "rbf": ("rbf", {"gamma": np.float64(0.5)}),
    "rbf, gamma per head": ("rbf", {"gamma": np.abs(normal(HQ))}),
}
NORMALIZERS = ["softmax", "none", "sigmoid", "sparsemax", "entmax15"]


def call_of(score: str, params: dict[str, Any], dtype: Any = np.float32) -> dict[str, Any]:
    key = KEY_OF_D if score in ("cosine", "rbf") else KEY
    arrays = {"query": QUERY, "key": key, "value": VALUE}
    return {**{name: a.astype(dtype) for name, a in arrays.items()}, "score": score, "params": params}


def one_head(a: Any) -> Any:
    """What a parameter is of one head: the first."""
    return a[0] if np.ndim(a) and len(a) == HQ else a


def check(call: dict[str, Any]) -> None:
    """All outputs, of a device and of the reference."""
    outputs = {f"return_{name}": True for name in ("weights", "scores", "lse")}
    expected = expect(**call)
    names = ("output", "weights", "scores", "lse")
    for name, got in zip(names, clattn.attention(**call, **outputs)):
        assert expected[name].error(got) <= expected[name].bound, name
    for name, got in zip(names, clattn.reference(**call, **outputs)):
        assert expected[name].error(got) <= expected[name].reference_bound, name
    assert clattn.verify(**call, **outputs)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("score, params", CALLS.values(), ids=CALLS)
def test_score(score: str, params: dict[str, Any], dtype: np.dtype) -> None:
    check({**call_of(score, params, dtype), "kv_lengths": [T, 4], "softcap": 4.0})


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("score", ["general", "additive", "rbf"])
def test_normalizer(score: str, normalizer: str) -> None:
    """Also of rows that see little or nothing."""
    call = {**call_of(*CALLS[score]), "normalizer": normalizer, "scale": 0.7, "kv_lengths": [0, T]}
    for causal in (False, True):
        check({**call, "causal": causal})


@pytest.mark.parametrize("score, params", CALLS.values(), ids=CALLS)
def test_layout(score: str, params: dict[str, Any]) -> None:
    """That of parameters stays as it is."""
    call = call_of(score, params)
    turned = {name: call[name].transpose(0, 2, 1, 3) for name in ("query", "key", "value")}
    got = clattn.attention(**{**call, **turned}, layout="bshd")
    np.testing.assert_allclose(got.transpose(0, 2, 1, 3), clattn.attention(**call), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("score, params", CALLS.values(), ids=CALLS)
def test_lower_ranks(score: str, params: dict[str, Any]) -> None:
    call = call_of(score, params)
    whole = clattn.attention(**call)
    arrays = {"query": call["query"][:, 0], "key": call["key"][:, 0], "value": call["value"][:, 0]}
    own = {name: a[:, 0] if np.ndim(a) == 3 and len(a) == B else one_head(a) for name, a in params.items()}
    one = clattn.attention(**arrays, score=score, params=own)
    np.testing.assert_allclose(one, whole[:, 0], rtol=1e-5, atol=1e-5)
    of_sequence = {name: a[1:2] if np.ndim(a) == 2 and len(a) == B else a for name, a in own.items()}
    alone = clattn.attention(**{name: a[1] for name, a in arrays.items()}, score=score, params=of_sequence)
    np.testing.assert_allclose(alone, whole[1, 0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("score, params", CALLS.values(), ids=CALLS)
def test_packed(score: str, params: dict[str, Any]) -> None:
    """Sequences that lie one behind the other take parameters, but nothing that goes with their keys."""
    call = call_of(score, params)
    packed: dict[str, Any] = {"score": score, "params": params, "cu_seqlens_q": [0, S, 2 * S]}
    for name in ("query", "key", "value"):
        turned = call[name].transpose(0, 2, 1, 3)
        packed[name] = turned.reshape(-1, *turned.shape[2:])
    packed["cu_seqlens_k"] = [0, T, 2 * T]
    if score in ("location", "location-sensitive", "coverage"):
        with pytest.raises(ValueError, match="packed"):
            clattn.attention(**packed)
        return
    if np.ndim(params.get("beta")) > 1:
        rows = np.moveaxis(params["beta"], 0, -2)  # (B, S), or (Hq, B, S)
        packed["params"] = {"beta": rows.reshape(1, *rows.shape[:-2], -1)}
    want = clattn.attention(**call).transpose(0, 2, 1, 3).reshape(-1, HQ, DV)
    np.testing.assert_allclose(clattn.reference(**packed), want, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(clattn.attention(**packed), want, rtol=1e-5, atol=1e-5)


def test_location_reads_no_key() -> None:
    call = call_of(*CALLS["location"])
    without = clattn.attention(**{**call, "key": None}, return_weights=True)
    for key in (KEY, np.full_like(KEY, np.nan)):
        for got, want in zip(clattn.attention(**{**call, "key": key}, return_weights=True), without):
            np.testing.assert_array_equal(got, want)
    assert clattn.verify(**{**call, "key": None})
    with pytest.raises(TypeError, match="key"):
        clattn.attention(**{**call_of(*CALLS["general"]), "key": None})


def test_concat() -> None:
    """Luong's concat, v^T tanh(W [q; k]), is additive with the matrix split."""
    matrix = np.concatenate([ADDITIVE["w_query"], ADDITIVE["w_key"]], axis=1)
    params = {"w_query": matrix[:, :D], "w_key": matrix[:, D:], "v": ADDITIVE["v"]}
    got = clattn.attention(**call_of("additive", params), return_scores=True)[1]
    for b, h, i, j in np.ndindex(got.shape):
        both = np.concatenate([QUERY[b, h, i], KEY[b, h * HKV // HQ, j]])
        assert abs(got[b, h, i, j] - params["v"] @ np.tanh(matrix @ both)) < 1e-5


def test_identity_is_dot() -> None:
    general = {**call_of("general", {"weight": np.eye(D, dtype=np.float16)}), "key": KEY_OF_D}
    dot = {**general, "score": "dot", "params": None}
    np.testing.assert_allclose(clattn.attention(**general), clattn.attention(**dot), rtol=1e-5, atol=1e-6)


def test_cosine_of_zero_vectors() -> None:
    query, key = QUERY.copy(), KEY_OF_D.copy()
    query[0, 1, 2] = key[:, :, 3] = 0
    call = {"query": query, "key": key, "value": VALUE, "score": "cosine", "params": {"beta": 3.0}}
    scores = clattn.attention(**call, return_scores=True)[1]
    assert (scores[0, 1, 2] == 0).all() and (scores[..., 3] == 0).all()
    assert np.count_nonzero(scores) == scores.size - T - B * HQ * S + 1
    check(call)


def test_nothing_seen_before_adds_nothing() -> None:
    """The first step of a decoder: what was attended to so far is 0."""
    nothing = np.zeros((B, T), np.float32)
    additive = clattn.attention(**call_of("additive", ADDITIVE))
    for score, seen in (("location-sensitive", "previous_weights"), ("coverage", "coverage")):
        got = clattn.attention(**call_of(score, {**CALLS[score][1], seen: nothing}))
        np.testing.assert_allclose(got, additive, rtol=1e-5, atol=1e-6)


def test_rows_of_weights_add_up() -> None:
    call = call_of(*CALLS["rbf"])
    entmax = {name: clattn.attention(**call, normalizer=name, return_weights=True)[1] for name in NORMALIZERS}
    for name in ("softmax", "sparsemax", "entmax15"):
        np.testing.assert_allclose(entmax[name].sum(axis=-1), 1, rtol=1e-6)
    zeros = {name: np.count_nonzero(weights == 0) for name, weights in entmax.items()}
    assert zeros["sparsemax"] > zeros["entmax15"] > zeros["softmax"] == zeros["sigmoid"] == 0


def test_types_of_parameters() -> None:
    """Any float type, numbers and lists, whatever the type of query, key and value."""
    params = {name: np.round(8 * a) / 8 for name, a in ADDITIVE.items()}  # which every type holds
    want = clattn.attention(**call_of("additive", {**params, "g": [2.0]}))
    for dtype in (*DTYPES.values(), ">f4"):
        of_type = {name: a.astype(dtype) for name, a in params.items()}
        np.testing.assert_array_equal(clattn.attention(**call_of("additive", {**of_type, "g": 2})), want)
    assert {a.dtype.name for a in _job.describe(**call_of("additive", {**params, "g": 2.0})).kept.values()} == {
        "float32"
    }
    lists = {name: a.tolist() for name, a in params.items()}
    np.testing.assert_array_equal(clattn.attention(**call_of("additive", {**lists, "g": np.int8(2)})), want)


def test_parameters_as_they_lie() -> None:
    """With any strides."""
    params = {**CALLS["location-sensitive, per head"][1], "bias": normal(A)}
    want = clattn.attention(**call_of("location-sensitive", params))
    turned = {name: np.asfortranarray(a) for name, a in params.items()}
    backwards = {name: np.flip(np.flip(a).copy()) for name, a in params.items()}
    gaps = {name: np.repeat(a, 3, axis=-1)[..., 1::3] for name, a in params.items()}
    shared = {**params, "conv": np.broadcast_to(params["conv"][:1], params["conv"].shape)}
    for laid_out in (turned, backwards, gaps):
        np.testing.assert_array_equal(clattn.attention(**call_of("location-sensitive", laid_out)), want)
    copied = {**shared, "conv": shared["conv"].copy()}
    np.testing.assert_array_equal(
        clattn.attention(**call_of("location-sensitive", shared)),
        clattn.attention(**call_of("location-sensitive", copied)),
    )


def test_calls_that_look_alike() -> None:
    """What is kept of one call must not show in another."""
    square = {"query": QUERY, "key": normal(B, HKV, D, D), "value": normal(B, HKV, D, DV)}
    weight = normal(D, D)
    calls = [{**square, "score": score, "params": {"weight": weight}} for score in ("general", "location")]
    calls += [call_of("additive", params) for params in (ADDITIVE, {**ADDITIVE, "bias": None})]
    calls += [call_of("additive", {**ADDITIVE, "bias": scale * np.ones(A)}) for scale in (1, -1)]
    calls += [{**call_of("additive", ADDITIVE), "bias": bias} for bias in (normal(S, T), None)]
    calls += [call_of("rbf", {"gamma": gamma}) for gamma in (1, 2, [1.0], np.ones(HQ))]
    for call in calls + calls:
        expected = expect(**call)["output"]
        assert expected.error(clattn.attention(**call)) <= expected.bound


@pytest.mark.parametrize("score", ["location-sensitive", "coverage"])
def test_steps_of_a_decoder(score: str) -> None:
    """Weights go back in as they came out."""
    _, params = CALLS[score]
    seen = np.zeros((B, HQ, T), np.float32)
    for i in range(S):
        step = {**params, "previous_weights" if score == "location-sensitive" else score: seen}
        call = {**call_of(score, step), "query": QUERY[:, :, i : i + 1]}
        check(call)
        weights = clattn.attention(**call, return_weights=True)[1][:, :, 0]
        seen = weights if score == "location-sensitive" else seen + weights
    np.testing.assert_allclose(seen.sum(axis=-1), S if score == "coverage" else 1, rtol=1e-5)
