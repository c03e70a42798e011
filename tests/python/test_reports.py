"""Reports, devices and plots, as people see them."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
import pytest

import clattn
from clattn._devices import DeviceList

RNG = np.random.default_rng(3)
SHAPES = ((2, 4, 6, 8), (2, 2, 7, 8), (2, 2, 7, 5))
ARRAYS = QUERY, KEY, VALUE = [RNG.standard_normal(shape).astype(np.float32) for shape in SHAPES]


def spoiled(
    monkeypatch: pytest.MonkeyPatch, change: Any, arrays: Any = ARRAYS, verify: Any = clattn.verify, **options: Any
) -> clattn.Report:
    """A verification of results that `change` spoils between the device's run and the comparison."""
    run = clattn._run.run

    def run_and_spoil(job: Any, device: Any) -> Any:
        done = run(job, device)
        change(dict(zip(job.names, job.outputs)))
        return done

    monkeypatch.setattr(clattn._run, "run", run_and_spoil)
    return verify(*arrays, **options)


def test_report() -> None:
    report = clattn.verify(QUERY, KEY, VALUE, causal=True, return_weights=True, return_scores=True, return_lse=True)
    names = ["output", "weights", "scores", "lse"]
    assert report.ok and bool(report) is True
    assert list(report.errors) == list(report.bounds) == names == [v.name for v in report.verdicts]
    assert all(0 <= report.errors[name] <= report.bounds[name] < 1e-4 for name in names)
    assert report.rows == 2 * 4 * 6 and report.seconds > 0
    assert report.device == clattn.devices()[report.device.index]
    assert report.variant == clattn.verify(QUERY, KEY, VALUE, variant=report.variant).variant
    for verdict, size in zip(report.verdicts, (2 * 4 * 6 * 5, 2 * 4 * 6 * 7, 2 * 4 * 6 * 7, 2 * 4 * 6)):
        assert (verdict.checked, verdict.left_out) == (size, 0)


def test_sample() -> None:
    report = clattn.verify(QUERY, KEY, VALUE, sample=5)
    assert report.rows == 5 and report.verdicts[0].checked == 5 * 5
    assert clattn.verify(QUERY, KEY, VALUE, sample=1000).rows == 2 * 4 * 6


@pytest.mark.parametrize("layout", ["bhsd", "bshd"])
@pytest.mark.parametrize("wrong", [1e-3, np.nan, np.inf])
def test_wrong_element(monkeypatch: pytest.MonkeyPatch, wrong: float, layout: str) -> None:
    """Found, and where: the index is the caller's, in either layout."""
    at = (1, 3, 2, 4)

    def change(outputs: dict[str, np.ndarray]) -> None:
        outputs["output"][at] += wrong

    arrays = [a if layout == "bhsd" else a.transpose(0, 2, 1, 3) for a in ARRAYS]
    report = spoiled(monkeypatch, change, arrays, layout=layout)
    [verdict] = report.verdicts
    assert not report.ok and not report and not verdict.ok
    assert verdict.worst == at
    assert verdict.error == pytest.approx(wrong, rel=1e-2) if wrong == 1e-3 else verdict.error == np.inf
    assert "FAILED" in str(report) and str(at) in str(report)
    assert "FAILED" in report._repr_html_()


SIDE_OUTPUTS = ["weights", "scores", "lse", "column_sums", "argmax", "entropy"]


@pytest.mark.parametrize("name", SIDE_OUTPUTS)
def test_wrong_side_output(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One wrong output makes the report wrong, and no other output."""

    def change(outputs: dict[str, np.ndarray]) -> None:
        outputs[name].flat[11] += 1 if name == "argmax" else 0.01  # T is 7: there is such a key, or none

    report = spoiled(monkeypatch, change, **{f"return_{side}": True for side in SIDE_OUTPUTS})
    assert not report.ok
    assert {v.name for v in report.verdicts if not v.ok} == {name}


def test_report_as_text() -> None:
    report = clattn.verify(QUERY, KEY, VALUE, return_lse=True)
    title, head, *rows = str(report).splitlines()
    assert title == f"verified: {report.variant} on {report.device.name}, 48 rows"
    assert head.split() == ["output", "error", "bound", "elements", "worst", "at"]
    assert [row.split()[0] for row in rows] == ["output", "lse"]
    assert all(row.endswith("ok") for row in rows)


def test_html_is_escaped() -> None:
    """A device's name comes from a driver, not from us."""
    report = clattn.verify(QUERY, KEY, VALUE)
    device = dataclasses.replace(report.device, name='<script>"A&B"</script>')
    for shown in (dataclasses.replace(report, device=device), DeviceList([device])):
        html = shown._repr_html_()
        assert "<script>" not in html and "&lt;script&gt;" in html and "A&amp;B" in html
    html = report._repr_html_()
    assert html.count("<table>") == html.count("</table>") == 1
    assert html.count("<tr>") == html.count("</tr>") == 1 + len(report.verdicts)
    assert "<td>output</td>" in html and "verified" in html


def test_devices_as_text() -> None:
    found = clattn.devices()
    assert [device.index for device in found] == list(range(len(found)))
    assert str(found).splitlines() == [str(device) for device in found]
    assert all(f"{device.index}: {device.name} ({device.kind}, " in str(device) for device in found)
    assert found._repr_html_().count("<tr>") == 1 + len(found)


WEIGHTS = clattn.attention(QUERY, KEY, VALUE, return_weights=True)[1]


@pytest.mark.parametrize("head, maps", [(None, 4), (2, 1)])
def test_plot(head: int | None, maps: int, tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    figure = clattn.plot(WEIGHTS, batch=1, head=head, title="who & whom")
    images = [ax.images[0] for ax in figure.axes if ax.images]
    assert len(images) == maps
    for h, image in zip(range(4) if head is None else [head], images):
        np.testing.assert_array_equal(image.get_array(), WEIGHTS[1, h])
    assert figure.get_suptitle() == "who & whom"
    figure.savefig(tmp_path / "weights.png")
    assert (tmp_path / "weights.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("shape", [(6, 7), (2, 6, 7), (1, 1), (1, 3, 1, 1)])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_plot_of_any_shape_and_type(shape: tuple[int, ...], dtype: str) -> None:
    pytest.importorskip("matplotlib")
    weights = np.full(shape, 0.5, clattn._arrays.bfloat16() if dtype == "bfloat16" else dtype)
    figure = clattn.plot(weights)
    [first, *_] = figure.axes
    assert first.images[0].get_array().shape == shape[-2:]


def test_plot_in_a_notebook() -> None:
    """A notebook shows what offers a picture of itself; labels are words, not formulas."""
    pytest.importorskip("matplotlib")
    words = ["$\\foo$", "$x_$", "100 %", "a"]
    figure = clattn.plot(WEIGHTS[0, 0], query_labels=words * 9, key_labels=words * 9, title="$\\x$")
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_plot_labels() -> None:
    """Lists of padded sentences are cut to fit."""
    pytest.importorskip("matplotlib")
    words = [f"word {i}" for i in range(9)]
    ax = clattn.plot(WEIGHTS[0, 0], query_labels=words, key_labels=words).axes[0]
    assert [text.get_text() for text in ax.get_yticklabels()] == words[:6]
    assert [text.get_text() for text in ax.get_xticklabels()] == words[:7]


PLOT_ERRORS: dict[str, tuple[type[Exception], str, Any, dict[str, Any]]] = {
    "rank 1": (ValueError, "weights", np.zeros(3, np.float32), {}),
    "rank 5": (ValueError, "weights", np.zeros((1, 1, 1, 2, 2), np.float32), {}),
    "empty": (ValueError, "weights", np.zeros((0, 3), np.float32), {}),
    "integers": (TypeError, "weights", np.zeros((3, 3), int), {}),
    "batch": (ValueError, "batch", WEIGHTS, {"batch": 2}),
    "negative batch": (ValueError, "batch", WEIGHTS, {"batch": -1}),
    "head": (ValueError, "head", WEIGHTS, {"head": 4}),
    "few query labels": (ValueError, "query_labels", WEIGHTS, {"query_labels": ["a"]}),
    "few key labels": (ValueError, "key_labels", WEIGHTS, {"key_labels": list("abcdef")}),
}


@pytest.mark.parametrize("kind, name, weights, options", PLOT_ERRORS.values(), ids=PLOT_ERRORS)
def test_plot_refuses(kind: type[Exception], name: str, weights: Any, options: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(kind, match=name):
        clattn.plot(weights, **options)


def test_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        clattn.plot(WEIGHTS)
