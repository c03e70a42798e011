"""04: verifying a result. verify() computes attention on the device, recomputes it with the reference in
double, and holds the error of each output against a bound that is derived from the problem
(docs/numerics.md). Takes what attention() takes."""

import numpy as np

import clattn

rng = np.random.default_rng(0)
query = rng.standard_normal((2, 8, 33, 24), np.float32)
key = rng.standard_normal((2, 2, 47, 24), np.float32)  # four query heads share a key head
value = rng.standard_normal((2, 2, 47, 24), np.float32)

report = clattn.verify(query, key, value, causal="bottom-right", return_weights=True)
print(report)
assert report.ok
assert report.errors["output"] <= report.bounds["output"]

# The reference is there by itself, too: hold anybody's numbers against it.
right = clattn.reference(query, key, value, causal="bottom-right")
careless = clattn.attention(query, key, value, causal="top-left")
bound = report.bounds["output"]
error = np.abs(careless - right).max()
print(f"\nwith the causal mask aligned top-left instead: error {error:.3g}, bound {bound:.3g}: not the same thing")
assert error > bound
