"""Attention of RNN encoder-decoders by PyTorch code as people write it, as a coprocess: rnn_peers.py eager | compile.

case KIND B S T N FILE    query (B, S, N), key (B, T, N), value (B, T, N) and parameters, raw float32; KIND is additive
                          (v (N); query and key projected before), additive_layer (v, w_query and w_key (N, N)),
                          general (weight (N, N)) or dot (none), or sparsemax, entmax15: scores (S, T) alone, by code
                          that sorts
backward KIND B S T N FILE
                          the same, where a run is the pass backward alone, from a gradient of the output that is the
                          query to those of all that the file has
go                        runs once, answers the seconds
save PATH                 writes what the last run made
"""

import sys
import time

import numpy as np
import torch
import torch._functorch.config


def additive(query, key, value, v):
    scores = torch.tanh(query[:, :, None, :] + key[:, None, :, :]) @ v
    return torch.softmax(scores, -1) @ value


def additive_layer(query, key, value, v, w_query, w_key):
    return additive(query @ w_query.T, key @ w_key.T, value, v)


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


FUNCTIONS = {f.__name__: f for f in (additive, additive_layer, general, dot, sparsemax, entmax15)}


def load(kind, b, s, t, n, path):
    data = torch.from_numpy(np.fromfile(path, np.float32))
    if kind in ("sparsemax", "entmax15"):
        return [data[: s * t].reshape(s, t)]
    parameters = {"additive": [(n,)], "additive_layer": [(n,), (n, n), (n, n)], "general": [(n, n)], "dot": []}
    shapes = [(b, s, n), (b, t, n), (b, t, n), *parameters[kind]]
    parts = data.split([int(np.prod(shape)) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(parts, shapes)]


def make_forward(function, arrays):
    return lambda: [function(*arrays)]


def make_backward(function, arrays):
    gradient = arrays[0].clone()
    with torch.enable_grad():
        out = function(*(a.requires_grad_() for a in arrays))
    return lambda: torch.autograd.grad(out, arrays, gradient, retain_graph=True)


def main():
    run = made = None
    torch.set_grad_enabled(False)
    torch._functorch.config.donated_buffer = False  # PyTorch asks for it where a graph is retained
    for line in sys.stdin:
        words = line.split()
        if words[0] in ("case", "backward"):
            function = FUNCTIONS[words[1]]
            if sys.argv[1] == "compile":
                function = torch.compile(function, dynamic=False)
            make = make_backward if words[0] == "backward" else make_forward
            run = make(function, load(words[1], *map(int, words[2:6]), words[6]))
            run()
            print("ready", flush=True)
        elif words[0] == "go":
            begin = time.perf_counter()
            made = run()
            print(f"{time.perf_counter() - begin:.9f}", flush=True)
        elif words[0] == "save":
            np.concatenate([m.numpy().ravel() for m in made]).tofile(words[1])
            print("saved", flush=True)


if __name__ == "__main__":
    main()
