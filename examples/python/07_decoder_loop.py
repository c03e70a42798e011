"""07: a decoder that spells "hello" from its letters. Step by step it asks for the next letter; its weights say which
one it reads. By content alone the two l are one as good as the other. Location-sensitive scores (Chorowski et al.,
arXiv:1506.07503) also know where the last step looked, which clattn.Decoder remembers on the device.

The parameters are made by hand here; a network learns them.
"""

import numpy as np

import clattn

WORD = "hello"
LETTERS = "helo"

letters = np.eye(len(LETTERS), dtype=np.float32)[[LETTERS.index(letter) for letter in WORD]]
T, D = letters.shape

# A unit for each letter fires where it is both asked for and there. One more fires right of where the last step
# looked: the filter finds in the previous weights, around key j, that of key j - 1.
A = D + 1
content = {
    "w_query": 4 * np.eye(A, D, dtype=np.float32),
    "w_key": 4 * np.eye(A, D, dtype=np.float32),
    "v": np.full(A, 3, np.float32),
    "bias": np.array([-6] * D + [-2], np.float32),
}
location = {
    "conv": np.array([[1, 0, 0]], np.float32),  # (C, K): one filter over three keys
    "w_location": 4 * np.eye(A, dtype=np.float32)[:, D:],  # (A, C)
}


def by_numpy(query: np.ndarray, previous: np.ndarray) -> np.ndarray:
    """The weights of one step, from the formula."""
    around = np.pad(previous, 1)
    features = np.array([[location["conv"][0] @ around[j : j + 3]] for j in range(T)])
    hidden = content["w_query"] @ query + letters @ content["w_key"].T + features @ location["w_location"].T
    scores = np.tanh(hidden + content["bias"]) @ content["v"]
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def show(title: str, rows: np.ndarray) -> None:
    print(f"\n{title}\n     " + "     ".join(WORD))
    for letter, row in zip(WORD, rows):
        print(f"{letter}  " + "  ".join(f"{weight:.2f}" for weight in row))


by_content = clattn.attention(letters, letters, letters, score="additive", params=content, return_weights=True)[1]

spelt = ""
with clattn.Decoder(score="location-sensitive", max_steps=T) as decoder:
    decoder.begin(letters, letters, params={**content, **location})
    for query in letters:
        context = decoder.step(query)
        spelt += LETTERS[context.argmax()]
    alignment = decoder.alignments()  # (steps, T)

# The same, a call at a time: its weights go back in as previous_weights.
previous = np.zeros((1, T), np.float32)  # (B, T): nothing was looked at yet
for query, row in zip(letters, alignment):
    params = {**content, **location, "previous_weights": previous}
    weights = clattn.attention(
        query[None], letters, letters, score="location-sensitive", params=params, return_weights=True
    )[1]
    assert np.allclose(weights[0], by_numpy(query, previous[0]), rtol=0, atol=1e-6)
    assert np.allclose(weights[0], row, rtol=0, atol=1e-6)
    previous = weights

show("by content: a row for each step, a column for each letter", by_content)
show("by content and location", alignment)
print(f"\nread: {spelt}")
assert spelt == WORD
assert [row.argmax() for row in alignment] == list(range(T))
assert np.isclose(by_content[2, 2], by_content[2, 3]) and min(alignment[2][2], alignment[3][3]) > 0.9
