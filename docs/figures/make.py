"""Draws the figures of docs/scores.md: each score on inputs that were made to show what it attends to.

    python docs/figures/make.py [FOLDER]

The inputs are small and the parameters made by hand, or solved for, where a network would learn them; the weights are
clattn's. A picture carries the words and weights that it shows, since no two versions of a drawing library make the
same pixels: tests/python/test_figures.py holds them against those of a new run. Needs matplotlib.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import clattn

HERE = Path(__file__).parent


@dataclass
class Alignment:
    """Weights with the words beside them, (S, T), or (panels, S, T) with a title for each panel."""

    weights: np.ndarray
    rows: list[str]
    columns: list[str]
    titles: list[str] | None = None
    row_axis: str = "query"
    column_axis: str = "key"
    numbers: bool = False  # written in cells wide enough for them


def floats(a: object) -> np.ndarray:
    return np.asarray(a, np.float32)


def one_hot(word: str, alphabet: str) -> np.ndarray:
    """A row for each letter of the word, 1 in the letter's column."""
    return np.eye(len(alphabet), dtype=np.float32)[[alphabet.index(letter) for letter in word]]


def attend(query: np.ndarray, key: np.ndarray | None, **options) -> np.ndarray:
    """The weights alone. Scores do not ask what the values are: they are the keys, or one number for each row."""
    value = key if key is not None else options["params"]["weight"][:, :1]
    return clattn.attention(query, key, value, return_weights=True, **options)[1]


def scaled_dot() -> Alignment:
    """A sentence on itself, in a head of a real encoder (examples/data/sentences)."""
    data = HERE.parents[1] / "examples" / "data" / "sentences"
    words = (data / "tokens.txt").read_text().splitlines()[0].split()
    query, key = (np.load(data / f"{name}.npy")[0, 1, : len(words)] for name in ("query", "key"))
    return Alignment(attend(query, key), words, words)


def general() -> Alignment:
    """French words in a space of 16 numbers, English ones in another of 20. With more numbers than words, `weight` can
    be solved for: 5 for a word and its translation, 0 for all other pairs."""
    french = "l' accord sur la zone économique européenne a été signé en août 1992".split()
    english = "the agreement on the European Economic Area was signed in August 1992".split()
    meaning = dict(zip(french, "the agreement on the Area Economic European was was signed in August 1992".split()))
    vocabulary = sorted(set(english))
    rng = np.random.default_rng(0)
    of_french = rng.standard_normal((len(french), 16))
    of_english = rng.standard_normal((len(vocabulary), 20))
    wanted = [[5 * (meaning[word] == other) for other in vocabulary] for word in french]
    weight = np.linalg.pinv(of_french) @ wanted @ np.linalg.pinv(of_english).T
    key = of_english[[vocabulary.index(word) for word in english]]
    weights = attend(floats(of_french), floats(key), score="general", params={"weight": floats(weight)})
    return Alignment(weights, french, english)


def additive() -> Alignment:
    """Numbers on numbers. A unit steps from -1 to 1 where the key passes the query by a half, another one where it
    comes as near from below: the first alone says "greater", the second less the first says "equal"."""
    digits = "31415926"
    numbers = np.tile(floats([int(d) for d in digits])[:, None], (1, 2, 1, 1))
    steep, half = 8, 4
    params = {
        "w_query": floats([[-steep], [-steep]]),
        "w_key": floats([[steep], [steep]]),
        "bias": floats([-half, half]),
        "v": floats([[3, 0], [-2, 2]]),
    }
    return Alignment(
        attend(numbers, numbers, score="additive", params=params)[0],
        list(digits),
        list(digits),
        ["v = (3, 0): greater", "v = (-2, 2): equal"],
    )


def location() -> Alignment:
    """A state (place, 1) and rows (2 j, -j^2) have the score place^2 - (place - j)^2, a bell around the place."""
    words = "row row row your boat gently down the stream".split()
    places = np.linspace(0, len(words) - 1, 6)
    j = np.arange(len(words))
    query = floats(np.stack([places, np.ones_like(places)], axis=1))
    weights = attend(query, None, score="location", params={"weight": floats(np.stack([2 * j, -(j**2)], axis=1))})
    return Alignment(weights, [f"{place:.1f}" for place in places], words, row_axis="place in the query")


def location_sensitive() -> Alignment:
    """A decoder that asks for the letters of a word one after the other, over frames of sound of each letter. A unit
    for each letter fires where it is asked for and there, one more where the last step looked at one of the three
    frames before."""
    word, frames = "banana", "bbaaannaannnaaa"
    letters = "abn"
    A, D, T = len(letters) + 1, len(letters), len(frames)
    query, key = one_hot(word, letters), one_hot(frames, letters)
    content = {
        "w_query": 4 * np.eye(A, D, dtype=np.float32),
        "w_key": 4 * np.eye(A, D, dtype=np.float32),
        "v": np.full(A, 3, np.float32),
        "bias": floats([-6] * D + [-2]),
    }
    by_content = attend(query, key, score="additive", params=content)
    location = {"conv": floats([[1, 1, 1, 0, 0, 0, 0]]), "w_location": 10 * np.eye(A, dtype=np.float32)[:, D:]}
    previous = np.zeros((1, T), np.float32)
    steps = []
    for letter in query:
        params = {**content, **location, "previous_weights": previous}
        previous = attend(letter[None], key, score="location-sensitive", params=params)
        steps.append(previous[0])
    return Alignment(
        np.stack([by_content, steps]),
        list(word),
        list(frames),
        ["additive: content alone", "location-sensitive"],
        row_axis="query, a step each",
    )


def coverage() -> Alignment:
    """A decoder whose state is the same at each step: what is most worth telling? One unit says how much that is, of
    each word; another takes away from it what was told, the sum of the word's weights so far."""
    words = "a storm hit the coast on Monday closing its ports".split()
    worth = {"storm": 1, "coast": 0.8, "ports": 0.6, "hit": 0.4, "Monday": 0.2}
    key = floats([[worth.get(word, 0)] for word in words])
    content = {"w_query": floats([[0], [0]]), "w_key": floats([[1], [0]]), "v": floats([40, -40])}
    state = np.ones((1, 1), np.float32)
    told = np.zeros((1, len(key)), np.float32)
    steps = []
    for _ in worth:
        params = {**content, "w_coverage": floats([0, 2]), "coverage": told}
        steps.append(attend(state, key, score="coverage", params=params)[0])
        told = told + steps[-1]
    without = np.repeat(attend(state, key, score="additive", params=content), len(steps), axis=0)
    return Alignment(
        np.stack([without, steps]),
        [str(step) for step in range(1, len(steps) + 1)],
        words,
        ["additive: nothing is remembered", "coverage"],
        row_axis="step",
    )


def cosine() -> Alignment:
    """Directions of a compass, as vectors of unlike lengths."""
    points = "N NE E SE S SW W NW".split()
    angles = np.arange(8) * np.pi / 4
    directions = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    query = directions * np.geomspace(0.1, 10, 8)[:, None]
    key = directions * np.geomspace(50, 0.5, 8)[:, None]
    both = (1, 2, 1, 1)
    weights = attend(np.tile(floats(query), both), np.tile(floats(key), both), score="cosine", params={"beta": [2, 20]})
    return Alignment(weights[0], points, points, ["beta = 2", "beta = 20"])


def rbf() -> Alignment:
    """Where samples were taken, and where a curve through them is asked for."""
    samples = floats([0, 1, 2, 3, 6, 7, 8, 9])
    asked = floats(np.linspace(0, 9, 13))
    weights = attend(asked[:, None], samples[:, None], score="rbf", params={"gamma": 2})
    return Alignment(weights, [f"{x:g}" for x in asked], [f"{x:g}" for x in samples])


def normalizers() -> Alignment:
    """One row of scores; with queries of 1, keys are their own scores."""
    scores = [3, 2.5, 2, 1, 0, -1, -3]
    names = ["softmax", "entmax15", "sparsemax", "sigmoid"]
    one, key = np.ones((1, 1), np.float32), floats(scores)[:, None]
    rows = [attend(one, key, score="dot", normalizer=name)[0] for name in names]
    return Alignment(
        np.stack(rows),
        names,
        [f"{s:g}" for s in scores],
        row_axis="normalizer",
        column_axis="score of a key",
        numbers=True,
    )


FIGURES = {
    "scaled-dot": scaled_dot,
    "general": general,
    "additive": additive,
    "location": location,
    "location-sensitive": location_sensitive,
    "coverage": coverage,
    "cosine": cosine,
    "rbf": rbf,
    "normalizers": normalizers,
}


def draw(alignment: Alignment, path: Path) -> None:
    a = alignment
    panels = a.weights.reshape(-1, len(a.rows), len(a.columns))
    figure = clattn.plot(panels[None] if a.titles else a.weights, query_labels=a.rows, key_labels=a.columns)
    for ax, title in zip(figure.axes, a.titles or [""]):
        ax.set(title=title, xlabel=a.column_axis, ylabel=a.row_axis)
    if a.numbers:
        figure.set_size_inches(6, 2.6)
        for (i, j), weight in np.ndenumerate(a.weights):
            colour = "white" if weight > a.weights.max() / 2 else "black"
            figure.axes[0].text(j, i, f"{weight:.2f}", ha="center", va="center", color=colour)
    carried = {"weights": a.weights.astype(float).round(3).tolist(), "rows": a.rows, "columns": a.columns}
    metadata = {"alignment": json.dumps(carried), "Software": None}
    figure.savefig(path, dpi=100, metadata=metadata, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, make in FIGURES.items():
        draw(make(), folder / f"{name}.png")
        print(f"drawn into {folder / name}.png")
