"""05: who attends to whom in a sentence. The queries, keys and values of a layer of a sentence encoder
(examples/data/sentences) give the weights; head 1 of the first sentence becomes a heat map with the words
on both axes.

    python 05_heat_map_of_sentences.py [attention.png]

Needs matplotlib.
"""

import sys
from pathlib import Path

import numpy as np

import clattn

SENTENCE, HEAD = 0, 1

path = sys.argv[1] if len(sys.argv) > 1 else "attention.png"
data = Path(__file__).parents[1] / "data" / "sentences"
query, key, value, lengths = (np.load(data / f"{name}.npy") for name in ("query", "key", "value", "kv_lengths"))
words = (data / "tokens.txt").read_text().splitlines()[SENTENCE].split()

output, weights = clattn.attention(query, key, value, kv_lengths=lengths, return_weights=True)

# Rows and columns past the sentence's length are padding.
length = lengths[SENTENCE]
weights = weights[SENTENCE, :, :length, :length]
it = words.index("it")
most = weights[HEAD, it].argmax()
print(" ".join(words))
print(f'head {HEAD}: "it" attends most to "{words[most]}" (weight {weights[HEAD, it, most]:.2f})')
assert words[most] == "animal"

try:
    figure = clattn.plot(weights[HEAD], query_labels=words, key_labels=words, title=f"Sentence {SENTENCE}, head {HEAD}")
except ImportError as error:
    sys.exit(str(error))
figure.savefig(path, dpi=150)
print(f"drawn into {path}")
