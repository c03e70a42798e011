"""Packed sequences are what each of them gives on its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain import DTYPES, expect

import clattn

LENGTHS = {
    "plain": ([3, 8, 1], [5, 8, 17]),
    "empty queries": ([0, 4, 0, 2, 0], [3, 7, 1, 2, 5]),
    "empty keys": ([3, 2, 4], [0, 6, 0]),
    "one sequence": ([6], [11]),
    "nothing but empty ones": ([0, 0], [0, 0]),
    "more queries than keys": ([9, 5], [4, 2]),
    "no sequence": ([], []),
}

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"causal": True},
    "bottom-right": {"causal": "bottom-right"},
    "window": {"window": (2, 1), "alignment": "bottom-right"},
    "alibi": {"alibi_slopes": [0.5, 0.25, 0.125, 0.0625], "alignment": "bottom-right"},
    "sinks": {"sinks": [0.5, -1.0, 2.0, 0.0]},
    "softcap": {"softcap": 2.0, "scale": 0.7},
    "none": {"normalizer": "none", "score": "dot"},
}


def pack(lengths: tuple[list[int], list[int]], dtype: np.dtype) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays of all sequences, and their cumulative lengths."""
    rng = np.random.default_rng(sum(lengths[0]) + 100 * sum(lengths[1]))
    starts_q, starts_k = (np.cumsum([0, *each]) for each in lengths)
    q, k = starts_q[-1], starts_k[-1]
    shapes = {"query": (q, 4, 16), "key": (k, 2, 16), "value": (k, 2, 5)}
    arrays = {name: rng.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}
    return arrays, {"cu_seqlens_q": starts_q, "cu_seqlens_k": starts_k}


def sequences(arrays: dict[str, Any], starts: dict[str, Any]) -> list[tuple[slice, list[np.ndarray]]]:
    """Each sequence's rows among the queries, and its arrays with a batch axis, in layout bshd."""
    q, k = starts["cu_seqlens_q"], starts["cu_seqlens_k"]
    found = []
    for b in range(len(q) - 1):
        rows, keys = slice(q[b], q[b + 1]), slice(k[b], k[b + 1])
        found.append((rows, [arrays["query"][None, rows], arrays["key"][None, keys], arrays["value"][None, keys]]))
    return found


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_packed(dtype: np.dtype, lengths: tuple[list[int], list[int]], options: dict[str, Any]) -> None:
    arrays, starts = pack(lengths, dtype)
    output, lse = clattn.attention(**arrays, **starts, **options, return_lse=True)
    assert output.shape == (sum(lengths[0]), 4, 5) and output.dtype == dtype
    assert lse.shape == (4, sum(lengths[0]))
    for rows, one in sequences(arrays, starts):
        # A free choice may take another variant for few queries, with other last digits.
        alone = clattn.attention(*one, **options, layout="bshd", variant="lanes", return_lse=True)
        np.testing.assert_array_equal(output[rows], alone[0][0])
        np.testing.assert_array_equal(lse[:, rows], alone[1][0])
        expected = expect(*one, **options, layout="bshd")
        assert expected["output"].error(output[None, rows]) <= expected["output"].bound
        assert expected["lse"].error(lse[None, :, rows]) <= expected["lse"].bound


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_verify(lengths: tuple[list[int], list[int]]) -> None:
    arrays, starts = pack(lengths, DTYPES["bf16"])
    report = clattn.verify(**arrays, **starts, causal="bottom-right", return_lse=True)
    assert report.ok
    assert report.rows == 4 * sum(lengths[0])
    assert sum(v.checked for v in report.verdicts if v.name == "output") == 4 * 5 * sum(lengths[0])


def test_verify_finds_the_worst_element_in_the_packed_array(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report speaks of the caller's arrays, not of one sequence's."""
    arrays, starts = pack(LENGTHS["empty queries"], DTYPES["f32"])
    run = clattn._run.run

    def run_and_spoil(job: Any, device: Any) -> Any:
        done = run(job, device)
        job.outputs[0][4, 3, 2] += 100
        job.outputs[1][2, 5] += 100
        return done

    monkeypatch.setattr(clattn._run, "run", run_and_spoil)
    report = clattn.verify(**arrays, **starts, return_lse=True)
    assert not report.ok
    assert {v.name: v.worst for v in report.verdicts} == {"output": (4, 3, 2), "lse": (2, 5)}


def test_reference() -> None:
    arrays, starts = pack(LENGTHS["plain"], DTYPES["f64"])
    output, lse = clattn.reference(**arrays, **starts, causal=True, return_lse=True)
    for rows, one in sequences(arrays, starts):
        alone = clattn.reference(*one, causal=True, layout="bshd", return_lse=True)
        np.testing.assert_array_equal(output[rows], alone[0][0])
        np.testing.assert_array_equal(lse[:, rows], alone[1][0])


@pytest.mark.parametrize("make", [list, tuple, np.int32, np.uint8], ids=["list", "tuple", "int32", "uint8"])
def test_types_of_lengths(make: Any) -> None:
    arrays, starts = pack(LENGTHS["plain"], DTYPES["f32"])
    other = {name: make(a.tolist()) if make in (list, tuple) else a.astype(make) for name, a in starts.items()}
    np.testing.assert_array_equal(clattn.attention(**arrays, **other), clattn.attention(**arrays, **starts))


def test_strided_arrays() -> None:
    """As models have them: query, key and value side by side in one array."""
    rng = np.random.default_rng(0)
    together = rng.standard_normal((9, 3, 2, 16)).astype(np.float32)
    q, k, v = together[:, 0], together[:, 1], together[:, 2]
    starts = {"cu_seqlens_q": [0, 4, 9], "cu_seqlens_k": [0, 4, 9]}
    np.testing.assert_array_equal(
        clattn.attention(q, k, v, **starts), clattn.attention(q.copy(), k.copy(), v.copy(), **starts)
    )


def test_verify_of_no_sequence_and_of_a_sample() -> None:
    q, k, v = (np.ones((0, 2, 4), np.float32) for _ in range(3))
    report = clattn.verify(q, k, v, cu_seqlens_q=[0], cu_seqlens_k=[0], return_lse=True)
    assert report.ok and report.rows == 0 and report.errors == {"output": 0.0, "lse": 0.0}
    q, k, v = (np.ones((30, 2, 4), np.float32) for _ in range(3))
    report = clattn.verify(q, k, v, cu_seqlens_q=[0, 10, 30], cu_seqlens_k=[0, 15, 30], sample=6)
    assert report.ok and report.rows == 6


def test_many_sequences_are_one_run() -> None:
    rng = np.random.default_rng(3)
    lengths = rng.integers(0, 90, 60).tolist(), rng.integers(0, 90, 60).tolist()
    arrays, starts = pack(lengths, DTYPES["f32"])
    report = clattn.verify(**arrays, **starts, causal="bottom-right", return_lse=True)
    assert report.ok and report.rows == 4 * sum(lengths[0])
    assert report.variant == "lanes"


@pytest.mark.parametrize("spoilt", [np.nan, np.inf], ids=str)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_neighbours_do_not_matter(options: dict[str, Any], spoilt: float) -> None:
    """Whatever the sequences before and behind hold."""
    arrays, starts = pack(([9, 6, 20], [11, 7, 33]), DTYPES["f32"])
    clean = clattn.attention(**arrays, **starts, **options, return_lse=True)
    for name, own in (("query", slice(9, 15)), ("key", slice(11, 18)), ("value", slice(11, 18))):
        kept = arrays[name][own].copy()
        arrays[name][:] = spoilt
        arrays[name][own] = kept
    output, lse = clattn.attention(**arrays, **starts, **options, return_lse=True)
    np.testing.assert_array_equal(output[9:15], clean[0][9:15])
    np.testing.assert_array_equal(lse[:, 9:15], clean[1][:, 9:15])


def test_a_variant_for_one_length_takes_one_after_the_other() -> None:
    arrays, starts = pack(LENGTHS["plain"], DTYPES["f32"])
    staged = clattn.attention(**arrays, **starts, variant="staged")
    np.testing.assert_allclose(staged, clattn.attention(**arrays, **starts), rtol=1e-5, atol=1e-5)
