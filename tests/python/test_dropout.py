"""Dropout: weights are 0 or larger, the same ones wherever the same numbers choose them, forward and backward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain import DTYPES
from test_backward import CALL, OF_LOSS, OPTIONS, backward, by_name, check_on_a_device, check_slopes, normal
from test_scores import CALLS, HQ, NORMALIZERS, T, call_of

import clattn

DROPOUT = {"dropout": 0.3, "seed": 11, "dropout_offset": 5}
TOLD = ("output", "weights", "lse", "column_sums", "argmax", "entropy")
DRAWS = [
    {},
    {"seed": 1},
    {"dropout_offset": 1},
    {"seed": 1, "dropout_offset": 1},
    {"seed": 2**32},
    {"dropout_offset": 2**32},
    {"seed": 2**64 - 1},
    {"dropout_offset": 2**64 - 1},
]


def told(call: dict[str, Any], *, entropy: bool = True) -> dict[str, np.ndarray]:
    names = TOLD if entropy else TOLD[:-1]
    return dict(zip(names, clattn.attention(**call, **{f"return_{name}": True for name in names[1:]}), strict=True))


def weights(call: dict[str, Any], **options: Any) -> np.ndarray:
    return clattn.attention(**call, **options, return_weights=True)[1]


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("device", [None, "reference"])
def test_weights(device: str | None, normalizer: str) -> None:
    """They meet the values, and are told, with zeros and the others larger; what is of scores stays."""
    call = {**CALL, "kv_lengths": [T, 4], "normalizer": normalizer, "device": device}
    has_entropy = normalizer != "none"
    before, after = (told(c, entropy=has_entropy) for c in (call, {**call, **DROPOUT}))
    is_dropped = after["weights"] == 0
    larger = before["weights"] / np.float32(1 - DROPOUT["dropout"])
    np.testing.assert_allclose(after["weights"], np.where(is_dropped, 0, larger), rtol=1e-5, atol=1e-6)
    assert (is_dropped & (larger != 0)).any() and not is_dropped.all()
    value = np.repeat(CALL["value"], HQ // CALL["value"].shape[1], axis=1)
    np.testing.assert_allclose(after["output"], after["weights"] @ value, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after["column_sums"], after["weights"].sum(axis=-2), rtol=1e-5, atol=1e-6)
    for name in ("lse", "argmax", "entropy")[: 3 if has_entropy else 2]:
        np.testing.assert_allclose(after[name], before[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share(p: float) -> None:
    """Within six standard deviations; and no two rows lose the same keys."""
    call = {"query": normal(3, 4, 16, 8), "key": normal(3, 2, 96, 8), "value": normal(3, 2, 96, 5)}
    is_dropped = weights(call, dropout=p, seed=3) == 0
    assert abs(is_dropped.mean() - p) < 6 * np.sqrt(p * (1 - p) / is_dropped.size)
    assert len(np.unique(is_dropped.reshape(-1, 96), axis=0)) == 3 * 4 * 16


@pytest.mark.parametrize("device", [None, "reference"])
def test_draws(device: str | None) -> None:
    """The same numbers give the same bits, and each number counts, down to its highest bit."""
    found = [weights(CALL, dropout=0.5, device=device, **draw).tobytes() for draw in DRAWS]
    assert found == [weights(CALL, dropout=0.5, device=device, **draw).tobytes() for draw in DRAWS]
    assert len(set(found)) == len(DRAWS)
    assert len({weights(CALL, device=device, **draw).tobytes() for draw in DRAWS}) == 1


def test_numpy_numbers() -> None:
    of_numpy = {"dropout": np.float32(0.5), "seed": np.uint64(2**64 - 1), "dropout_offset": np.int32(7)}
    plain = {"dropout": 0.5, "seed": 2**64 - 1, "dropout_offset": 7}
    np.testing.assert_array_equal(weights(CALL, **of_numpy), weights(CALL, **plain))


def test_the_same_everywhere() -> None:
    """Whatever the device, the type, the layout, and what else is asked for."""
    want = weights(CALL, **DROPOUT) == 0
    turned = {name: a.transpose(0, 2, 1, 3) for name, a in CALL.items()}
    wide = {name: a.astype(np.float64) for name, a in CALL.items()}
    for found in (
        weights(CALL, **DROPOUT, device="reference"),
        weights(wide, **DROPOUT, device="reference"),
        weights(turned, **DROPOUT, layout="bshd"),
    ):
        np.testing.assert_array_equal(found == 0, want)
    np.testing.assert_array_equal(weights(CALL, **DROPOUT, weights_rows=[1]) == 0, want[:, :, [1]])


@pytest.mark.parametrize("device", [None, "reference"])
def test_packed(device: str | None) -> None:
    """Each sequence loses others. Values are such that the output is the weights."""
    arrays = {"query": normal(1, 2, 8), "key": normal(64, 2, 8)}
    call = {**{name: np.tile(a, (3, 1, 1)) for name, a in arrays.items()}, "value": np.zeros((192, 2, 64), np.float32)}
    call["value"][np.arange(192), :, np.arange(192) % 64] = 1
    starts = {"cu_seqlens_q": [0, 1, 2, 3], "cu_seqlens_k": [0, 64, 128, 192]}
    is_dropped = clattn.attention(**call, **starts, dropout=0.5, seed=1, device=device) == 0
    assert abs(is_dropped.mean() - 0.5) < 6 * np.sqrt(0.25 / is_dropped.size)
    assert len(np.unique(is_dropped.reshape(-1, 64), axis=0)) == 3 * 2


@pytest.mark.parametrize(
    "lengths", [{}, {"cu_seqlens_q": [0, 2, 6], "cu_seqlens_k": [0, 9, 14]}], ids=["plain", "packed"]
)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_on_a_device(dtype: np.dtype, lengths: dict[str, Any]) -> None:
    shapes = [(6, 4, 8), (14, 2, 8), (14, 2, 5)] if lengths else [(2, 4, 6, 8), (2, 2, 14, 8), (2, 2, 14, 5)]
    arrays = [normal(*shape).astype(dtype) for shape in shapes]
    options = {**DROPOUT, **lengths, "causal": "bottom-right", "return_lse": True}
    assert clattn.verify(*arrays, **options).ok
    assert clattn.verify(*arrays, **options, sample=2).ok


def loss(call: dict[str, Any], of_loss: dict[str, Any]) -> float:
    found = clattn.reference(**call, return_weights=True, return_lse=True)
    there = dict(zip(("output", "weights", "lse"), found, strict=True))
    return sum(float((np.where(np.isfinite(there[name]), there[name], 0) * a).sum()) for name, a in of_loss.items())


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradients(options: dict[str, Any]) -> None:
    call = {**CALL, **options, **DROPOUT}
    check_slopes(call, loss=loss)
    check_on_a_device(call)


@pytest.mark.parametrize("score, params", CALLS.values(), ids=CALLS)
def test_gradients_of_scores(score: str, params: dict[str, Any]) -> None:
    call = {**call_of(score, params), **DROPOUT}
    check_slopes(call, {"output": OF_LOSS["output"]}, loss)
    check_on_a_device(call, {"output": OF_LOSS["output"]})


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_gradients_of_normalizers(normalizer: str) -> None:
    call = {**CALL, "normalizer": normalizer, "bias": normal(1, 1, 1, T), "kv_lengths": np.array([T, 4]), **DROPOUT}
    check_slopes(call, loss=loss)
    check_on_a_device(call)


@pytest.mark.parametrize("other", [{"seed": 12}, {"dropout_offset": 6}, {"dropout": 0.0}], ids=str)
def test_gradients_of_another_draw(other: dict[str, Any]) -> None:
    of_output = {"output": OF_LOSS["output"]}
    found, others = (by_name(backward({**CALL, **DROPOUT, **options}, of_output)) for options in ({}, other))
    for name, a in found.items():
        assert not np.allclose(a, others[name], atol=1e-3), name


def test_results_of_forward() -> None:
    """Those that backward makes where they are not given have lost the same weights."""
    call = {**CALL, **DROPOUT, "sinks": normal(HQ)}
    output, lse = clattn.attention(**call, return_lse=True)
    for of_loss in (OF_LOSS, {"output": OF_LOSS["output"]}):
        want = by_name(backward(call, of_loss, output=output, lse=lse))
        for name, a in by_name(backward(call, of_loss)).items():
            np.testing.assert_array_equal(a, want[name])
