"""What a decoder refuses: the exception, that its sentence names the argument, and that the decoder goes on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain import BFLOAT16
from test_decoder import DEVICES, QUERIES, batch_of, decoder_of
from test_scores import ADDITIVE, CALLS, HKV, HQ, KEY, VALUE, A, B, D, T, normal

import clattn

DESCRIPTIONS: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "unknown score": (ValueError, "score: 'cosmic'", {"score": "cosmic"}),
    "score a list": (ValueError, "score: ['dot']", {"score": ["dot"]}),
    "unknown normalizer": (ValueError, "normalizer", {"normalizer": "max"}),
    "unknown layout": (ValueError, "layout", {"layout": "bsdh"}),
    "unknown precision": (ValueError, "precision", {"precision": "f32"}),
    "variant a number": (TypeError, "variant: 1", {"variant": 1}),
    "scale a word": (TypeError, "scale", {"scale": "1"}),
    "softcap a word": (TypeError, "softcap", {"softcap": "none"}),
    "no query heads": (ValueError, "query_heads: 0", {"query_heads": 0}),
    "query heads a float": (TypeError, "query_heads: 2.0", {"query_heads": 2.0}),
    "negative max_steps": (ValueError, "max_steps: -1", {"max_steps": -1}),
    "max_steps beyond 63 bits": (ValueError, "max_steps", {"max_steps": 2**64 + 1}),
    "max_steps None": (TypeError, "max_steps: None", {"max_steps": None}),
    "max_steps a bool": (TypeError, "max_steps: True", {"max_steps": True}),
    "cumulative a word": (TypeError, "cumulative: 'yes'", {"score": "location-sensitive", "cumulative": "yes"}),
    "cumulative with another score": (ValueError, "cumulative", {"score": "coverage", "cumulative": True}),
    "unknown device": (ValueError, "device", {"device": "no such device"}),
    "device a float": (TypeError, "device", {"device": 0.0}),
    "causal": (TypeError, "Decoder.__init__() got an unexpected keyword", {"causal": True}),
}


@pytest.mark.parametrize("kind, sentence, options", DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_what_makes_no_decoder(kind: type[Exception], sentence: str, options: dict[str, Any]) -> None:
    with pytest.raises(kind) as caught:
        clattn.Decoder(**options)
    start = sentence.rpartition("Decoder.")[2]  # Python 3.9 leaves out the class
    assert str(caught.value).startswith((sentence, start)) and "\n" not in str(caught.value)


def changed(score: str = "additive", **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options and a good batch, with changes."""
    name, params = CALLS[score]
    options = {"score": name, "query_heads": HQ, "cumulative": "cumulative_weights" in params}
    return options, {**batch_of(name, params), **changes}


def with_params(score: str = "additive", **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    options, batch = changed(score)
    return options, {**batch, "params": {**batch["params"], **changes}}


def options_of(**options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    said, batch = changed()
    return {**said, **options}, batch


LOCATION = "location-sensitive"
BATCHES: dict[str, tuple[type[Exception], str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "no key": (TypeError, "key: None", changed(key=None)),
    "no value": (TypeError, "value: None", changed(value=None)),
    "key of another type": (TypeError, "key: dtype float64, expected float32", changed(key=KEY.astype(np.float64))),
    "key of bfloat16": (TypeError, "key: dtype bfloat16", changed(key=KEY.astype(BFLOAT16))),
    "value of integers": (TypeError, "value: dtype int64", changed(value=VALUE.astype(np.int64))),
    "key of another rank": (ValueError, "key: shape", changed(key=KEY[0])),
    "value of rank 1": (ValueError, "value: shape", changed(value=normal(T))),
    "value of rank 5": (ValueError, "value: shape", changed(value=VALUE[None])),
    "value without elements": (ValueError, "value: shape", changed(value=VALUE[..., :0])),
    "value of another T": (ValueError, "value: shape", changed(value=VALUE[:, :, 1:])),
    "key of another batch": (ValueError, "key: shape", changed(key=KEY[:1])),
    "key of other heads": (ValueError, "key: shape", changed(key=KEY[:, :1])),
    "no heads": (ValueError, "value: no heads", changed(value=VALUE[:, :0])),
    "query heads no multiple": (ValueError, "query_heads: 3", options_of(query_heads=3)),
    "no axis of heads": (ValueError, "query_heads: 4", changed(key=KEY[:, 0], value=VALUE[:, 0])),
    "no params": (ValueError, "params.w_query: missing", changed(params=None)),
    "a missing param": (ValueError, "params.v: missing", with_params(v=None)),
    "unknown param": (ValueError, "params: 'weight'", with_params(weight=normal(D, D))),
    "w_query a vector": (ValueError, "params.w_query: shape", with_params(w_query=normal(D))),
    "w_query of other units": (ValueError, "params.w_query: shape", with_params(w_query=normal(A + 1, D))),
    "w_key of another size": (ValueError, "params.w_key: shape", with_params(w_key=normal(A, D - 1))),
    "weight a vector": (ValueError, "params.weight: shape", with_params("general", weight=normal(D))),
    "weight of too few rows": (ValueError, "params.weight: M=6", with_params("location", weight=normal(T - 1, D))),
    "beta per key head": (ValueError, "params.beta: shape", with_params("cosine", beta=normal(HKV))),
    "conv of one channel for two": (
        ValueError,
        "params.conv",
        with_params(f"{LOCATION}, two channels", conv=normal(3, 5)),
    ),
    "conv of two channels for one": (ValueError, "params.", with_params(LOCATION, conv=normal(3, 2, 5))),
    "previous weights of another T": (
        ValueError,
        "params.previous_weights: shape",
        with_params(LOCATION, previous_weights=normal(B, T + 1)),
    ),
    "previous weights of no key": (
        ValueError,
        "params.previous_weights: shape",
        with_params(LOCATION, previous_weights=normal(B, 0)),
    ),
    "previous weights of bools": (
        TypeError,
        "params.previous_weights: dtype bool",
        with_params(LOCATION, previous_weights=np.ones((B, T), bool)),
    ),
    "cumulative weights without a channel": (
        ValueError,
        "params.cumulative_weights: given, expected a decoder with cumulative=True",
        with_params(LOCATION, cumulative_weights=normal(B, T)),
    ),
    "coverage of another batch": (ValueError, "params.coverage: shape", with_params("coverage", coverage=normal(1, T))),
    "mask of more rows": (ValueError, "mask: shape", changed(mask=np.ones((B, HQ, 2, T), bool))),
    "mask of integers": (TypeError, "mask: dtype int64", changed(mask=np.ones(T, np.int64))),
    "bias of another T": (ValueError, "bias: shape", changed(bias=normal(T + 1))),
    "length beyond T": (ValueError, "kv_lengths: element 1", changed(kv_lengths=[T, T + 1])),
    "lengths of floats": (TypeError, "kv_lengths: dtype float64", changed(kv_lengths=[1.0, 2.0])),
    "sinks per key head": (ValueError, "sinks: shape", changed(sinks=normal(HKV))),
    "scale NaN": (ValueError, "scale: nan", options_of(scale=float("nan"))),
    "negative softcap": (ValueError, "softcap: -1", options_of(softcap=-1.0)),
    "unknown variant": (ValueError, "variant", options_of(variant="fastest")),
    "more steps than memory": (ValueError, "max_steps", options_of(max_steps=2**62)),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind, sentence, call", BATCHES.values(), ids=BATCHES)
def test_what_is_no_batch(kind: type[Exception], sentence: str, call: tuple[dict, dict], device: Any) -> None:
    """And leaves a decoder that takes the next one."""
    options, batch = call
    decoder = clattn.Decoder(**options, device=device)
    with pytest.raises(kind) as caught:
        decoder.begin(**batch)
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"^step: no batch, expected begin\(\) before"):
        decoder.step(QUERIES[:, :, 0])
    assert decoder.steps == 0


def test_good_batches_begin() -> None:
    """Those that the tests above spoil are good ones, also after one that is not."""
    for score in ("additive", "general", "location", "cosine", LOCATION, f"{LOCATION}, two channels", "coverage"):
        options, batch = changed(score)
        decoder = clattn.Decoder(**options, max_steps=1)
        decoder.begin(**batch)
        decoder.step(QUERIES[:, :, 0])
        with pytest.raises(ValueError, match="kv_lengths"):
            decoder.begin(**batch, kv_lengths=[T, T + 1])
        with pytest.raises(ValueError, match="^alignments: no batch"):
            decoder.alignments()
        decoder.begin(**batch, kv_lengths=[T, T])
        decoder.step(QUERIES[:, :, 0])
        assert decoder.steps == 1


STEPS_REFUSED: dict[str, tuple[type[Exception], str, Any]] = {
    "None": (TypeError, "query: None", None),
    "of another type": (TypeError, "query: dtype float64, expected float32", QUERIES[:, :, 0].astype(np.float64)),
    "of integers": (TypeError, "query: dtype int64", np.zeros((B, HQ, D), np.int64)),
    "with an axis S": (ValueError, "query: shape (2, 4, 1, 5), expected (B=2, Hq=4, D=5)", QUERIES[:, :, :1]),
    "of one head": (ValueError, "query: shape (2, 5), expected (B=2, Hq=4, D=5)", QUERIES[:, 0, 0]),
    "of another batch": (ValueError, "query: shape (1, 4, 5)", QUERIES[:1, :, 0]),
    "of another size": (ValueError, "query: shape (2, 4, 4)", QUERIES[:, :, 0, :4]),
    "ragged": (ValueError, "query: ", [[1.0], [1.0, 2.0]]),
}


@pytest.mark.parametrize("kind, sentence, query", STEPS_REFUSED.values(), ids=STEPS_REFUSED)
def test_what_is_no_step(kind: type[Exception], sentence: str, query: Any) -> None:
    """And leaves the batch as it was."""
    name, params = CALLS["coverage"]
    outputs = []
    for spoils in (False, True):
        decoder = decoder_of(name, params, max_steps=2)
        decoder.begin(**batch_of(name, params))
        decoder.step(QUERIES[:, :, 0])
        if spoils:
            with pytest.raises(kind) as caught:
                decoder.step(query)
            assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)
        outputs.append(decoder.step(QUERIES[:, :, 1]))
        with pytest.raises(ValueError, match="^step: .*max_steps=2"):
            decoder.step(QUERIES[:, :, 1])
        assert decoder.steps == 2
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_projected_keys_are_refused() -> None:
    options, batch = changed()
    keys = clattn.project_keys(batch["key"], ADDITIVE, score="additive", query_heads=HQ)
    with pytest.raises(TypeError, match="^key: projected keys, expected an array"):
        clattn.Decoder(**options).begin(**{**batch, "key": keys})
