"""The problems of make_vectors.py: a description each, with the shapes of what it is made of."""

import numpy as np

TOLD = ("column_sums", "argmax", "entropy")
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
    # Of which results gradients come in; those of all inputs are wanted then.
    loss=(),
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


def gradient_cases():
    def backward(about, loss=("output",), **changes):
        return case("-".join(["gradients", *about.split()]), **{**SMALL, "loss": loss, **changes})

    every = ("output", "weights", "lse")
    yield backward("")
    yield backward("of weights", ("weights",))
    yield backward("of lse", ("lse",))
    yield backward("causal gqa scale bshd", B=1, Hq=4, S=4, causal=True, scale=-0.7, layout="bshd")
    yield backward("rank-2 bottom-right causal", B=1, Hq=1, Hkv=1, rank=2, S=3, causal=True, alignment="bottom-right")
    yield backward("softcap lengths window", every, softcap=1.5, lengths=(4, 2), S=4, window=(1, 1))
    yield backward("bias of heads causal", bias="1HST", causal=True, S=3)
    yield backward("bias of sequences float mask", every, bias="B1ST", mask=("float", "1HST"))
    yield backward("bias of keys gqa", Hq=4, bias="1T", mask=("bool", "B1ST"))
    yield backward("alibi bottom-right lengths", alibi=True, alignment="bottom-right", lengths=(4, 3), S=3)
    yield backward("sinks", every, sinks=True, softcap=2)
    yield backward("sinks all masked", ("output", "lse"), sinks=True, lengths=(0, 3))
    yield backward("given softcap", every, score="given", softcap=2, causal=True, S=3, bias="B1S1")
    for name in ("none", "sigmoid", "sparsemax", "entmax15"):
        modified = dict(B=1, Hq=4, S=3, T=5, softcap=2, causal=True, alignment="bottom-right", alibi=True, bias="11ST")
        yield backward(name, every, normalizer=name, **modified)
        yield backward(f"{name} additive", score="additive", params=ADDITIVE, normalizer=name, lengths=(4, 1))
    yield backward("general", every, score="general", params=dict(weight="DE"), Dk=2, lengths=(3, 4))
    yield backward("general heads", **{**GROUPS, "score": "general", "params": dict(weight="HDE"), "sinks": True})
    yield backward("additive", every, score="additive", params=dict(ADDITIVE, bias="A", g="1"), Dk=2, scale=0.5)
    heads = dict(ADDITIVE_OF_HEADS, bias="HA", g="H")
    yield backward("additive heads", score="additive", params=heads, B=1, Hq=4, causal=True, S=3, softcap=1.5)
    yield backward("location", every, score="location", params=dict(weight="MD"), M=6, lengths=(4, 2))
    yield backward("location heads", score="location", params=dict(weight="HMD"), B=1, Hq=4, has_key=False)
    wide = dict(LOCATION, bias="A", previous_weights="BHT")
    yield backward("location-sensitive", score="location-sensitive", params=wide, K=7, lengths=(4, 3))
    two_channels = dict(ADDITIVE, conv="HC2K", w_location="HAC", previous_weights="BHT", cumulative_weights="BT")
    yield backward("location-sensitive two channels", every, score="location-sensitive", params=two_channels, Hq=4)
    yield backward("coverage", every, score="coverage", params=dict(COVERAGE, g="1"), lengths=(2, 4), Dk=4)
    of_heads = dict(ADDITIVE_OF_HEADS, w_coverage="HA", coverage="BHT")
    yield backward("coverage heads", score="coverage", params=of_heads, B=1, Hq=4, layout="bshd")
    yield backward("cosine", every, score="cosine", params=dict(beta="H"), B=1, Hq=4)
    yield backward("cosine of rows", score="cosine", params=dict(beta="BHS"), S=3, softcap=0.5)
    yield backward("rbf", every, score="rbf", params=dict(gamma="1"))
    yield backward("rbf heads", score="rbf", params=dict(gamma="H"), B=1, Hq=4, causal=True, alignment="bottom-right")


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
