"""01: the context of given weights. Three encoder outputs, three weights, one context vector:

    context = 0.1 * (0.1, 0.2) + 0.3 * (0.2, 0.3) + 0.6 * (0.3, 0.4) = (0.25, 0.35)

The weights come from elsewhere; nothing normalizes them.
"""

import numpy as np

import clattn

weights = np.array([[0.1, 0.3, 0.6]], np.float32)
encoder = np.array([[0.1, 0.2], [0.2, 0.3], [0.3, 0.4]], np.float32)

# By hand: each encoder output times its weight, all added up.
by_numpy = (weights.T * encoder).sum(axis=0, keepdims=True)

# On a device: one row of weights, (S, T) = (1, 3); values (T, Dv) = (3, 2); a context (S, Dv) = (1, 2).
by_clattn = clattn.context(weights, encoder)

print("context by NumPy ", by_numpy)
print("context by clattn", by_clattn)
assert np.allclose(by_numpy, [[0.25, 0.35]], rtol=0, atol=1e-6)
assert np.allclose(by_clattn, [[0.25, 0.35]], rtol=0, atol=1e-6)
