"""What is told of weights without all of them: those of chosen heads and rows, column sums, argmax and entropy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain import DTYPES, OUTPUTS, expect

import clattn

B, HQ, HKV, S, T, D, DV = 2, 4, 2, 6, 9, 8, 5
RNG = np.random.default_rng(9)
QUERY, KEY, VALUE = (RNG.standard_normal(shape) for shape in ((B, HQ, S, D), (B, HKV, T, D), (B, HKV, T, DV)))
TOLD = ("weights", "column_sums", "argmax", "entropy")
ASKED = {f"return_{name}": True for name in TOLD}
HEADS, ROWS = [0, 3], [1, 2, 5]


def arrays(rank: int = 4, layout: str = "bhsd", dtype: Any = np.float32) -> list[np.ndarray]:
    given = [a.astype(dtype) for a in (QUERY, KEY, VALUE)]
    if rank < 4:
        return [a[:, 0] if rank == 3 else a[0, 0] for a in given]
    return [a.transpose(0, 2, 1, 3) for a in given] if layout == "bshd" else given


def told(*given: Any, **options: Any) -> dict[str, np.ndarray]:
    return dict(zip(TOLD, clattn.attention(*given, **options, **ASKED)[1:], strict=True))


def entropy(weights: np.ndarray) -> np.ndarray:
    return -(weights * np.log(np.where(weights == 0, 1, weights))).sum(axis=-1)


@pytest.mark.parametrize("layout", ["bhsd", "bshd"])
@pytest.mark.parametrize("rank", [4, 3, 2])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_is_what_numpy_makes_of_the_weights(dtype: np.dtype, rank: int, layout: str) -> None:
    got = told(*arrays(rank, layout, dtype), layout=layout, causal=True)
    weights = got["weights"].astype(np.float64)
    wide = np.dtype(np.float64 if dtype == np.float64 else np.float32)
    assert [got[name].dtype for name in TOLD] == [dtype, wide, np.dtype(np.int64), wide]
    tolerance = {8: 1e-13, 4: 1e-5, 2: 5e-2}[dtype.itemsize]  # weights were rounded, and what is told was not
    np.testing.assert_allclose(got["column_sums"], weights.sum(axis=-2), atol=tolerance)
    np.testing.assert_allclose(got["entropy"], entropy(weights), atol=tolerance)
    if dtype.itemsize > 2:
        np.testing.assert_array_equal(got["argmax"], weights.argmax(axis=-1))


@pytest.mark.parametrize("rank", [4, 3, 2])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_chosen_weights_are_some_of_all(dtype: np.dtype, rank: int) -> None:
    given = arrays(rank, dtype=dtype)
    weights = told(*given)["weights"]
    wanted = {"weights_rows": weights[..., ROWS, :], "weights_heads": weights}
    if rank == 4:
        wanted["weights_heads"] = weights[:, HEADS]
    choices = {"weights_rows": ROWS, "weights_heads": HEADS if rank == 4 else [0]}
    for name, want in wanted.items():
        np.testing.assert_array_equal(told(*given, **{name: choices[name]})["weights"], want)
    np.testing.assert_array_equal(told(*given, **choices)["weights"], wanted["weights_heads"][..., ROWS, :])


@pytest.mark.parametrize("rows", [np.array(ROWS, np.int32), np.array(ROWS, np.uint8), range(1, 6, 2), [], [0]], ids=str)
def test_ways_to_choose(rows: Any) -> None:
    given = arrays()
    weights = told(*given, weights_rows=rows)["weights"]
    np.testing.assert_array_equal(weights, told(*given)["weights"][:, :, np.asarray(rows, int)])
    np.testing.assert_allclose(
        clattn.reference(*given, return_weights=True, weights_rows=rows)[1], weights, rtol=1e-5, atol=1e-6
    )


def test_order_of_results() -> None:
    given = arrays()
    asked = {f"return_{name}": True for name in OUTPUTS[1:]}
    for function in (clattn.attention, clattn.reference):
        every = dict(zip(OUTPUTS, function(*given, **asked), strict=True))
        for name in OUTPUTS[1:]:
            output, alone = function(*given, **{f"return_{name}": True})
            np.testing.assert_allclose(alone, every[name], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(output, every["output"], rtol=1e-5, atol=1e-6)


def test_ties() -> None:
    """The first of the keys that are looked at most; an even look is as spread as can be."""
    given = [np.zeros((3, 2), np.float32), np.zeros((5, 2), np.float32), np.ones((5, 1), np.float32)]
    got = told(*given, mask=[[True] * 5, [False, False, True, True, True], [False, True, False, False, True]])
    assert got["argmax"].tolist() == [0, 2, 1]
    np.testing.assert_allclose(got["entropy"], np.log([5, 3, 2]), rtol=1e-6)
    np.testing.assert_allclose(got["column_sums"].sum(), 3, rtol=1e-6)


def test_rows_that_see_nothing() -> None:
    for normalizer in ("softmax", "sigmoid", "sparsemax", "entmax15"):
        for function in (clattn.attention, clattn.reference):
            _, sums, argmax, spread = function(
                *arrays(), kv_lengths=[0, 3], normalizer=normalizer, **{**ASKED, "return_weights": False}
            )
            assert (argmax[0] == -1).all() and (argmax[1] >= 0).all() and (argmax[1] < 3).all()
            assert (spread[0] == 0).all() and (sums[0] == 0).all() and (sums[1, :, 3:] == 0).all()
    assert (told(*(a[:, :, :0] if i else a for i, a in enumerate(arrays())))["argmax"] == -1).all()


def test_nan_comes_before_all_others() -> None:
    query, key, value = arrays(2)
    key[[4, 7]] = np.nan
    got = told(query, key, value)
    assert (got["argmax"] == 4).all() and np.isnan(got["entropy"]).all() and np.isnan(got["column_sums"]).all()


def test_a_hidden_key_of_a_row_of_nan() -> None:
    """Its weight is 0, also where nobody asks for weights."""
    query, key, value = arrays(2)
    query[2] = np.nan
    for asked in (False, True):
        sums = clattn.attention(query, key, value, kv_lengths=[5], return_weights=asked, return_column_sums=True)[-1]
        assert np.isnan(sums[:5]).all() and (sums[5:] == 0).all()


@pytest.mark.parametrize("normalizer", ["softmax", "sigmoid", "sparsemax", "entmax15"])
def test_verdicts(normalizer: str) -> None:
    given, options = arrays(), {"normalizer": normalizer, "causal": True, "weights_heads": HEADS, "weights_rows": ROWS}
    report = clattn.verify(*given, **options, **ASKED)
    expected = expect(*given, **options)
    got = told(*given, **options)
    assert report.ok and list(report.errors) == ["output", *TOLD]
    for verdict in report.verdicts[1:]:
        assert verdict.checked == got[verdict.name].size
        assert expected[verdict.name].error(got[verdict.name]) <= expected[verdict.name].bound
        assert report.bounds[verdict.name] == pytest.approx(expected[verdict.name].bound, rel=0.7)


@pytest.mark.parametrize("score", ["general", "additive", "location", "coverage"])
def test_scores_with_parameters(score: str) -> None:
    matrices = {"w_query": (7, D), "w_key": (7, D), "v": (7,)}
    shapes: dict[str, tuple[int, ...]] = {
        "general": {"weight": (D, D)},
        "additive": matrices,
        "location": {"weight": (T, D)},
        "coverage": {**matrices, "w_coverage": (7,), "coverage": (B, T)},
    }[score]
    params = {name: RNG.random(shape, np.float32) for name, shape in shapes.items()}
    got = told(*arrays(), score=score, params=params)
    np.testing.assert_allclose(got["column_sums"], got["weights"].sum(axis=-2), rtol=1e-5)
    np.testing.assert_allclose(got["entropy"], entropy(got["weights"]), rtol=1e-5, atol=1e-6)
    assert clattn.verify(*arrays(), score=score, params=params, **ASKED)


def test_projected_keys() -> None:
    query, key, value = arrays()
    weight = RNG.standard_normal((D, D), np.float32)
    keys = clattn.project_keys(key, {"weight": weight}, score="general", query_heads=HQ)
    got = told(query, keys, value, score="general", weights_heads=HEADS)
    want = told(query, key, value, score="general", params={"weight": weight}, weights_heads=HEADS)
    for name in TOLD:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-5)


def test_a_long_sequence_needs_no_square() -> None:
    """Of 20000 x 20000 weights, 1.6 GB in float32, a row, and what they add up to."""
    rows = 20000
    query, key = RNG.standard_normal((2, rows, 2), np.float32)
    _, weights, sums = clattn.attention(
        query, key, key, return_weights=True, weights_rows=[rows - 1], return_column_sums=True
    )
    assert weights.shape == (1, rows) and sums.shape == (rows,)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(sums.sum(dtype=np.float64), rows, rtol=1e-5)
