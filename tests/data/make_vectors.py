#!/usr/bin/env python3
"""Makes vectors.txt: small attention problems with their results, in float64, from NumPy alone.

    python3 make_vectors.py > vectors.txt

Written from the words of the public headers and not from the C reference, so that the two share no misreading. Where
PyTorch is installed, every vector that its scaled_dot_product_attention or plain tensor operations can express is
computed a second time with it; a disagreement ends the script.

The file: `vector NAME`, then lines `set WORD VALUE...` (the description), then per tensor `tensor NAME DTYPE DIM...`
and its elements in row-major order, 8 to a line; `end`. Tensors named like an output are expected results, those named
`params.NAME` are the parameters of a score. Inputs are multiples of 1/32 below 8: every float type holds them exactly.
"""

import sys

import numpy as np
from formulas import entmax15, entropies, keys_looked_at_most, scores_of, sparse_weights, sparsemax

try:
    import torch
except ImportError:
    torch = None

OUTPUTS = ("output", "weights", "scores", "lse")
TOLD = ("column_sums", "argmax", "entropy")


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
        raw = tensors["given_scores"].astype(np.float64)
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
    output = np.zeros((B, Hq, S, Dv))
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


def make_tensors(case, rng):
    grid = lambda *shape: np.clip(np.rint(rng.standard_normal(shape) * 32), -255, 255) / 32
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


def write_case(out, case, tensors, results):
    write_description(out, case)
    for name, array in tensors.items():
        dtype = "bool" if array.dtype == bool else "float"
        write_tensor(out, name, dtype, in_callers_shape(case, name, array))
    if case["lengths"] is not None:
        write_tensor(out, "kv_lengths", "int", np.array(case["lengths"]))
    for name in (*OUTPUTS, *case["told"]):
        dtype = "int" if name == "argmax" else "float"
        write_tensor(out, name, dtype, in_callers_shape(case, name, results[name]))
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


DEFAULTS = dict(
    B=2,
    Hq=2,
    Hkv=2,
    S=3,
    T=5,
    D=4,
    Dv=4,
    score="scaled-dot",
    normalizer="softmax",
    alignment="top-left",
    layout="bhsd",
    rank=4,
    stage="raw",
    scale=None,
    softcap=0,
    causal=False,
    window=None,
    lengths=None,
    mask=None,
    bias=None,
    alibi=False,
    sinks=False,
    poison=None,
    # Of TOLD, what is wanted of weights.
    told=(),
    # Parameters by the letters of their shapes: E for Dk, H for Hq, M rows of a location score's matrix.
    params={},
    has_key=True,
    Dk=None,
    A=3,
    C=2,
    K=3,
    M=5,
)


def case(name, **changes):
    unknown = set(changes) - set(DEFAULTS)
    assert not unknown, unknown
    return dict(DEFAULTS, **changes, name=name)


def cases():
    # Both alignments x window x ALiBi x lengths x the rest, each of these in turn.
    extras = [dict(), dict(Hkv=1, sinks=True), dict(softcap=2, Hq=4, Hkv=2), dict(sinks=True, softcap=1.5, Hkv=1)]
    turn = 0
    for alignment in ("top-left", "bottom-right"):
        for window in (None, (1, 1), (2, -1), (0, 0)):
            for alibi in (False, True):
                for lengths in (None, (5, 2)):
                    extra = extras[turn % len(extras)]
                    turn += 1 if (alibi, lengths) != (True, (5, 2)) else 2
                    words = [alignment] + (["window", *map(str, window)] if window else []) + ["alibi"] * alibi
                    words += ["lengths"] * (lengths is not None) + [f"{k}-{v}" for k, v in extra.items()]
                    yield case(
                        "-".join(words).lower(),
                        alignment=alignment,
                        window=window,
                        alibi=alibi,
                        lengths=lengths,
                        **extra,
                    )
    for alignment in ("top-left", "bottom-right"):
        for S, T in ((3, 5), (5, 3), (4, 4), (1, 5)):
            yield case(f"causal-{alignment}-{S}x{T}", causal=True, alignment=alignment, S=S, T=T, stage="modified")
        yield case(f"causal-{alignment}-lengths", causal=True, alignment=alignment, lengths=(3, 0), stage="modified")
        yield case(f"causal-{alignment}-window-gqa", causal=True, alignment=alignment, window=(1, 3), Hq=4, Hkv=2, S=4)
        yield case(
            f"causal-{alignment}-sinks-alibi", causal=True, alignment=alignment, sinks=True, alibi=True, S=6, T=4
        )
    for kind in ("bool", "float"):
        for shape in ("BHST", "11ST", "B11T", "BH1T", "1HS1", "ST", "1T"):
            yield case(f"mask-{kind}-{shape.lower()}", mask=(kind, shape), stage="modified")
    for shape in ("BHST", "1HST", "B111", "HST"):
        yield case(f"bias-{shape.lower()}", bias=shape, stage="modified")
    yield case("bias-mask-causal-softcap", bias="1HST", mask=("bool", "B11T"), causal=True, softcap=3, stage="modified")
    yield case(
        "bias-float-mask-lengths-sinks",
        bias="BHST",
        mask=("float", "11ST"),
        lengths=(4, 1),
        sinks=True,
        alignment="bottom-right",
    )
    for layout in ("bhsd", "bshd"):
        yield case(f"layout-{layout}-gqa", layout=layout, Hq=4, Hkv=2, S=4, Dv=3)
        yield case(f"layout-{layout}-lengths-causal", layout=layout, lengths=(5, 3), causal=True, Dv=7)
    yield case("rank-3", rank=3, Hq=1, Hkv=1)
    yield case("rank-3-mask", rank=3, Hq=1, Hkv=1, mask=("bool", "B1ST"), Dv=2)
    yield case("rank-2", rank=2, B=1, Hq=1, Hkv=1)
    yield case("rank-2-causal", rank=2, B=1, Hq=1, Hkv=1, causal=True, S=4, T=6, alignment="bottom-right")
    for stage in ("raw", "capped", "modified"):
        yield case(f"stage-{stage}", stage=stage, softcap=1, bias="11ST", causal=True)
    for score in ("scaled-dot", "dot", "given"):
        yield case(f"none-{score}", score=score, normalizer="none", causal=True, bias="1HST", stage="modified")
    yield case("none-all-masked", normalizer="none", lengths=(0, 0))
    yield case("given-softmax", score="given", softcap=2, sinks=True)
    yield case("given-gqa", score="given", Hq=4, Hkv=1, alibi=True, alignment="bottom-right")
    yield case("dot", score="dot")
    yield case("scale-given", scale=0.3, score="dot")
    yield case("scale-negative", scale=-1.25)
    yield case("scale-zero", scale=0.0)
    yield case("one-key", T=1, causal=True)
    yield case("one-of-all", B=1, Hq=1, Hkv=1, S=1, T=1, D=1, Dv=1)
    yield case("values-wider", D=3, Dv=9)
    yield case("values-narrower", D=9, Dv=1)
    yield case("many-keys", B=1, Hq=1, Hkv=1, S=2, T=70, D=3, Dv=2)
    yield case("all-masked", lengths=(0, 5))
    yield case("all-masked-sinks", lengths=(0, 0), sinks=True, causal=True)
    yield case("no-keys", T=0)
    yield case("no-keys-sinks", T=0, sinks=True)
    yield case("nan-behind-length", lengths=(3, 2), poison=("value", np.nan, "end"), stage="modified")
    yield case("inf-behind-causal", causal=True, S=4, poison=("value", np.inf, "end"), stage="modified")
    yield case("nan-key-behind-length", lengths=(3, 2), poison=("key", np.nan, "end"), stage="modified")
    yield case("nan-visible", causal=True, S=5, poison=("value", np.nan, "middle"), stage="modified")
    yield case("nan-score-visible", causal=True, S=5, poison=("key", np.nan, "middle"), stage="modified")


SMALL = dict(S=2, T=4, D=3, Dv=2)
GROUPS = dict(SMALL, Hq=4, B=1)
ADDITIVE = dict(w_query="AD", w_key="AE", v="A")
ADDITIVE_OF_HEADS = dict(w_query="HAD", w_key="HAE", v="HA")
LOCATION = dict(ADDITIVE, conv="CK", w_location="AC", previous_weights="BT")
TWO_CHANNELS = dict(LOCATION, conv="C2K", cumulative_weights="BT")
COVERAGE = dict(ADDITIVE, w_coverage="A", coverage="BT")


def score_cases():
    def scored(score, about, params, base=SMALL, **changes):
        name = "-".join([score, *about.split()])
        return case(name, **{**base, "score": score, "params": params, **changes})

    yield scored("general", "", dict(weight="DE"))
    yield scored("general", "wide keys", dict(weight="DE"), Dk=5, causal=True, stage="modified")
    yield scored("general", "heads narrow keys", dict(weight="HDE"), GROUPS, Dk=2, scale=0.5, sinks=True)
    yield scored("general", "bshd lengths", dict(weight="DE"), GROUPS, B=2, layout="bshd", lengths=(4, 1), softcap=2)
    yield scored("general", "rank-3", dict(weight="DE"), Hq=1, Hkv=1, rank=3, Dk=1)
    yield scored("general", "nan key visible", dict(weight="DE"), causal=True, S=4, poison=("key", np.nan, "middle"))
    yield scored("additive", "", ADDITIVE)
    yield scored("additive", "bias g", dict(ADDITIVE, bias="A", g="1"), Dk=2, stage="modified", mask=("bool", "B11T"))
    yield scored("additive", "g of heads", dict(ADDITIVE, g="H"), GROUPS, softcap=1.5, stage="capped")
    yield scored("additive", "heads", dict(ADDITIVE_OF_HEADS, bias="HA", g="H"), GROUPS, Dk=5, A=2)
    yield scored("additive", "some of heads", dict(ADDITIVE, w_key="HAE", bias="HA"), GROUPS, scale=-0.75)
    yield scored("additive", "others of heads", dict(ADDITIVE_OF_HEADS, w_key="AE", bias="A"), GROUPS, layout="bshd")
    yield scored("additive", "one unit", ADDITIVE, A=1, alibi=True, sinks=True)
    yield scored("additive", "many units", ADDITIVE, B=1, Hq=1, Hkv=1, S=1, A=37)
    yield scored("additive", "rank-3 window", ADDITIVE, Hq=1, Hkv=1, rank=3, window=(1, 0), stage="modified")
    yield scored("additive", "rank-2", ADDITIVE, B=1, Hq=1, Hkv=1, rank=2, bias="ST")
    yield scored("additive", "no keys", ADDITIVE, T=0)
    yield scored("additive", "nan key behind length", ADDITIVE, lengths=(3, 2), poison=("key", np.nan, "end"))
    yield scored("additive", "nan key visible", ADDITIVE, causal=True, S=4, poison=("key", np.nan, "middle"))
    yield scored("location", "", dict(weight="TD"))
    yield scored("location", "more rows", dict(weight="MD"), M=6, lengths=(4, 2), stage="modified")
    yield scored("location", "heads no key", dict(weight="HMD"), GROUPS, has_key=False, causal=True)
    yield scored("location", "rank-2 no key", dict(weight="MD"), B=1, Hq=1, Hkv=1, rank=2, has_key=False)
    yield scored("location", "nan key unread", dict(weight="TD"), Dk=2, poison=("key", np.nan, "end"))
    yield scored("location-sensitive", "", LOCATION)
    yield scored("location-sensitive", "two channels", dict(TWO_CHANNELS, bias="A", g="1"), lengths=(4, 3), Dk=2)
    yield scored("location-sensitive", "wide", LOCATION, K=11, C=1)
    yield scored("location-sensitive", "narrow", TWO_CHANNELS, K=1, C=3, scale=0.5)
    yield scored("location-sensitive", "weights of heads", dict(LOCATION, previous_weights="BHT"), GROUPS, B=2)
    yield scored(
        "location-sensitive",
        "heads",
        dict(ADDITIVE_OF_HEADS, conv="HCK", w_location="HAC", previous_weights="BHT"),
        GROUPS,
        layout="bshd",
    )
    yield scored(
        "location-sensitive",
        "heads two channels",
        dict(ADDITIVE, conv="HC2K", w_location="AC", previous_weights="BHT", cumulative_weights="BT"),
        GROUPS,
        B=2,
        S=1,
        K=5,
    )
    yield scored("location-sensitive", "rank-3", TWO_CHANNELS, Hq=1, Hkv=1, rank=3)
    yield scored("location-sensitive", "rank-2", dict(LOCATION, previous_weights="T"), B=1, Hq=1, Hkv=1, rank=2)
    yield scored("location-sensitive", "one key", LOCATION, T=1)
    yield scored("coverage", "", COVERAGE)
    yield scored("coverage", "bias g lengths", dict(COVERAGE, bias="A", g="1"), lengths=(2, 4), Dk=4)
    yield scored("coverage", "of heads", dict(COVERAGE, coverage="BHT"), GROUPS, B=2, S=1, mask=("float", "11ST"))
    yield scored("coverage", "heads", dict(ADDITIVE_OF_HEADS, w_coverage="HA", coverage="BHT"), GROUPS, layout="bshd")
    yield scored("cosine", "", dict(beta="1"))
    yield scored("cosine", "beta of heads", dict(beta="H"), GROUPS, stage="capped", softcap=0.5)
    yield scored("cosine", "beta of rows", dict(beta="BS"), GROUPS, B=2, S=3, T=2, layout="bshd")
    yield scored("cosine", "beta of heads and rows", dict(beta="BHS"), GROUPS, B=2, S=3, T=2, scale=3.0)
    yield scored("cosine", "zero key", dict(beta="1"), poison=("key", 0.0, "middle"))
    yield scored("cosine", "zero query", dict(beta="BS"), S=3, poison=("query", 0.0, "end"))
    yield scored("rbf", "", dict(gamma="1"))
    yield scored("rbf", "gamma of heads", dict(gamma="H"), GROUPS, causal=True, alignment="bottom-right")
    yield scored("rbf", "rank-2", dict(gamma="1"), B=1, Hq=1, Hkv=1, rank=2, D=1)


def normalizer_cases():
    for name in ("sigmoid", "sparsemax", "entmax15"):
        normalized = lambda about, **changes: case(
            "-".join([name, *about.split()]), **{**SMALL, "B": 1, "normalizer": name, **changes}
        )
        yield normalized("")
        yield normalized("causal bias", causal=True, bias="1HST", stage="modified")
        yield normalized("float mask gqa", Hq=4, mask=("float", "B1ST"), scale=3.0)
        yield normalized("all masked", B=2, lengths=(0, 3))
        yield normalized("no keys", T=0)
        yield normalized("one key", T=1)
        yield normalized("ties", scale=0.0)
        yield normalized("far apart", scale=25.0)
        yield normalized("many keys", Hq=1, Hkv=1, S=2, T=40, D=2, scale=0.5)
        yield normalized("softcap alibi", softcap=2, alibi=True, stage="capped")
        yield normalized("additive", score="additive", params=ADDITIVE)
        yield normalized("given", score="given", B=2, lengths=(4, 2))
        yield normalized("nan visible", causal=True, S=4, poison=("key", np.nan, "middle"))
        yield normalized("nan behind length", B=2, lengths=(3, 2), poison=("value", np.nan, "end"))


def told_cases():
    def told(about, told=TOLD, **changes):
        return case("-".join(["told", *about.split()]), **{**SMALL, "S": 3, "told": told, **changes})

    yield told("")
    yield told("gqa bshd", Hq=4, layout="bshd", lengths=(4, 1))
    yield told("rank-3 causal bottom-right", Hq=1, Hkv=1, rank=3, S=5, causal=True, alignment="bottom-right")
    yield told("rank-2", B=1, Hq=1, Hkv=1, rank=2, T=7)
    yield told("ties", scale=0.0, mask=("bool", "B1ST"))
    yield told("all masked", lengths=(0, 4))
    yield told("no keys", T=0)
    yield told("sinks softcap", sinks=True, softcap=1.5)
    yield told("many keys and queries", B=1, Hq=1, Hkv=1, S=23, T=70)
    yield told("nan visible", causal=True, S=4, poison=("key", np.nan, "middle"))
    yield told("nan behind length", lengths=(3, 2), poison=("key", np.nan, "end"))
    yield told("none", ("column_sums", "argmax"), normalizer="none", causal=True)
    for name in ("sigmoid", "sparsemax", "entmax15"):
        yield told(name, normalizer=name, lengths=(4, 0), bias="1HST")
    yield told("additive", score="additive", params=ADDITIVE)
    yield told("given", score="given", mask=("float", "11ST"))


PACKED = {
    "packed": dict(),
    "packed-causal-gqa": dict(causal=True, Hq=4, Hkv=2, Dv=3),
    "packed-bottom-right": dict(causal=True, alignment="bottom-right", alibi=True, sinks=True),
    "packed-window-softcap": dict(window=(1, 0), alignment="bottom-right", softcap=2),
}
PACKED_SCORES = {
    "packed-general": dict(SMALL, score="general", params=dict(weight="HDE"), Dk=2, causal=True),
    "packed-cosine": dict(SMALL, score="cosine", params=dict(beta="H"), Hq=4),
    "packed-additive": dict(SMALL, score="additive", params=dict(ADDITIVE, bias="A"), Hq=4),
    "packed-rbf": dict(SMALL, score="rbf", params=dict(gamma="1"), alignment="bottom-right", alibi=True),
}
SEQUENCES = ((3, 5), (0, 2), (4, 4), (2, 0), (1, 3), (5, 2))  # queries and keys


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
            write_case(out, case, tensors, results)
        for name, changes in some_packed.items():
            case, tensors, starts, results, also_by_torch = packed_case(name, changes, rng)
            seen_names.add(name)
            crossed += also_by_torch
            write_packed_case(out, case, tensors, starts, results)

    add(cases(), PACKED)
    add([*score_cases(), *normalizer_cases()], PACKED_SCORES)
    add(told_cases(), {})
    print("\n".join(out))
    by = f"{crossed} of them also by PyTorch {torch.__version__}" if torch else "PyTorch is not installed"
    print(f"{len(seen_names)} vectors; {by}", file=sys.stderr)


if __name__ == "__main__":
    main()
