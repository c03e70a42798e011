"""06: feed-forward scores. A layer of two units with tanh, in place of a dot product, says how well a decoder state
and an encoder output go together (Bahdanau et al., arXiv:1409.0473):

    score = v . tanh(w_query @ state + w_key @ output), weights = softmax(scores), context = weights @ value

Luong's "concat" is the same with one matrix for state and output side by side.
"""

import numpy as np

import clattn

state = np.array([[0.4, 0.5]], np.float32)
encoder = np.array([[0.1, 0.2], [0.2, 0.3], [0.3, 0.4]], np.float32)
w_query = np.array([[0.1, 0.2], [0.3, 0.4]], np.float32)  # (A, D): two units of two inputs
w_key = np.array([[0.5, 0.6], [0.7, 0.8]], np.float32)  # (A, Dk)
v = np.array([1, 1], np.float32)  # (A)

# By hand: each row of `units` belongs to one encoder output.
of_state = state @ w_query.T
of_encoder = encoder @ w_key.T
units = np.tanh(of_state + of_encoder)
scores = units @ v
weights = np.exp(scores - scores.max())
weights /= weights.sum()
context = weights @ encoder

# On a device, in one call. Parameters go by their names.
params = {"w_query": w_query, "w_key": w_key, "v": v}
by_clattn, weights_by_clattn, scores_by_clattn = clattn.attention(
    state, encoder, encoder, score="additive", params=params, return_weights=True, return_scores=True
)

# As "concat": one matrix, one vector.
matrix = np.concatenate([w_query, w_key], axis=1)
for output, score in zip(encoder, scores):
    assert np.isclose(v @ np.tanh(matrix @ np.concatenate([state[0], output])), score)

np.set_printoptions(precision=4, floatmode="fixed")
print("w_query @ state ", of_state[0])
for j in range(3):
    print(f"output {j}: w_key @ output {of_encoder[j]}, tanh of the sum {units[j]}, score {scores[j]:.4f}")
for name, by_numpy, found in (
    ("scores", scores, scores_by_clattn),
    ("weights", weights, weights_by_clattn),
    ("context", context, by_clattn),
):
    print(f"{name:7} by NumPy {by_numpy}, by clattn {found[0]}")
    assert np.allclose(by_numpy, found, rtol=0, atol=1e-6)
assert np.allclose(of_encoder, [[0.17, 0.23], [0.28, 0.38], [0.39, 0.53]], rtol=0, atol=1e-6)
assert np.allclose(scores, [0.80096, 1.00130, 1.17646], rtol=0, atol=1e-4)
