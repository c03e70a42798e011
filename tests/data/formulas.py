"""Scores, normalizers and what is told of weights, for make_vectors.py, written from the papers that each names. Cases
are those of vector_cases.py, tensors those of make_vectors.py."""

import numpy as np


def of_heads(case, tensors, name, rank):
    """A parameter with an axis of query heads in front; `rank`: its own without one."""
    array = tensors["params." + name]
    return np.broadcast_to(array, (case["Hq"], *array.shape[-rank:]))


def of_keys(tensors, name):
    """What goes with keys, with an axis of heads: (B, 1 or Hq, T)."""
    array = tensors["params." + name]
    return array[:, None] if array.ndim == 2 else array


def of_rows(tensors, name):
    """A number for each row, that broadcasts to the scores."""
    array = tensors["params." + name]
    if array.ndim == 1:
        return array[None, :, None, None]
    return array[:, None, :, None] if array.ndim == 2 else array[..., None]


def lengths_of(vectors):
    """Without magnitudes, which linalg.norm() takes: gradients are made with complex numbers."""
    return np.sqrt((vectors**2).sum(axis=-1))


def location_features(case, tensors):
    """f[b, h, j, c] = sum over channels and k of conv[c, channel, k] * weights[channel][j + k - (K - 1) / 2], with
    zeros beyond the ends (Chorowski et al., arXiv:1506.07503, equation 8; Shen et al., arXiv:1712.05884)."""
    B, Hq, T = case["B"], case["Hq"], case["T"]
    inputs = [n for n in ("previous_weights", "cumulative_weights") if "params." + n in tensors]
    conv = of_heads(case, tensors, "conv", 2 if len(inputs) == 1 else 3).reshape(Hq, case["C"], len(inputs), -1)
    K = conv.shape[-1]
    features = np.zeros((B, Hq, T, case["C"]), conv.dtype)
    for channel, name in enumerate(inputs):
        weights = np.broadcast_to(of_keys(tensors, name), (B, Hq, T))
        for j in range(T):
            for k in range(K):
                at = j + k - (K - 1) // 2
                if 0 <= at < T:
                    features[:, :, j] += conv[None, :, :, channel, k] * weights[:, :, at, None]
    return features


def additive_scores(case, tensors, query, key):
    """v^T tanh(W_q q + W_k k + b) (Bahdanau et al., arXiv:1409.0473, A.1.2), with the terms that others add to it; with
    a gain g, v / |v| is g times as long (Salimans and Kingma, arXiv:1602.07868)."""
    hidden = np.einsum("had,bhsd->bhsa", of_heads(case, tensors, "w_query", 2), query)[:, :, :, None]
    hidden = hidden + np.einsum("had,bhtd->bhta", of_heads(case, tensors, "w_key", 2), key)[:, :, None]
    if "params.bias" in tensors:
        hidden = hidden + of_heads(case, tensors, "bias", 1)[None, :, None, None]
    if case["score"] == "location-sensitive":
        features = location_features(case, tensors)
        hidden = hidden + np.einsum("hac,bhtc->bhta", of_heads(case, tensors, "w_location", 2), features)[:, :, None]
    if case["score"] == "coverage":  # See et al., arXiv:1704.04368, equation 11
        w_coverage = of_heads(case, tensors, "w_coverage", 1)[None, :, None, None]
        hidden = hidden + w_coverage * of_keys(tensors, "coverage")[:, :, None, :, None]
    v = of_heads(case, tensors, "v", 1)
    if "params.g" in tensors:
        v = tensors["params.g"][:, None] * v / lengths_of(v)[:, None]
    return np.einsum("ha,bhsta->bhst", v, np.tanh(hidden))


def scores_of(case, tensors):
    """(B, Hq, S, T), before scale."""
    query, group = tensors["query"], case["Hq"] // case["Hkv"]
    score = case["score"]
    if score == "location":  # Luong et al., arXiv:1508.04025, section 3.1
        return np.einsum("htd,bhsd->bhst", of_heads(case, tensors, "weight", 2)[:, : case["T"]], query)
    key = np.repeat(tensors["key"], group, axis=1)
    if score == "general":  # likewise
        return np.einsum("bhsd,hde,bhte->bhst", query, of_heads(case, tensors, "weight", 2), key)
    if score == "rbf":
        apart = query[:, :, :, None] - key[:, :, None]
        return -of_rows(tensors, "gamma") * (apart**2).sum(axis=-1)
    if score in ("additive", "location-sensitive", "coverage"):
        return additive_scores(case, tensors, query, key)
    products = np.einsum("bhsd,bhtd->bhst", query, key)
    if score == "cosine":  # Graves et al., arXiv:1410.5401, equations 5 and 6
        lengths = lengths_of(query)[..., :, None] * lengths_of(key)[..., None, :]
        return of_rows(tensors, "beta") * np.divide(products, lengths, where=lengths != 0, out=np.zeros_like(products))
    return products


def sparsemax(scores):
    """Martins and Astudillo, arXiv:1602.02068, algorithm 1, of one row."""
    z = np.sort(scores)[::-1]
    sums, k = np.cumsum(z), np.arange(1, len(z) + 1)
    largest = k[1 + k * z > sums].max()
    return np.maximum(scores - (sums[largest - 1] - 1) / largest, 0)


def entmax15(scores):
    """Peters et al., arXiv:1905.05702, algorithm 2, of one row."""
    z, k = np.sort(scores)[::-1] / 2, np.arange(1, len(scores) + 1)
    mean, mean_of_squares = np.cumsum(z) / k, np.cumsum(z**2) / k
    thresholds = mean - np.sqrt(np.maximum((1 - k * (mean_of_squares - mean**2)) / k, 0))
    largest = (thresholds <= z).sum()
    return np.maximum(scores / 2 - thresholds[largest - 1], 0) ** 2


def sparse_weights(of_row, modified):
    """Only scores above -infinity take part; one that is no number, or infinite, spoils its row."""
    weights = np.zeros_like(modified)
    for index in np.ndindex(modified.shape[:-1]):
        row = modified[index]
        held = row != -np.inf
        if held.any():
            # A shift changes no weight, and spares the digits of large scores.
            weights[index][held] = of_row(row[held] - row.max()) if np.isfinite(row[held]).all() else np.nan
    assert np.isnan(weights).any() or np.allclose(weights.sum(axis=-1)[(modified != -np.inf).any(axis=-1)], 1)
    return weights


def keys_looked_at_most(modified):
    """The first of the largest scores of each row, a NaN before all others; -1 where all are -infinity."""
    found = np.full(modified.shape[:-1], -1)
    for index in np.ndindex(found.shape):
        row = modified[index]
        if (row != -np.inf).any():
            found[index] = np.argmax(row)
    return found


def entropies(weights):
    """-sum w ln w of each row (Shannon, 1948), where 0 ln 0 is 0."""
    with np.errstate(all="ignore"):
        return -np.where(weights == 0, 0.0, weights * np.log(weights)).sum(axis=-1)
