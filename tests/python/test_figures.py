"""The figures of docs/scores.md: their script runs, they are of the numbers that clattn computes, and what the text
says can be seen in them is there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from PIL import Image  # matplotlib brings it

from clattn._api import ScoreName

DOCS = Path(__file__).parents[2] / "docs"
NAMES = sorted(path.stem for path in (DOCS / "figures").glob("*.png"))


@dataclass
class Shown:
    """What a picture carries: weights are (S, T) or (panels, S, T)."""

    weights: np.ndarray
    rows: list[str]
    columns: list[str]

    def of(self, query: str, key: str) -> float:
        return self.weights[self.rows.index(query), self.columns.index(key)]

    def heaviest(self) -> list[str]:
        """The key that each query of the last panel looks at most."""
        panel = self.weights.reshape(-1, *self.weights.shape[-2:])[-1]
        return [self.columns[j] for j in panel.argmax(axis=1)]


def read(path: Path) -> Shown:
    with Image.open(path) as picture:
        carried = json.loads(picture.text["alignment"])
    return Shown(**{**carried, "weights": np.array(carried["weights"])})


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Shown]:
    """The figures of a new run by name."""
    folder = tmp_path_factory.mktemp("figures")
    subprocess.run([sys.executable, DOCS / "figures" / "make.py", folder], check=True)
    return {path.stem: read(path) for path in folder.glob("*.png")}


def test_all_are_there(drawn: dict[str, Shown]) -> None:
    text = (DOCS / "scores.md").read_text()
    headings = " ".join(re.findall(r"^## (.+)$", text, re.MULTILINE))
    assert set(typing.get_args(ScoreName)) <= set(re.findall(r"[\w-]+", headings))
    assert NAMES == sorted(drawn) == sorted(re.findall(r"^!\[.+\]\(figures/(.+)\.png\)$", text, re.MULTILINE))


@pytest.mark.parametrize("name", NAMES)
def test_committed_numbers(name: str, drawn: dict[str, Shown]) -> None:
    committed = read(DOCS / "figures" / f"{name}.png")
    assert (committed.rows, committed.columns) == (drawn[name].rows, drawn[name].columns)
    assert np.allclose(committed.weights, drawn[name].weights, rtol=0, atol=0.003)


def test_scaled_dot(drawn: dict[str, Shown]) -> None:
    shown = drawn["scaled-dot"]
    assert shown.of("it", "animal") > 0.6
    assert shown.of("cross", "street") > 0.6
    assert shown.heaviest().count("[CLS]") > len(shown.rows) / 2


def test_general(drawn: dict[str, Shown]) -> None:
    shown = drawn["general"]
    wanted = "the agreement on the Area Economic European was was signed in August 1992".split()
    assert shown.heaviest() == wanted
    for row, word in zip(shown.weights, wanted):
        there = np.array(shown.columns) == word
        assert row[there].sum() > 0.9
        assert np.ptp(row[there]) < 0.01  # the two "the" share


def test_additive(drawn: dict[str, Shown]) -> None:
    shown = drawn["additive"]
    digits = np.array(shown.columns, int)
    for digit, greater, equal in zip(digits, *shown.weights):
        larger = digits > digit if digit < 9 else digits > 0  # where none is greater, all are alike
        for row, chosen in (greater, larger), (equal, digits == digit):
            assert row[chosen].sum() > 0.8
            assert np.ptp(row[chosen]) < 0.01


def test_location(drawn: dict[str, Shown]) -> None:
    shown = drawn["location"]
    assert shown.columns[:3] == ["row"] * 3
    centres = shown.weights @ np.arange(len(shown.columns))
    assert np.allclose(centres, np.array(shown.rows, float), atol=0.3)
    assert (shown.weights.max(axis=1) > 0.4).all()


def test_location_sensitive(drawn: dict[str, Shown]) -> None:
    shown = drawn["location-sensitive"]
    frames = "".join(shown.columns)
    runs = [run.span() for run in re.finditer(r"(.)\1*", frames)]
    by_content, aware = shown.weights
    assert len(runs) == len(aware)
    for letter, row, content, (begin, end) in zip(shown.rows, aware, by_content, runs):
        assert row[begin:end].sum() > 0.95
        there = np.array(shown.columns) == letter
        assert content[there].sum() > 0.95
        assert np.ptp(content[there]) < 0.01


def test_coverage(drawn: dict[str, Shown]) -> None:
    shown = drawn["coverage"]
    without, covered = shown.weights
    assert {shown.columns[j] for j in without.argmax(axis=1)} == {"storm"}
    assert shown.heaviest() == "storm coast ports hit Monday".split()
    assert (covered.max(axis=1) > 0.9).all()


def test_cosine(drawn: dict[str, Shown]) -> None:
    small, large = drawn["cosine"].weights
    for panel in small, large:
        for i, row in enumerate(panel):
            assert np.allclose(np.roll(row, -i), panel[0], atol=0.003)  # lengths make no difference
    assert large[0, 0] > 0.99
    assert small[0, 0] < 0.5
    assert small.min() > 0


def test_rbf(drawn: dict[str, Shown]) -> None:
    shown = drawn["rbf"]
    samples = np.array(shown.columns, float)
    for x, row in zip(np.array(shown.rows, float), shown.weights):
        nearness = -np.abs(samples - x)
        assert (np.diff(row[np.argsort(nearness)]) >= 0).all()
        assert row[nearness >= nearness.max() - 1].sum() > 0.95
    assert shown.of("4.5", "3") == shown.of("4.5", "6") == 0.5


def test_normalizers(drawn: dict[str, Shown]) -> None:
    shown = drawn["normalizers"]
    rows = dict(zip(shown.rows, shown.weights))
    assert [(row == 0).sum() for row in rows.values()] == [0, 4, 5, 0]
    assert rows["softmax"][0] < rows["entmax15"][0] < rows["sparsemax"][0]
    assert shown.of("sigmoid", "0") == 0.5
    assert rows.pop("sigmoid").sum() > 4
    assert np.allclose([row.sum() for row in rows.values()], 1, atol=0.005)
