"""context(): weights made elsewhere, times values."""

from __future__ import annotations

import numpy as np
import pytest
from plain import DTYPES, callers_axes, expect, four_axes, largest, last_place

import clattn

RNG = np.random.default_rng(11)
SHAPES = {
    "grouped": ((2, 4, 5, 33), (2, 2, 33, 7)),
    "4-D": ((1, 3, 2, 17), (1, 3, 17, 1)),
    "3-D": ((3, 5, 8), (3, 8, 16)),
    "2-D": ((5, 131), (131, 3)),
    "no key": ((2, 3, 0), (2, 0, 4)),
    "no query": ((0, 3), (3, 4)),
}


def product(weights: np.ndarray, value: np.ndarray, layout: str, real: type) -> np.ndarray:
    """weights @ value in the caller's axes; a weight of -infinity counts as 0."""
    w = four_axes(weights.astype(np.float64).astype(real), "bhsd")
    v = four_axes(value.astype(np.float64).astype(real), layout)
    output = np.where(w == -np.inf, 0, w) @ np.repeat(v, w.shape[1] // v.shape[1], axis=1)
    if weights.ndim == 4 and layout == "bshd":
        output = output.transpose(0, 2, 1, 3)
    return callers_axes(output, weights.ndim)


@pytest.mark.parametrize("layout", ["bhsd", "bshd"])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("weights_type", ["own", "f32"])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_context(dtype: np.dtype, weights_type: str, shapes: tuple[tuple[int, ...], ...], layout: str) -> None:
    """Within the budget of docs/numerics.md for normalizer "none", whose scores the weights are."""
    weights = RNG.standard_normal(shapes[0]).astype(dtype if weights_type == "own" else np.float32)
    weights[..., 1:2] = -np.inf
    value = RNG.standard_normal(shapes[1]).astype(dtype)
    if value.ndim == 4 and layout == "bshd":
        value = value.transpose(0, 2, 1, 3)
    got = clattn.context(weights, value, layout=layout)
    assert got.dtype == dtype
    f64 = dtype == np.float64
    wide, sums = (np.longdouble, np.float64) if f64 else (np.float64, np.float32)
    want = product(weights, value, layout, wide)
    assert got.shape == want.shape
    plain_error = largest(product(weights, value, layout, sums) - want)
    finite = np.where(np.isinf(weights), 0, weights).astype(np.float64)
    m = largest(value.astype(np.float64)) * max(1.0, np.abs(finite).sum(axis=-1).max(initial=0))
    rounding = 8 * (2.0**-53 if f64 else 2.0**-24) * (1 + largest(finite) / 4) * m
    bound = 2 * plain_error + rounding + last_place(dtype, largest(want))
    assert np.abs(got.astype(wide) - want).max(initial=0) <= bound


def test_weights_of_attention() -> None:
    query, key, value = (RNG.standard_normal((2, 3, 6, 8)).astype(np.float32) for _ in range(3))
    output, weights = clattn.attention(query, key, value, causal=True, return_weights=True)
    bound = expect(query, key, value, causal=True)["output"].bound
    np.testing.assert_allclose(clattn.context(weights, value), output, rtol=0, atol=2 * bound)


def test_nan_shows() -> None:
    weights, value = np.zeros((2, 3), np.float32), np.ones((3, 2), np.float32)
    weights[0, 1] = np.nan
    value[2, 1] = np.nan
    np.testing.assert_array_equal(np.isnan(clattn.context(weights, value)), [[True, True], [False, True]])


@pytest.mark.parametrize("device", [None, "reference"])
@pytest.mark.parametrize("layout", ["bhsd", "bshd"])
@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_backward(shapes: tuple[tuple[int, ...], ...], layout: str, device: str | None) -> None:
    """Of numbers whose products are exact, so that a gradient is the formula's, whatever the order of its sums."""
    weights, value = (RNG.integers(-4, 5, shape).astype(np.float32) for shape in shapes)
    if value.ndim == 4 and layout == "bshd":
        value = value.transpose(0, 2, 1, 3)
    output = clattn.context(weights, value, layout=layout)
    grad = RNG.integers(-4, 5, output.shape).astype(np.float32)
    of_weights, of_value = clattn.context_backward(grad, weights, value, layout=layout, device=device)
    w, v, d = four_axes(weights, "bhsd"), four_axes(value, layout), four_axes(grad, layout)
    group = w.shape[1] // v.shape[1]
    np.testing.assert_array_equal(four_axes(of_weights, "bhsd"), d @ np.repeat(v, group, axis=1).swapaxes(2, 3))
    by_head = (w.swapaxes(2, 3) @ d).reshape(v.shape[0], v.shape[1], group, *v.shape[2:])
    np.testing.assert_array_equal(four_axes(of_value, layout), by_head.sum(axis=2))
    assert of_weights.shape == weights.shape and of_value.shape == value.shape


def test_backward_of_hidden_weights() -> None:
    weights, value = np.full((2, 3), 0.5, np.float32), np.ones((3, 2), np.float32)
    weights[0, 1] = -np.inf
    of_weights, of_value = clattn.context_backward(np.ones((2, 2), np.float32), weights, value)
    np.testing.assert_array_equal(of_weights, [[2, 0, 2], [2, 2, 2]])
    np.testing.assert_array_equal(of_value, [[1, 1], [0.5, 0.5], [1, 1]])


def test_backward_names_what_is_wrong() -> None:
    weights, value = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    with pytest.raises(ValueError, match="grad_output"):
        clattn.context_backward(np.ones((2, 3), np.float32), weights, value)
    with pytest.raises(TypeError, match="grad_output"):
        clattn.context_backward(np.ones((2, 4), np.int32), weights, value)
