"""Attention of RNN encoder-decoders by PyTorch code as people write it, as a coprocess: rnn_peers.py eager | compile.

case KIND B S T N FILE    query (B, S, N), key (B, T, N), value (B, T, N) and a parameter, raw float32; KIND is
                          additive (v (N); query and key projected before), general (weight (N, N)) or dot (none),
                          or sparsemax, entmax15: scores (S, T) alone, by code that sorts
go                        runs once, answers the seconds
save PATH                 writes the output of the last run
"""

import sys
import time

import numpy as np
import torch


def additive(query, key, value, v):
    scores = torch.tanh(query[:, :, None, :] + key[:, None, :, :]) @ v
    return torch.softmax(scores, -1) @ value


def general(query, key, value, weight):
    return torch.softmax((query @ weight) @ key.transpose(1, 2), -1) @ value


def dot(query, key, value):
    return torch.softmax(query @ key.transpose(1, 2), -1) @ value


def sparsemax(scores):
    """Martins and Astudillo, arXiv:1602.02068, algorithm 1."""
    ordered = torch.sort(scores, descending=True).values
    k = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype)
    sums = ordered.cumsum(-1)
    support = (1 + k * ordered > sums).sum(-1, keepdim=True)
    return torch.clamp(scores - (sums.gather(-1, support - 1) - 1) / support, min=0)


def entmax15(scores):
    """Peters et al., arXiv:1905.05702, algorithm 2."""
    halves = scores / 2
    halves = halves - halves.max(-1, keepdim=True).values
    ordered = torch.sort(halves, descending=True).values
    k = torch.arange(1, scores.shape[-1] + 1, dtype=scores.dtype)
    mean = ordered.cumsum(-1) / k
    deviation = k * ((ordered**2).cumsum(-1) / k - mean**2)
    threshold = mean - torch.sqrt(torch.clamp((1 - deviation) / k, min=0))
    support = (threshold <= ordered).sum(-1, keepdim=True)
    return torch.clamp(halves - threshold.gather(-1, support - 1), min=0) ** 2


FUNCTIONS = {f.__name__: f for f in (additive, general, dot, sparsemax, entmax15)}


def load(kind, b, s, t, n, path):
    data = torch.from_numpy(np.fromfile(path, np.float32))
    if kind in ("sparsemax", "entmax15"):
        return [data[: s * t].reshape(s, t)]
    shapes = [(b, s, n), (b, t, n), (b, t, n), *{"additive": [(n,)], "general": [(n, n)], "dot": []}[kind]]
    parts = data.split([int(np.prod(shape)) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(parts, shapes)]


def main():
    function = arrays = out = None
    torch.set_grad_enabled(False)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "case":
            function = FUNCTIONS[words[1]]
            if sys.argv[1] == "compile":
                function = torch.compile(function, dynamic=False)
            arrays = load(words[1], *map(int, words[2:6]), words[6])
            function(*arrays)
            print("ready", flush=True)
        elif words[0] == "go":
            begin = time.perf_counter()
            out = function(*arrays)
            print(f"{time.perf_counter() - begin:.9f}", flush=True)
        elif words[0] == "save":
            out.contiguous().numpy().tofile(words[1])
            print("saved", flush=True)


if __name__ == "__main__":
    main()
