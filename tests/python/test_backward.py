"""Gradients: slopes of losses that plain.py computes, on the reference; and on devices what the reference gives."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import plain
import pytest
from plain import DTYPES
from test_keys import PROJECTED, projected
from test_packed import LENGTHS, pack, sequences
from test_reports import spoiled
from test_scores import CALLS, DV, HKV, HQ, NORMALIZERS, A, B, D, S, T, call_of

import clattn

RNG = np.random.default_rng(21)
INPUTS = ("query", "key", "value", "bias", "alibi_slopes", "sinks")


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape, np.float32)


OF_LOSS = {"output": normal(B, HQ, S, DV), "weights": normal(B, HQ, S, T), "lse": normal(B, HQ, S)}
"""What the loss has of each number: it is the sum of their products."""

CALL = {"query": normal(B, HQ, S, D), "key": normal(B, HKV, T, D), "value": normal(B, HKV, T, DV)}
SEEN = RNG.random((S, T)) < 0.7
FADED = np.where(SEEN, normal(S, T), -np.inf).astype(np.float32)

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "scale and softcap": {"scale": 0.7, "softcap": 1.5},
    "causal": {"causal": True},
    "bottom-right": {"causal": "bottom-right"},
    "window": {"window": (1, 2), "alignment": "bottom-right"},
    "mask": {"mask": SEEN},
    "float mask": {"mask": FADED},
    "nothing seen": {"mask": np.zeros((S, T), bool)},
    "bias": {"bias": normal(B, HQ, S, T)},
    "bias for all queries": {"bias": normal(HQ, 1, T)},
    "bias for all keys": {"bias": normal(B, 1, S, 1)},
    "lengths": {"kv_lengths": np.array([T, 2])},
    "no keys": {"kv_lengths": np.array([0, T])},
    "alibi": {"alibi_slopes": normal(HQ), "alignment": "bottom-right"},
    "sinks": {"sinks": normal(HQ)},
    "all": {
        "scale": 0.7,
        "softcap": 1.5,
        "causal": "bottom-right",
        "window": (4, 3),
        "mask": FADED,
        "bias": normal(HQ, 1, T),
        "kv_lengths": np.array([T, 5]),
        "alibi_slopes": normal(HQ),
        "sinks": normal(HQ),
    },
}


def backward(call: dict[str, Any], of_loss: dict[str, Any], **options: Any) -> clattn.Gradients:
    others = {f"grad_{name}": a for name, a in of_loss.items() if name != "output"}
    return clattn.attention_backward(of_loss.get("output"), **call, **others, **options)


def by_name(found: clattn.Gradients) -> dict[str, np.ndarray]:
    """Those that are there."""
    of_inputs = {name: getattr(found, name) for name in INPUTS if getattr(found, name) is not None}
    return {**of_inputs, **{f"params.{name}": a for name, a in found.params.items()}}


def inputs(call: dict[str, Any]) -> dict[str, Any]:
    """What of a call should have a gradient."""
    reads_key = call.get("score") != "location"
    of_inputs = {name: call[name] for name in INPUTS if name in call and (reads_key or name != "key")}
    return {**of_inputs, **{f"params.{name}": a for name, a in call.get("params", {}).items()}}


def in_f64(call: dict[str, Any]) -> dict[str, Any]:
    """The float arrays of a call, the parameters among them."""
    found = {name: np.asarray(a, np.float64) if np.asarray(a).dtype.kind == "f" else a for name, a in call.items()}
    if "params" in call:
        found["params"] = {name: np.asarray(a, np.float64) for name, a in call["params"].items()}
    return found


def moved(call: dict[str, Any], name: str, step: np.ndarray) -> dict[str, Any]:
    if name.startswith("params."):
        name = name[len("params.") :]
        return {**call, "params": {**call["params"], name: call["params"][name] + step}}
    return {**call, name: call[name] + step}


def loss(call: dict[str, Any], of_loss: dict[str, Any]) -> float:
    with np.errstate(all="ignore"):
        found = plain.attention(**call, real=np.float64)
    there = {name: getattr(found, name) for name in of_loss}  # an lse of no key is -inf
    return sum(float((np.where(np.isfinite(a), a, 0) * of_loss[name]).sum()) for name, a in there.items())


def check_slopes(
    call: dict[str, Any],
    of_loss: dict[str, Any] = OF_LOSS,
    loss: Callable[[dict[str, Any], dict[str, Any]], float] = loss,
) -> None:
    """Each gradient along random directions, against differences of the loss."""
    call, of_loss = in_f64(call), in_f64(of_loss)
    found = by_name(backward(call, of_loss, device="reference"))
    assert found.keys() == inputs(call).keys()
    rng, size = np.random.default_rng(0), 1e-5
    for name, a in inputs(call).items():
        assert found[name].dtype == np.float64 and found[name].shape == (a.shape or (1,))
        for _ in range(3):
            direction = rng.standard_normal(a.shape)
            ends = [loss(moved(call, name, sign * size * direction), of_loss) for sign in (1, -1)]
            slope = (ends[0] - ends[1]) / (2 * size)
            assert (found[name].reshape(a.shape) * direction).sum() == pytest.approx(slope, rel=1e-5, abs=1e-6), name


def check_on_a_device(call: dict[str, Any], of_loss: dict[str, Any] = OF_LOSS, **options: Any) -> None:
    others = {f"grad_{name}": a for name, a in of_loss.items() if name != "output"}
    report = clattn.verify_backward(of_loss.get("output"), **call, **others, **options)
    assert report.ok, str(report)
    assert set(report.errors) == {f"grad.{name}" for name in inputs(call)}


@pytest.mark.parametrize("score, params", CALLS.values(), ids=CALLS)
def test_scores(score: str, params: dict[str, Any]) -> None:
    check_slopes(call_of(score, params))


@pytest.mark.parametrize("score, params", CALLS.values(), ids=CALLS)
def test_scores_on_a_device(score: str, params: dict[str, Any]) -> None:
    check_on_a_device(call_of(score, params))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_modifications(options: dict[str, Any]) -> None:
    check_slopes({**CALL, **options})
    check_on_a_device({**CALL, **options})


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_normalizers(normalizer: str) -> None:
    call = {**CALL, "normalizer": normalizer, "bias": normal(1, 1, 1, T), "kv_lengths": np.array([T, 4])}
    check_slopes(call)
    check_on_a_device(call)


@pytest.mark.parametrize("name", OF_LOSS)
def test_each_coming_in(name: str) -> None:
    call, of_loss = {**CALL, "sinks": normal(HQ)}, {name: OF_LOSS[name]}
    check_slopes(call, of_loss)
    check_on_a_device(call, of_loss)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_types(dtype: np.dtype) -> None:
    """Each gradient has the type of what it is of, and one with respect to the lse that of the sums."""
    call = call_of("general", {"weight": normal(D, 6).astype(np.float64)}, dtype)
    of_loss = {name: a.astype(dtype) for name, a in OF_LOSS.items()}
    of_loss["lse"] = OF_LOSS["lse"].astype(np.float64 if dtype == np.float64 else np.float32)
    check_on_a_device({**call, "bias": normal(1, T)}, of_loss)
    found = by_name(backward({**call, "bias": normal(1, T)}, of_loss))
    expected = {**dict.fromkeys(("query", "key", "value"), dtype), "bias": np.float32, "params.weight": np.float64}
    assert {name: a.dtype for name, a in found.items()} == expected


def test_layout() -> None:
    turned = {name: a.transpose(0, 2, 1, 3) for name, a in CALL.items()}
    want = backward(CALL, {"output": OF_LOSS["output"]})
    got = backward(turned, {"output": OF_LOSS["output"].transpose(0, 2, 1, 3)}, layout="bshd")
    for name, a in by_name(want).items():
        np.testing.assert_allclose(getattr(got, name).transpose(0, 2, 1, 3), a, rtol=1e-5, atol=1e-6)


def test_lower_ranks() -> None:
    of_head = {name: a[:, 0] for name, a in CALL.items()}
    for call, of_loss in ((of_head, OF_LOSS["output"][:, 0]), ({n: a[1] for n, a in of_head.items()}, normal(S, DV))):
        check_slopes(call, {"output": of_loss})
        check_on_a_device(call, {"output": of_loss})


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize(
    "options",
    [{"causal": "bottom-right"}, {"sinks": normal(4)}, {"sinks": normal(4), "alibi_slopes": normal(4)}],
    ids=["causal", "sinks", "sinks and slopes"],
)
@pytest.mark.parametrize("device", [None, "reference"])
def test_packed(device: str | None, options: dict[str, Any], lengths: tuple[list[int], list[int]]) -> None:
    """What each sequence gives on its own; of what they share, the sum."""
    arrays, starts = pack(lengths, np.dtype(np.float32))
    of_output, of_lse = normal(len(arrays["query"]), 4, 5), normal(4, len(arrays["query"]))
    got = backward({**arrays, **starts, **options}, {"output": of_output, "lse": of_lse}, device=device)
    shared = {name: np.zeros(4) for name in ("sinks", "alibi_slopes") if name in options}
    keys = starts["cu_seqlens_k"]
    for b, (rows, (query, key, value)) in enumerate(sequences(arrays, starts)):
        call = {"query": query, "key": key, "value": value, "layout": "bshd", **options}
        want = backward(call, {"output": of_output[None, rows], "lse": of_lse[None, :, rows]}, device="reference")
        np.testing.assert_allclose(got.query[rows], want.query[0], rtol=1e-4, atol=1e-5)
        for name in ("key", "value"):
            a = getattr(got, name)[keys[b] : keys[b + 1]]
            np.testing.assert_allclose(a, getattr(want, name)[0], rtol=1e-4, atol=1e-5)
        for name in shared:
            shared[name] += getattr(want, name)
    for name, a in shared.items():
        np.testing.assert_allclose(getattr(got, name), a, rtol=1e-4, atol=1e-4)


def test_results_of_forward() -> None:
    """Given or made: the same bits. A normalizer that needs none takes them, too."""
    call = {**CALL, "causal": True, "sinks": normal(HQ)}
    output, lse = clattn.attention(**call, return_lse=True)
    want = by_name(backward(call, OF_LOSS))
    for given in ({"output": output, "lse": lse}, {"output": output}, {"lse": lse}):
        for name, a in by_name(backward(call, OF_LOSS, **given)).items():
            np.testing.assert_array_equal(a, want[name])
    of_lse = backward(call, {"lse": OF_LOSS["lse"]}, lse=lse)  # for which no output is needed
    np.testing.assert_array_equal(of_lse.query, backward(call, {"lse": OF_LOSS["lse"]}).query)
    assert not of_lse.value.any()
    call = {**CALL, "normalizer": "sigmoid"}
    given = backward(call, OF_LOSS, output=output, lse=lse)
    np.testing.assert_array_equal(given.query, backward(call, OF_LOSS).query)


def test_results_of_forward_count() -> None:
    """They are read rather than made again."""
    lse = clattn.attention(**CALL, return_lse=True)[1]
    got = backward(CALL, {"output": OF_LOSS["output"]}, output=np.zeros_like(OF_LOSS["output"]), lse=lse)
    want = backward(CALL, {"output": OF_LOSS["output"]})
    assert not np.allclose(got.query, want.query, atol=1e-2)


@pytest.mark.parametrize("normalizer", ["softmax", "sigmoid", "sparsemax", "entmax15"])
def test_saved_weights(normalizer: str) -> None:
    """On a device they are read rather than scores made again; the reference makes them again."""
    of_loss = {name: OF_LOSS[name] for name in ("output", "weights")}
    call = {**call_of("additive", CALLS["additive, bias"][1]), "normalizer": normalizer, "causal": True}
    weights = clattn.attention(**call, return_weights=True)[1]
    want = by_name(backward(call, of_loss))
    for name, a in by_name(backward(call, of_loss, weights=weights)).items():
        np.testing.assert_allclose(a, want[name], rtol=1e-4, atol=1e-5)
    assert not backward(call, {"output": OF_LOSS["output"]}, weights=np.zeros_like(weights)).value.any()
    again = backward(call, of_loss, weights=np.zeros_like(weights), device="reference")
    np.testing.assert_allclose(again.query, want["query"], rtol=1e-4, atol=1e-5)
    others = {f"grad_{name}": a for name, a in of_loss.items() if name != "output"}
    assert clattn.verify_backward(of_loss["output"], **call, **others, weights=weights).ok


def test_saved_weights_of_0_are_seen() -> None:
    """Only what is masked is hidden: a NaN beside a weight of 0 shows."""
    call = {"query": np.ones((1, 1), np.float32), "key": np.array([[5], [0]], np.float32)}
    call |= {"value": np.array([[1], [np.nan]], np.float32), "score": "dot", "normalizer": "sparsemax"}
    weights = np.array([[1, 0]], np.float32)
    for mask, shows in ((np.array([[True, True]]), True), (np.array([[True, False]]), False)):
        found = clattn.attention_backward(call["query"], **call, mask=mask, weights=weights, variant="staged")
        assert np.isnan(found.query).all() == shows


GENERAL = {**call_of("additive", CALLS["additive, bias"][1]), "bias": normal(T), "sinks": normal(HQ)}
PARAMS = {"params.w_query", "params.w_key", "params.v", "params.bias"}


@pytest.mark.parametrize(
    "names, expected",
    [
        (["key"], {"key"}),
        (("query", "sinks"), {"query", "sinks"}),
        ({"bias"}, {"bias"}),
        (["params.bias"], {"params.bias"}),
        (["w_key", "v"], {"params.w_key", "params.v"}),
        (["params", "value", "v"], {*PARAMS, "value"}),
        (None, {"query", "key", "value", "bias", "sinks", *PARAMS}),
    ],
)
def test_chosen(names: Any, expected: set[str]) -> None:
    found = by_name(backward(GENERAL, {"output": OF_LOSS["output"]}, gradients=names))
    assert found.keys() == expected
    every = by_name(backward(GENERAL, {"output": OF_LOSS["output"]}))
    for name, a in found.items():
        np.testing.assert_allclose(a, every[name], rtol=1e-5, atol=1e-6)


def test_hidden_keys() -> None:
    """Nothing of them reaches a gradient, and theirs are 0."""
    call, clean = {**CALL, "kv_lengths": [T, 3]}, backward({**CALL, "kv_lengths": [T, 3]}, OF_LOSS)
    spoilt = {name: a.copy() for name, a in CALL.items()}
    spoilt["key"][1, :, 3:] = spoilt["value"][1, :, 3:] = np.nan
    found = backward({**call, **spoilt}, OF_LOSS)
    for name, a in by_name(found).items():
        np.testing.assert_array_equal(a, getattr(clean, name))
    assert not found.key[1, :, 3:].any() and not found.value[1, :, 3:].any()


def test_any_strides() -> None:
    spread = {name: np.repeat(a, 2, axis=-1)[..., ::2] for name, a in CALL.items()}
    of_output = np.broadcast_to(np.float32(1), OF_LOSS["output"].shape)  # that of a sum
    want = backward(CALL, {"output": np.ones_like(OF_LOSS["output"])})
    for name, a in by_name(backward(spread, {"output": of_output})).items():
        np.testing.assert_array_equal(a, getattr(want, name))


def test_empty() -> None:
    found = backward({**CALL, "query": normal(B, HQ, 0, D)}, {"output": normal(B, HQ, 0, DV)})
    assert found.query.shape == (B, HQ, 0, D)
    assert not found.key.any() and not found.value.any()


def test_inputs_stay() -> None:
    before = {name: a.copy() for name, a in CALL.items()}
    backward(CALL, OF_LOSS)
    for name, a in before.items():
        np.testing.assert_array_equal(CALL[name], a)


def test_variant() -> None:
    """It is one of backward; forward takes what it likes."""
    report = clattn.verify_backward(OF_LOSS["output"], **CALL, variant="staged")
    assert report.ok and report.variant == "staged"
    with pytest.raises(ValueError, match="^variant: .*decode"):
        backward(CALL, OF_LOSS, variant="decode")


def test_threads() -> None:
    calls = [{**CALL, **options} for options in OPTIONS.values()] * 4

    def bits(call: dict[str, Any]) -> list[bytes]:
        return [a.tobytes() for a in by_name(backward(call, OF_LOSS)).values()]

    alone = [bits(call) for call in calls]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(bits, calls)) == alone


def test_wrong_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found, and where; forward's results are no gradients."""
    at = (1, 1, 5, 2)

    def change(outputs: dict[str, np.ndarray]) -> None:
        if "grad.key" in outputs:
            outputs["grad.key"][at] += 0.01

    report = spoiled(monkeypatch, change, CALL.values(), lambda *a: clattn.verify_backward(OF_LOSS["output"], *a))
    assert not report.ok
    assert {v.name: v.worst for v in report.verdicts if not v.ok} == {"grad.key": at}


def refused(kind: type[Exception], name: str, *, of_loss: dict[str, Any] = OF_LOSS, **changes: Any) -> None:
    with pytest.raises(kind, match=f"^{name}:"):
        backward({**CALL, **changes}, of_loss)


ERRORS: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "nothing comes in": (ValueError, "grad_output", {"of_loss": {}}),
    "grad_output of another shape": (ValueError, "grad_output", {"of_loss": {"output": normal(B, HQ, S, DV + 1)}}),
    "grad_output of another rank": (ValueError, "grad_output", {"of_loss": {"output": normal(S, DV)}}),
    "grad_output of another type": (TypeError, "grad_output", {"of_loss": {"output": np.ones((B, HQ, S, DV))}}),
    "grad_weights of another shape": (ValueError, "grad_weights", {"of_loss": {"weights": normal(B, HQ, S, T + 1)}}),
    "grad_weights of another type": (TypeError, "grad_weights", {"of_loss": {"weights": np.ones((B, HQ, S, T))}}),
    "grad_lse of another shape": (ValueError, "grad_lse", {"of_loss": {"lse": normal(B, HQ, S, 1)}}),
    "grad_lse of another type": (TypeError, "grad_lse", {"of_loss": {"lse": np.ones((B, HQ, S))}}),
    "output of another shape": (ValueError, "output", {"output": normal(B, HQ, S, 1), "lse": normal(B, HQ, S)}),
    "output of another type": (TypeError, "output", {"output": np.ones((B, HQ, S, DV)), "lse": normal(B, HQ, S)}),
    "lse of another shape": (ValueError, "lse", {"output": normal(B, HQ, S, DV), "lse": normal(B, S)}),
    "lse of another type": (TypeError, "lse", {"output": normal(B, HQ, S, DV), "lse": np.ones((B, HQ, S))}),
    "weights of another shape": (ValueError, "weights", {"weights": normal(B, HQ, S, T + 1)}),
    "weights of another type": (TypeError, "weights", {"weights": np.ones((B, HQ, S, T))}),
    "an unknown gradient": (ValueError, "gradients", {"gradients": ["keys"]}),
    "a gradient of what is not given": (ValueError, "gradients", {"gradients": ["query", "bias"]}),
    "a gradient of no parameters": (ValueError, "gradients", {"gradients": ["params"]}),
    "a gradient of a key that is not read": (
        ValueError,
        "gradients",
        {"score": "location", "params": {"weight": normal(T, D)}, "gradients": ["key"]},
    ),
    "no gradient": (ValueError, "gradients", {"gradients": []}),
    "a word of gradients": (TypeError, "gradients", {"gradients": "query"}),
    "a number of gradients": (TypeError, "gradients", {"gradients": 3}),
    "an unknown normalizer": (ValueError, "normalizer", {"normalizer": "softplus"}),
    "key of another D": (ValueError, "key", {"key": normal(B, HKV, T, D + 1)}),
    "all weights dropped": (ValueError, "dropout", {"dropout": 1.0}),
    "a negative seed": (ValueError, "seed", {"seed": -1}),
    "an offset of a half": (TypeError, "dropout_offset", {"dropout_offset": 0.5}),
}


@pytest.mark.parametrize("kind, name, changes", ERRORS.values(), ids=ERRORS)
def test_errors(kind: type[Exception], name: str, changes: dict[str, Any]) -> None:
    refused(kind, name, **changes)


def test_packed_weights() -> None:
    arrays, starts = pack(LENGTHS["plain"], np.dtype(np.float32))
    with pytest.raises(ValueError, match="^grad_weights: given with cu_seqlens_q"):
        backward({**arrays, **starts}, {"weights": normal(2, 4, 3, 5)})


def of_what_was_projected(call: dict[str, Any], d: np.ndarray) -> dict[str, np.ndarray]:
    """The gradients of key and the matrix that it meets, by name, from those of the projected keys (B, heads, T, N)."""
    key, params = call["key"], call["params"]
    if call["score"] == "cosine":
        length = np.linalg.norm(key, axis=-1, keepdims=True)
        unit = key / length
        return {"key": (d - (d * unit).sum(-1, keepdims=True) * unit) / length}
    name = "weight" if "weight" in params else "w_key"
    h = "h" if params[name].ndim == 3 else ""
    of_heads = np.einsum(f"bhtn,{h}nk->bhtk", d, params[name])
    return {
        "key": of_heads.reshape(*key.shape[:2], -1, *key.shape[2:]).sum(2),
        "params." + name: np.einsum(f"bhtn,bhtk->{h}nk", d, key.repeat(d.shape[1] // key.shape[1], axis=1)),
    }


@pytest.mark.parametrize("device", [None, "reference"])
@pytest.mark.parametrize("score, params", PROJECTED.values(), ids=PROJECTED)
def test_projected_keys(score: str, params: dict[str, Any], device: str | None) -> None:
    """Their gradient leads to those of key and its matrix; all others are as they were."""
    call = {**call_of(score, params), "kv_lengths": [T, 4]}
    want = by_name(backward(call, OF_LOSS, device=device))
    got = by_name(backward(projected(call, device=device), OF_LOSS, device=device))
    got.update(of_what_was_projected(call, got.pop("key")))
    assert got.keys() == want.keys()
    for name, a in want.items():
        np.testing.assert_allclose(got[name], a, rtol=1e-4, atol=1e-5, err_msg=name)


def test_projected_keys_are_arrays_of_their_own_shape() -> None:
    """In another layout and in fewer dimensions, too; and of other types."""
    call = call_of(*CALLS["additive, all per head"])
    want = backward(projected(call), {"output": OF_LOSS["output"]}, gradients=["key"])
    assert want.key.shape == (B, HQ, T, A) and want.query is None and not want.params
    turned = {**call, **{name: call[name].transpose(0, 2, 1, 3) for name in ("query", "key", "value")}}
    of_output = OF_LOSS["output"].transpose(0, 2, 1, 3)
    got = backward(projected(turned, layout="bshd"), {"output": of_output}, layout="bshd")
    np.testing.assert_allclose(got.key.transpose(0, 2, 1, 3), want.key, rtol=1e-4, atol=1e-5)
    shared = call_of(*CALLS["additive"])
    w_key = shared["params"]["w_key"]
    alike = {**shared, "params": {**shared["params"], "w_key": np.broadcast_to(w_key, (HQ, *w_key.shape))}}
    for one_for_all in (shared, alike):
        got = backward(projected(one_for_all), {"output": OF_LOSS["output"]}, gradients=["key"])
        assert got.key.shape == (B, HKV, T, A)
    call = call_of(*CALLS["general"], np.dtype(np.float16))
    alone = {**call, **{name: call[name][1, 0] for name in ("query", "key", "value")}}
    keys = clattn.project_keys(alone["key"], alone["params"], score="general")
    got = backward({**alone, "key": keys, "params": {}}, {"output": normal(S, DV).astype(np.float16)})
    assert (got.key.shape, got.key.dtype) == ((T, D), np.float16)


def test_no_gradient_of_what_projected_keys_have_met() -> None:
    made = projected(call_of("general", {"weight": normal(D, 6)}))
    for name in ("params", "weight"):
        with pytest.raises(ValueError, match=f"^gradients: '{name}', expected one of 'query', 'key', 'value'"):
            backward(made, OF_LOSS, gradients=[name])
    with pytest.raises(ValueError, match="^key: projected keys, expected an array"):
        clattn.verify_backward(OF_LOSS["output"], **made)


@pytest.mark.parametrize("name", ["return_weights", "return_lse", "weights_rows", "scores_stage", "dropuot"])
@pytest.mark.parametrize("function", [clattn.attention_backward, clattn.verify_backward])
def test_keywords(function: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"{function.__name__}.*{name}"):
        function(OF_LOSS["output"], **CALL, **{name: True})


def test_verify_on_the_reference() -> None:
    with pytest.raises(ValueError, match="^device: the reference"):
        clattn.verify_backward(OF_LOSS["output"], **CALL, device="reference")
