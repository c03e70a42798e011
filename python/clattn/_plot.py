"""Weights as heat maps, with matplotlib where it is installed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import floats

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(
    weights: Any,
    *,
    query_labels: Sequence[str] | None = None,
    key_labels: Sequence[str] | None = None,
    batch: int = 0,
    head: int | None = None,
    title: str | None = None,
) -> Figure:
    """Draws who attends to whom: a row for each query, a column for each key, dark where a weight is high.

    Args:
        weights: (S, T), (B, S, T) or (B, Hq, S, T), as attention() returns them.
        query_labels, key_labels: S and T words beside the axes; longer lists are cut to fit, so that one
            list of padded sentences serves all.
        batch: which entry of the batch.
        head: which head; None: all of them, side by side.
        title: above the figure.

    Returns:
        A matplotlib figure, which notebooks show and `.savefig(path)` writes.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("clattn.plot needs matplotlib: pip install matplotlib") from None

    class HeatMap(Figure):
        def _repr_png_(self) -> bytes:  # a notebook asks for it; no window, no global state
            png = io.BytesIO()
            self.savefig(png, format="png")
            return png.getvalue()

    maps = _maps(floats(weights, "weights"), batch, head)
    columns = int(np.ceil(np.sqrt(len(maps))))
    rows = -(-len(maps) // columns)
    S, T = maps[0][1].shape
    query_labels, key_labels = _labels(query_labels, "query_labels", S), _labels(key_labels, "key_labels", T)
    width, height = (min(max(0.28 * count + 1.6, 3.2), 16) for count in (T, S))
    figure = HeatMap(figsize=(columns * width, rows * height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    highest = max(float(np.nanmax(m, initial=0.0)) for _, m in maps) or 1.0
    for (name, m), ax in zip(maps, axes):
        ax.imshow(m, cmap="Blues", vmin=0.0, vmax=highest, aspect="auto", interpolation="nearest")
        ax.set_title(name, fontsize="medium")
        ax.set_xlabel("key")
        ax.set_ylabel("query")
        if key_labels is not None:
            ax.set_xticks(range(T), key_labels[:T], rotation=90, parse_math=False)
        if query_labels is not None:
            ax.set_yticks(range(S), query_labels[:S], parse_math=False)
    for ax in axes[len(maps) :]:
        ax.set_axis_off()
    figure.colorbar(axes[0].images[0], ax=list(axes[: len(maps)]), label="weight", shrink=0.8)
    if title:
        figure.suptitle(title, parse_math=False)
    return figure


def _labels(words: Sequence[str] | None, name: str, count: int) -> list[str] | None:
    if words is None:
        return None
    if isinstance(words, str) or not hasattr(words, "__iter__"):
        raise TypeError(f"{name}: {words!r}, expected a list of words")
    listed = [str(word) for word in words]
    if len(listed) < count:
        raise ValueError(f"{name}: {len(listed)} words, expected {count}")
    return listed


def _index(given: Any, name: str, count: int) -> int:
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise TypeError(f"{name}: {given!r}, expected an index")
    if not 0 <= given.__index__() < count:
        raise ValueError(f"{name}: {given}, expected 0 to {count - 1}")
    return given.__index__()


def _maps(weights: np.ndarray, batch: int, head: int | None) -> list[tuple[str, np.ndarray]]:
    """The matrices to draw with their names, as float32."""
    if not 2 <= weights.ndim <= 4 or 0 in weights.shape:
        raise ValueError(f"weights: shape {weights.shape}, expected (S, T), (B, S, T) or (B, Hq, S, T), none empty")
    if weights.ndim > 2:
        weights = weights[_index(batch, "batch", weights.shape[0])]
    if weights.ndim == 2:
        return [("", weights.astype(np.float32))]
    heads = range(weights.shape[0]) if head is None else [_index(head, "head", weights.shape[0])]
    return [(f"head {h}", weights[h].astype(np.float32)) for h in heads]
