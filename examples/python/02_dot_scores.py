"""02: dot-product attention of a decoder state over encoder outputs, which are keys and values
(Luong et al., arXiv:1508.04025):

    scores = query . key, weights = softmax(scores), context = weights @ value
"""

import numpy as np

import clattn

state = np.array([[0.4, 0.5]], np.float32)
encoder = np.array([[0.1, 0.2], [0.2, 0.3], [0.3, 0.4]], np.float32)

# By hand.
scores = state @ encoder.T
weights = np.exp(scores - scores.max())
weights /= weights.sum()
context = weights @ encoder

# On a device, in one call. The default score is "scaled-dot", which divides by the root of the size.
by_clattn, weights_by_clattn, scores_by_clattn = clattn.attention(
    state, encoder, encoder, score="dot", return_weights=True, return_scores=True
)

np.set_printoptions(precision=8)
for name, by_numpy, found in (
    ("scores", scores, scores_by_clattn),
    ("weights", weights, weights_by_clattn),
    ("context", context, by_clattn),
):
    print(f"{name:7} by NumPy {by_numpy[0]}, by clattn {found[0]}")
    assert np.allclose(by_numpy, found, rtol=0, atol=1e-6)
assert np.allclose(scores_by_clattn, [[0.14, 0.23, 0.32]], rtol=0, atol=1e-6)
assert np.allclose(weights_by_clattn, [[0.30382285, 0.33243516, 0.36374199]], rtol=0, atol=1e-6)
assert np.allclose(by_clattn, [[0.20599191, 0.30599191]], rtol=0, atol=1e-6)
