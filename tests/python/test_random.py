"""Random problems against plain.py; `-k 'device[17]'` runs one seed again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain import OF_SUMS, OUTPUTS, expect
from random_problems import problem

import clattn


def named(results: Any, options: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a result by output."""
    asked = [name for name in OUTPUTS[1:] if options[f"return_{name}"]]
    return dict(zip(["output", *asked], results if asked else [results], strict=True))


def memory(arrays: Any) -> list[bytes]:
    return [a.tobytes() for a in arrays if a is not None]


@pytest.mark.parametrize("seed", range(400))
def test_device(seed: int) -> None:
    arrays, options = problem(seed)
    before = memory(arrays)
    got = named(clattn.attention(*arrays, **options), options)
    expected = expect(*arrays, **options)
    for name, a in got.items():
        wide = np.dtype(np.float64 if arrays[2].dtype.itemsize == 8 else np.float32)
        own = np.dtype(np.int64) if name == "argmax" else arrays[2].dtype.newbyteorder("=")
        assert a.dtype == (wide if name in OF_SUMS else own)
        assert expected[name].error(a) <= expected[name].bound, name
    assert memory(arrays) == before


@pytest.mark.parametrize("seed", range(0, 400, 4))
def test_reference(seed: int) -> None:
    arrays, options = problem(seed)
    got = named(clattn.reference(*arrays, **options), options)
    expected = expect(*arrays, **options)
    for name, a in got.items():
        assert expected[name].error(a) <= expected[name].reference_bound, name


@pytest.mark.parametrize("seed", range(1, 400, 4))
def test_verify(seed: int) -> None:
    """A report's errors are those that plain.py finds, but for the reference's own rounding."""
    arrays, options = problem(seed)
    report = clattn.verify(*arrays, **options)
    assert report.ok and report
    got = named(clattn.attention(*arrays, **options), options)
    expected = expect(*arrays, **options)
    assert list(report.errors) == list(report.bounds) == list(got)
    for verdict in report.verdicts:
        name = verdict.name
        assert verdict.checked + verdict.left_out == got[name].size
        assert abs(verdict.error - expected[name].error(got[name])) <= expected[name].reference_bound, name
