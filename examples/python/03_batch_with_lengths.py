"""03: a padded batch. Three sequences of 5, 3 and 1 keys lie in arrays of 5 keys each; kv_lengths keeps
the padding out. Padding may hold anything: here it holds NaN, and none of it reaches a result."""

import numpy as np

import clattn

B, H, S, T, D = 3, 2, 1, 5, 8
lengths = np.array([5, 3, 1])

rng = np.random.default_rng(0)
query = rng.standard_normal((B, H, S, D), np.float32)
key = rng.standard_normal((B, H, T, D), np.float32)
value = rng.standard_normal((B, H, T, D), np.float32)
for b, length in enumerate(lengths):
    key[b, :, length:] = np.nan
    value[b, :, length:] = np.nan

output, weights = clattn.attention(query, key, value, kv_lengths=lengths, return_weights=True)

print("weights of head 0, one sequence a line:")
for b, length in enumerate(lengths):
    print(f"  {length} keys:", " ".join(f"{weight:.3f}" for weight in weights[b, 0, 0]))

assert np.isfinite(output).all()
for b, length in enumerate(lengths):
    assert (weights[b, :, :, length:] == 0).all()
    assert np.allclose(weights[b].sum(axis=-1), 1)
    # A sequence of the batch gives what it gives alone, without its padding.
    alone = clattn.attention(query[b], key[b, :, :length], value[b, :, :length])
    assert np.allclose(output[b], alone, atol=1e-5)
print("no NaN in the output; each sequence gives what it gives alone")
