"""Keys that are projected once, against calls that take the keys themselves and against plain.py."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from plain import DTYPES, expect
from scripts import run
from test_scores import ADDITIVE, CALLS, DK, HKV, HQ, KEY, QUERY, VALUE, A, B, D, S, T, call_of, normal

import clattn

RNG = np.random.default_rng(9)
OUTPUTS = {f"return_{name}": True for name in ("weights", "scores", "lse")}
NAMES = ("output", "weights", "scores", "lse")
PROJECTED = {
    name: call
    for name, call in CALLS.items()
    if call[0] not in ("location", "rbf") and name != "general, per head"  # see test_query_heads_that_share_keys
}


def projected(call: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The call with its keys projected."""
    keys = clattn.project_keys(call["key"], call["params"], score=call["score"], query_heads=HQ, **options)
    params = {name: a for name, a in call["params"].items() if name not in ("weight", "w_key")}
    return {**call, "key": keys, "params": params}


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("score, params", PROJECTED.values(), ids=PROJECTED)
def test_as_with_the_keys(score: str, params: dict[str, Any], dtype: np.dtype) -> None:
    call = {**call_of(score, params, dtype), "kv_lengths": [T, 4], "softcap": 4.0}
    expected = expect(**call)
    made = projected(call)
    for _ in range(2):
        for name, got in zip(NAMES, clattn.attention(**made, **OUTPUTS)):
            assert expected[name].error(got) <= expected[name].bound, name
    assert (made["key"].score, made["key"].dtype) == (score, dtype)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("score, params", PROJECTED.values(), ids=PROJECTED)
def test_on_the_reference(score: str, params: dict[str, Any], dtype: np.dtype) -> None:
    """Which projects them at each call, so that its results have the bits that they always have."""
    call = {**call_of(score, params, dtype), "kv_lengths": [T, 4]}
    made = projected(call, device="reference")
    assert made["key"].device.kind == "reference"
    want = clattn.reference(**call, **OUTPUTS)
    for results in (clattn.reference(**made, **OUTPUTS), clattn.attention(**made, **OUTPUTS)):
        for got, expected in zip(results, want):
            np.testing.assert_array_equal(got, expected)


def test_query_heads_that_share_keys() -> None:
    """Each would make other keys of them by a weight of its own."""
    call = call_of(*CALLS["general, per head"])
    with pytest.raises(clattn.UnsupportedError, match="params.weight"):
        projected(call)
    alone = {**call, "key": KEY.repeat(2, axis=1), "value": VALUE.repeat(2, axis=1)}
    expected = expect(**alone)["output"]
    assert expected.error(clattn.attention(**projected(alone))) <= expected.bound


@pytest.mark.parametrize("score, params", PROJECTED.values(), ids=PROJECTED)
def test_layout(score: str, params: dict[str, Any]) -> None:
    call = call_of(score, params)
    turned = {**call, **{name: call[name].transpose(0, 2, 1, 3) for name in ("query", "key", "value")}}
    got = clattn.attention(**projected(turned, layout="bshd"), layout="bshd")
    np.testing.assert_allclose(got.transpose(0, 2, 1, 3), clattn.attention(**call), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("score", ["general", "additive", "cosine"])
def test_lower_ranks(score: str) -> None:
    call = call_of(*CALLS[score])
    of_one_head = {name: call[name][:, 0] for name in ("query", "key", "value")}
    for one in (of_one_head, {name: a[1] for name, a in of_one_head.items()}):
        one = {**call, **one}
        keys = clattn.project_keys(one["key"], one["params"], score=score)
        params = projected(call)["params"]
        got = clattn.attention(**{**one, "key": keys, "params": params})
        np.testing.assert_allclose(got, clattn.attention(**one), rtol=1e-5, atol=1e-5)


def test_other_calls_with_the_same_keys() -> None:
    """Of more or fewer queries, other values, masks and outputs."""
    call = call_of("additive", ADDITIVE)
    made = projected(call)
    changes: list[dict[str, Any]] = [
        {"query": normal(B, HQ, 1, D)},
        {"query": normal(B, HQ, 11, D), "causal": True},
        {"value": normal(B, HKV, T, 9), "mask": RNG.random((T,)) < 0.7},
        {"normalizer": "sparsemax", "scale": 0.5},
        {"query": np.zeros((B, HQ, 0, D), np.float32)},
    ]
    for change in changes:
        expected = expect(**{**call, **change})["output"]
        assert expected.error(clattn.attention(**{**made, **change})) <= expected.bound


def test_arrays_may_change_afterwards() -> None:
    call = call_of("additive", ADDITIVE)
    key, w_key = call["key"].copy(), ADDITIVE["w_key"].copy()
    for device in (None, "reference"):
        made = projected({**call, "key": key, "params": {**ADDITIVE, "w_key": w_key}}, device=device)
        want = clattn.attention(**made)
        key[...] = w_key[...] = np.nan
        np.testing.assert_array_equal(clattn.attention(**made), want)
        key[...], w_key[...] = call["key"], ADDITIVE["w_key"]


def test_any_strides() -> None:
    call = call_of("additive", ADDITIVE)
    want = clattn.attention(**projected(call))
    backwards = {**call, "key": np.flip(np.flip(KEY).copy())}
    turned = {**call, "key": np.asfortranarray(KEY), "params": {**ADDITIVE, "w_key": ADDITIVE["w_key"].T.copy().T}}
    for other in (backwards, turned):
        np.testing.assert_array_equal(clattn.attention(**projected(other)), want)


def test_threads_share_keys() -> None:
    made = projected(call_of("additive", ADDITIVE))
    want = clattn.attention(**made)
    barrier = threading.Barrier(8)

    def many(_: int) -> list[np.ndarray]:
        barrier.wait()
        return [clattn.attention(**made) for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(many, range(8)):
            for got in results:
                np.testing.assert_array_equal(got, want)


def test_keys_go_with_the_object(monkeypatch: pytest.MonkeyPatch) -> None:
    library, gone = clattn._native.load(), []
    destroy = library.clattn_keys_destroy

    def count(handle: Any) -> None:
        gone.append(handle.value)
        destroy(handle)

    monkeypatch.setattr(library, "clattn_keys_destroy", count)
    made = projected(call_of("additive", ADDITIVE))
    clattn.attention(**made)
    assert not gone
    handle = made.pop("key").handle.value
    gc.collect()
    assert gone == [handle]
    for _ in range(3):
        with pytest.raises(clattn.UnsupportedError):
            projected(call_of(*CALLS["general, per head"]))
    gc.collect()
    assert len(gone) == 1


def test_memory_is_given_back() -> None:
    done = run("""
        import resource
        import numpy as np
        import clattn
        key = np.ones((1, 4096, 64), np.float32)
        params = {"w_query": np.ones((128, 8), np.float32), "w_key": np.ones((128, 64), np.float32)}

        def peak():
            for _ in range(50):
                for device in (None, "reference"):
                    clattn.project_keys(key, params, score="additive", device=device)
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        print(-peak() + peak())  # each time 100 + 50 MiB, were it kept
    """)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 40


def keys_of(score: str = "additive", **changes: Any) -> dict[str, Any]:
    """Good arguments of project_keys(), with changes."""
    call = call_of(*CALLS[score])
    return {"key": call["key"], "params": call["params"], "score": score, "query_heads": HQ, **changes}


def additive(**changes: Any) -> dict[str, Any]:
    return keys_of(params={**ADDITIVE, **changes})


MAKING: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "no key": (TypeError, "key: None", keys_of(key=None)),
    "key of integers": (TypeError, "key: dtype int64", keys_of(key=np.zeros((B, HKV, T, DK), np.int64))),
    "key of rank 1": (ValueError, "key: shape", keys_of(key=normal(DK))),
    "key of rank 5": (ValueError, "key: shape", keys_of(key=normal(1, B, HKV, T, DK))),
    "key without elements": (ValueError, "key: shape", keys_of(key=normal(B, HKV, T, 0))),
    "key without heads": (ValueError, "key: no heads", keys_of(key=normal(B, 0, T, DK))),
    "key without heads for as many": (ValueError, "key: no heads", keys_of(key=normal(B, 0, T, DK), query_heads=None)),
    "key of another size": (ValueError, "params.w_key: shape", keys_of(key=normal(B, HKV, T, DK + 1))),
    "unknown score": (ValueError, "score: 'cosmic'", {**keys_of(), "score": "cosmic"}),
    "score without projected keys": (ValueError, "score: 'dot'", {**keys_of(), "score": "dot"}),
    "location reads no key": (ValueError, "score: 'location'", keys_of("location")),
    "no params": (ValueError, "params.w_query: missing", keys_of(params=None)),
    "no w_key": (ValueError, "params.w_key: missing", additive(w_key=None)),
    "no w_query": (ValueError, "params.w_query: missing", additive(w_query=None)),
    "no weight": (ValueError, "params.weight: missing", keys_of("general", params={})),
    "unknown param": (ValueError, "params: 'weight'", additive(weight=normal(D, DK))),
    "params a list": (TypeError, "params: of type list", keys_of(params=[1])),
    "w_key a vector": (ValueError, "params.w_key: shape", additive(w_key=normal(DK))),
    "w_key without units": (ValueError, "params.w_key: shape", additive(w_key=normal(0, DK))),
    "w_key per key head": (ValueError, "params.w_key: shape", additive(w_key=normal(HKV, A, DK))),
    "w_query without elements": (ValueError, "params.w_query: shape", additive(w_query=normal(A, 0))),
    "weight a vector": (ValueError, "params.weight: shape", keys_of("general", params={"weight": normal(DK)})),
    "query heads no multiple": (
        ValueError,
        "query_heads: 3 heads, expected a multiple of the 2 of key",
        keys_of(query_heads=3),
    ),
    "no query heads": (ValueError, "query_heads: 0", keys_of(query_heads=0)),
    "negative query heads": (ValueError, "query_heads: -2", keys_of(query_heads=-2)),
    "query heads beyond 63 bits": (ValueError, "query_heads", keys_of(query_heads=2**64 + 2)),
    "query heads a float": (TypeError, "query_heads: 4.0", keys_of(query_heads=4.0)),
    "query heads a bool": (TypeError, "query_heads: True", keys_of(query_heads=True)),
    "query heads without an axis": (ValueError, "query_heads: 4", keys_of(key=normal(B, T, DK))),
    "unknown layout": (ValueError, "layout", keys_of(layout="bsdh")),
    "unknown device": (ValueError, "device", keys_of(device="no such device")),
}


@pytest.mark.parametrize("kind, sentence, call", MAKING.values(), ids=MAKING)
def test_what_makes_no_keys(kind: type[Exception], sentence: str, call: dict[str, Any]) -> None:
    with pytest.raises(kind) as caught:
        clattn.project_keys(**call)
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


def spoilt(**changes: Any) -> dict[str, Any]:
    return {**projected(call_of("additive", ADDITIVE)), **changes}


def in_f64() -> dict[str, Any]:
    made = spoilt()
    return {**made, **{name: made[name].astype(np.float64) for name in ("query", "value")}}


def as_packed() -> dict[str, Any]:
    made = spoilt()
    arrays = {
        name: made[name].transpose(0, 2, 1, 3).reshape(-1, *made[name].shape[1::2]) for name in ("query", "value")
    }
    return {**made, **arrays, "cu_seqlens_q": [0, S, 2 * S], "cu_seqlens_k": [0, T, 2 * T]}


USE: dict[str, tuple[type[Exception], str, Callable[[], dict[str, Any]]]] = {
    "with another score": (ValueError, "key: projected with score=additive", lambda: spoilt(score="dot", params=None)),
    "with a score on top": (
        ValueError,
        "key: projected with score=additive, expected coverage",
        lambda: spoilt(score="coverage", params=projected(call_of(*CALLS["coverage"]))["params"]),
    ),
    "with another type": (TypeError, "key: projected with dtype=float32, expected float64", in_f64),
    "with other query heads": (ValueError, "key: projected with Hq=4, expected 2", lambda: spoilt(query=QUERY[:, :2])),
    "with other heads": (ValueError, "key: projected with Hkv=2, expected 1", lambda: spoilt(value=VALUE[:, :1])),
    "with another batch": (
        ValueError,
        "key: projected with B=2, expected 1",
        lambda: spoilt(query=QUERY[:1], value=VALUE[:1]),
    ),
    "with queries of another size": (
        ValueError,
        "key: projected with D=5, expected 4",
        lambda: spoilt(query=QUERY[..., :4]),
    ),
    "with other hidden units": (
        ValueError,
        "key: projected with A=8, expected 7",
        lambda: spoilt(params={"w_query": normal(7, D), "v": normal(7)}),
    ),
    "with other values": (ValueError, "value: shape", lambda: spoilt(value=VALUE[:, :, :-1])),
    "with w_key": (ValueError, "params.w_key: given with projected keys", lambda: spoilt(params=ADDITIVE)),
    "without v": (ValueError, "params.v: missing", lambda: spoilt(params={"w_query": ADDITIVE["w_query"]})),
    "packed": (ValueError, "key: projected keys, given with packed", as_packed),
    "on another device": (ValueError, "device: reference, expected", lambda: spoilt(device="reference")),
    "by another variant": (
        clattn.UnsupportedError,
        "no variant takes this problem: reference",
        lambda: spoilt(variant="reference"),
    ),
}


@pytest.mark.parametrize("kind, sentence, call", USE.values(), ids=USE)
def test_what_takes_no_such_keys(kind: type[Exception], sentence: str, call: Callable[[], dict[str, Any]]) -> None:
    arguments = call()
    with pytest.raises(kind) as caught:
        clattn.attention(**arguments)
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


def test_keys_are_projected_once() -> None:
    with pytest.raises(TypeError, match="^key: "):
        clattn.project_keys(**keys_of(key=clattn.project_keys(**keys_of())))


def test_reference_needs_its_own() -> None:
    with pytest.raises(ValueError, match="^key: projected on .*, expected .*device='reference'"):
        clattn.reference(**spoilt())
    with pytest.raises(ValueError, match="^key: projected keys, expected an array"):
        clattn.verify(**spoilt())
    with pytest.raises(ValueError, match="^device: .*, expected reference"):
        clattn.attention(**projected(call_of("additive", ADDITIVE), device="reference"), device=0)


def test_fork_with_keys() -> None:
    """What a child has of them must neither be used nor hang when it goes."""
    done = run("""
        import gc, os, signal
        import numpy as np
        import clattn
        a = np.ones((3, 4), np.float32)
        call = {"value": a, "score": "general"}
        keys = clattn.project_keys(a, {"weight": np.eye(4, dtype=np.float32)}, score="general")
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            try:
                clattn.attention(a, keys, **call)
            except clattn.Error as error:
                os.write(1, str(error).encode())
            del keys
            gc.collect()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        clattn.attention(a, keys, **call)
    """)
    assert done.returncode == 0, done.stderr
    assert "forked" in done.stdout
