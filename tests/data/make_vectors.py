#!/usr/bin/env python3
"""Makes vectors.txt: small attention problems with their results, in float64, from NumPy alone.

    python3 make_vectors.py > vectors.txt

Written from the words of the public headers and not from the C reference, so that the two share no misreading. Where
PyTorch is installed, every vector that its scaled_dot_product_attention or plain tensor operations can express is
computed a second time with it; a disagreement ends the script.

The file: `vector NAME`, then lines `set WORD VALUE...` (the description), then per tensor `tensor NAME DTYPE DIM...`
and its elements in row-major order, 8 to a line; `end`. Tensors named like an output are expected results, those named
`params.NAME` are the parameters of a score, and `grad.NAME` is the gradient of a loss with respect to NAME: given where
that is a result, expected where it is an input. What is given is made of multiples of 1/32 below 8: every float type
holds them exactly.
"""

import sys

import numpy as np
from formulas import entmax15, entropies, keys_looked_at_most, scores_of, sparse_weights, sparsemax
from vector_cases import (
    DEFAULTS,
    PACKED,
    PACKED_SCORES,
    SEQUENCES,
    cases,
    gradient_cases,
    normalizer_cases,
    score_cases,
    told_cases,
)

try:
    import torch
except ImportError:
    torch = None

OUTPUTS = ("output", "weights", "scores", "lse")


def positions(case, b):
    """Where each query of sequence b stands, as a column."""
    keys = case["lengths"][b] if case["lengths"] is not None else case["T"]
    offset = keys - case["S"] if case["alignment"] == "bottom-right" else 0
    return np.arange(case["S"])[:, None] + offset


def visible(case, b):
    """(S, T), what causal, window and lengths leave."""
    p, j = positions(case, b), np.arange(case["T"])[None, :]
    seen = np.ones((case["S"], case["T"]), bool)
    if case["causal"]:
        seen &= j <= p
    if case["window"]:
        left, right = case["window"]
        if left >= 0:
            seen &= j >= p - left
        if right >= 0:
            seen &= j <= p + right
    if case["lengths"] is not None:
        seen &= j < case["lengths"][b]
    return seen


def expected(case, tensors):
    B, Hq, Hkv, S, T, Dv = (case[k] for k in ("B", "Hq", "Hkv", "S", "T", "Dv"))
    score_shape = (B, Hq, S, T)
    full = lambda name: np.broadcast_to(tensors[name], score_shape)
    value = np.repeat(tensors["value"], Hq // Hkv, axis=1)
    if case["score"] == "given":
        raw = tensors["given_scores"]
    else:
        scale = case["scale"]
        if scale is None:
            scale = 1 / np.sqrt(case["D"]) if case["score"] == "scaled-dot" else 1.0
        raw = scale * scores_of(case, tensors)
    capped = case["softcap"] * np.tanh(raw / case["softcap"]) if case["softcap"] else raw
    modified, seen = capped.copy(), np.empty(score_shape, bool)
    for b in range(B):
        seen[b] = visible(case, b)
        if "alibi_slopes" in tensors:
            distance = np.abs(positions(case, b) - np.arange(T)[None, :])
            modified[b] -= tensors["alibi_slopes"][:, None, None] * distance
    for name in ("bias", "mask"):
        if name not in tensors:
            continue
        if tensors[name].dtype == bool:
            seen &= full(name)
        else:
            seen &= full(name) != -np.inf
            modified = modified + full(name)
    modified = np.where(seen, modified, -np.inf)

    logits = modified
    if "sinks" in tensors:
        sinks = np.broadcast_to(tensors["sinks"][None, :, None, None], (B, Hq, S, 1))
        logits = np.concatenate([modified, sinks], axis=-1)
    top = logits.max(axis=-1, keepdims=True, initial=-np.inf)
    with np.errstate(all="ignore"):
        powers = np.where(top == -np.inf, 0.0, np.exp(logits - top))
        total = powers.sum(axis=-1, keepdims=True)
        lse = np.where(top == -np.inf, -np.inf, top + np.log(total))[..., 0]
        weights = np.where(total > 0, powers / total, 0.0)[..., :T]
        weights = np.where(np.isnan(total), np.nan, weights)
    if case["normalizer"] == "none":
        weights = modified
    if case["normalizer"] == "sigmoid":
        weights = 1 / (1 + np.exp(-modified))
    if case["normalizer"] in ("sparsemax", "entmax15"):
        weights = sparse_weights(sparsemax if case["normalizer"] == "sparsemax" else entmax15, modified)
    weights = np.where(seen, weights, 0.0)
    output = np.zeros((B, Hq, S, Dv), weights.dtype)
    for index in np.ndindex(B, Hq, S):
        keys = seen[index]
        if keys.any():
            output[index] = weights[index][keys] @ value[index[:2]][keys]
    stage = {"raw": raw, "capped": capped, "modified": modified}[case["stage"]]
    results = {"output": output, "weights": weights, "scores": stage, "lse": lse}
    results["column_sums"] = weights.sum(axis=2)
    results["argmax"] = keys_looked_at_most(modified)
    results["entropy"] = entropies(weights)
    return results, seen


def gradients(case, tensors, incoming):
    """Of the loss, the sum of incoming times results, by complex steps (Squire and Trapp, SIAM Review 40, 1998): where
    an input moves by ih, the loss moves by ih times its derivative, exact to rounding as nothing is subtracted.
    Comparisons look at real parts first, and so choose as without the step."""
    step = 2.0**-100
    moved = {name: array if array.dtype == bool else array.astype(complex) for name, array in tensors.items()}
    made = {}
    for name, array in tensors.items():
        if name == "mask" or (name == "key" and case["score"] == "location"):
            continue
        made[name] = np.empty(array.shape)
        for index in np.ndindex(array.shape):
            moved[name][index] += step * 1j
            results, _ = expected(case, moved)
            loss = 0
            for of, gradient in incoming.items():
                finite = np.isfinite(results[of])  # an lse of no keys moves with nothing
                loss += gradient[finite] @ results[of][finite]
            made[name][index] = loss.imag / step
            moved[name][index] = array[index]
    return made


def check_with_torch(case, tensors, results, seen):
    """The same by PyTorch's operations; returns False where it has no words for the case."""
    if torch is None or case["score"] not in ("scaled-dot", "dot") or case["normalizer"] != "softmax" or not case["T"]:
        return False
    t = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in tensors.items()}
    if not all(torch.isfinite(t[name]).all() for name in ("query", "key", "value")):
        return False
    scale = case["scale"]
    if scale is None:
        scale = None if case["score"] == "scaled-dot" else 1.0
    bias = torch.zeros(results["weights"].shape, dtype=torch.float64)
    if "alibi_slopes" in t:
        for b in range(case["B"]):
            distance = torch.from_numpy(np.abs(positions(case, b) - np.arange(case["T"])[None, :]))
            bias[b] -= t["alibi_slopes"][:, None, None] * distance
    for name in ("bias", "mask"):
        if name in t and t[name].dtype != torch.bool:
            bias = bias + t[name]
    bias = bias.masked_fill(~torch.from_numpy(seen), -torch.inf)
    rows = seen.any(axis=-1)
    wanted = results["output"][rows]
    if not case["softcap"] and "sinks" not in t:
        if (
            case["causal"]
            and case["alignment"] == "top-left"
            and not case["window"]
            and (bias[seen] == 0).all()
            and case["lengths"] is None
            and "mask" not in t
            and "bias" not in t
        ):
            got = torch.nn.functional.scaled_dot_product_attention(
                t["query"], t["key"], t["value"], is_causal=True, scale=scale, enable_gqa=True
            )
        else:
            got = torch.nn.functional.scaled_dot_product_attention(
                t["query"], t["key"], t["value"], attn_mask=bias, scale=scale, enable_gqa=True
            )
    else:
        group = case["Hq"] // case["Hkv"]
        key, value = (t[n].repeat_interleave(group, dim=1) for n in ("key", "value"))
        scores = t["query"] @ key.transpose(-1, -2) * (case["D"] ** -0.5 if scale is None else scale)
        if case["softcap"]:
            scores = torch.tanh(scores / case["softcap"]) * case["softcap"]
        scores = scores + bias
        if "sinks" in t:
            column = t["sinks"].reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
            scores = torch.cat([scores, column], dim=-1)
        got = torch.softmax(scores, dim=-1)[..., : case["T"]] @ value
        lse = torch.logsumexp(scores, dim=-1).numpy()
        if not np.allclose(lse, results["lse"], rtol=1e-13, atol=1e-13):
            sys.exit(f"{case['name']}: PyTorch's lse differs")
    if not np.allclose(got.numpy()[rows], wanted, rtol=1e-12, atol=1e-13):
        sys.exit(f"{case['name']}: PyTorch differs by {np.abs(got.numpy()[rows] - wanted).max()}")
    return True


POSITIVE = ("beta", "gamma", "previous_weights", "cumulative_weights", "coverage")


def on_grid(rng, shape):
    return np.clip(np.rint(rng.standard_normal(shape) * 32), -255, 255) / 32


def make_tensors(case, rng):
    grid = lambda *shape: on_grid(rng, shape)
    B, Hq, Hkv, S, T, D, Dv = (case[k] for k in ("B", "Hq", "Hkv", "S", "T", "D", "Dv"))
    tensors = {}
    if case["score"] == "given":
        tensors["given_scores"] = grid(B, Hq, S, T)
    else:
        tensors["query"] = grid(B, Hq, S, D)
    if case["score"] != "given" and case["has_key"]:
        tensors["key"] = grid(B, Hkv, T, case["Dk"] or D)
    tensors["value"] = grid(B, Hkv, T, Dv)
    if case["mask"]:
        kind, shape = case["mask"]
        shape = tuple({"B": B, "H": Hq, "S": S, "T": T, "1": 1}[x] for x in shape)
        if kind == "bool":
            tensors["mask"] = rng.random(shape) < 0.7
        else:
            tensors["mask"] = np.where(rng.random(shape) < 0.7, grid(*shape), -np.inf)
    if case["bias"]:
        shape = tuple({"B": B, "H": Hq, "S": S, "T": T, "1": 1}[x] for x in case["bias"])
        tensors["bias"] = grid(*shape)
    if case["alibi"]:
        tensors["alibi_slopes"] = 2.0 ** -np.arange(1, Hq + 1)
    if case["sinks"]:
        tensors["sinks"] = grid(Hq)
    sizes = {"H": Hq, "1": 1, "2": 2, "E": case["Dk"] or D, **{letter: case[letter] for letter in "BSTDACKM"}}
    for name, letters in case["params"].items():
        made = grid(*(sizes[letter] for letter in letters))
        tensors["params." + name] = np.abs(made) if name in POSITIVE else made
    return tensors


def number(x):
    return "%d" % x if isinstance(x, (bool, np.bool_)) else "%.17g" % x


def write_tensor(out, name, dtype, array):
    out.append(f"tensor {name} {dtype} " + " ".join(map(str, array.shape)))
    flat = [number(x) for x in array.ravel()]
    out += [" ".join(flat[k : k + 8]) for k in range(0, len(flat), 8)]


def in_callers_shape(case, name, array):
    """From the four dimensions of the formulas to the ones the caller passes."""
    if name in ("lengths", "alibi_slopes", "sinks") or name.startswith("params."):
        return array
    if case["rank"] == 4:
        return (
            array.swapaxes(1, 2) if case["layout"] == "bshd" and name in ("query", "key", "value", "output") else array
        )
    if name in ("mask", "bias") and array.ndim < 3:
        return array
    array = array.reshape(array.shape[:1] + array.shape[2:])
    return array if case["rank"] == 3 else array[0]


def write_description(out, case):
    out.append(f"vector {case['name']}")
    for word in ("score", "normalizer", "alignment", "layout", "stage", "Hq", "Hkv", "D", "Dv", "softcap"):
        out.append(f"set {word} {case[word]}")
    if case["Dk"]:
        out.append(f"set Dk {case['Dk']}")
    if "v" in case["params"]:
        out.append(f"set A {case['A']}")
    if case["scale"] is not None:
        out.append(f"set scale {number(case['scale'])}")
    if case["causal"]:
        out.append("set causal")
    if case["window"]:
        out.append("set window %d %d" % case["window"])


def write_case(out, case, tensors, results, of_loss):
    write_description(out, case)
    for name, array in tensors.items():
        dtype = "bool" if array.dtype == bool else "float"
        write_tensor(out, name, dtype, in_callers_shape(case, name, array))
    if case["lengths"] is not None:
        write_tensor(out, "kv_lengths", "int", np.array(case["lengths"]))
    for name in (*OUTPUTS, *case["told"]):
        dtype = "int" if name == "argmax" else "float"
        write_tensor(out, name, dtype, in_callers_shape(case, name, results[name]))
    for name, array in of_loss.items():
        write_tensor(out, "grad." + name, "float", in_callers_shape(case, name, array))
    out.append("end")


def write_packed_case(out, case, tensors, starts, results):
    write_description(out, case)
    for name, array in tensors.items():
        write_tensor(out, name, "float", array)
    for name, array in starts.items():
        write_tensor(out, name, "int", array)
    for name, array in results.items():
        write_tensor(out, name, "float", array)
    out.append("end")


def packed_case(name, changes, rng):
    """Each sequence by itself, and then all of them one behind the other."""
    each, crossed = [], True
    for S, T in SEQUENCES:
        case = dict(DEFAULTS, **dict(changes, name=name, B=1, S=S, T=T))
        tensors = make_tensors(case, rng)
        for of_all in tensors:
            if each and tensors[of_all].ndim != 4:
                tensors[of_all] = each[0][0][of_all]
        results, seen = expected(case, tensors)
        if S and T:
            crossed &= check_with_torch(case, tensors, results, seen)
        each.append((tensors, results))

    def packed(array):  # (1, H, S, D) to (S, H, D)
        return array[0].swapaxes(0, 1)

    tensors = {
        key: np.concatenate([packed(t[key]) for t, _ in each]) if array.ndim == 4 else array
        for key, array in each[0][0].items()
    }
    results = {
        "output": np.concatenate([packed(r["output"]) for _, r in each]),
        "lse": np.concatenate([r["lse"][0] for _, r in each], axis=1),
    }
    starts = [np.cumsum([0, *lengths]) for lengths in zip(*SEQUENCES)]
    return case, tensors, dict(zip(("cu_seqlens_q", "cu_seqlens_k"), starts)), results, crossed


def main():
    rng = np.random.default_rng(20240607)
    out, seen_names, crossed = [], set(), 0

    def add(some_cases, some_packed):
        nonlocal crossed
        for case in some_cases:
            assert case["name"] not in seen_names, case["name"]
            seen_names.add(case["name"])
            tensors = make_tensors(case, rng)
            if case["poison"]:
                name, what, where = case["poison"]
                tensors[name][:, :, -1 if where == "end" else 2] = what
            results, seen = expected(case, tensors)
            crossed += check_with_torch(case, tensors, results, seen)
            incoming = {name: on_grid(rng, results[name].shape) for name in case["loss"]}
            made = gradients(case, tensors, incoming) if incoming else {}
            write_case(out, case, tensors, results, {**incoming, **made})
        for name, changes in some_packed.items():
            case, tensors, starts, results, also_by_torch = packed_case(name, changes, rng)
            seen_names.add(name)
            crossed += also_by_torch
            write_packed_case(out, case, tensors, starts, results)

    add(cases(), PACKED)
    add([*score_cases(), *normalizer_cases()], PACKED_SCORES)
    add(told_cases(), {})
    add(gradient_cases(), {})
    print("\n".join(out))
    by = f"{crossed} of them also by PyTorch {torch.__version__}" if torch else "PyTorch is not installed"
    print(f"{len(seen_names)} vectors; {by}", file=sys.stderr)


if __name__ == "__main__":
    main()
