"""A decoder's steps against attention() called step by step, and against plain.py."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from plain import DTYPES, expect
from scripts import run
from test_scores import (
    ADDITIVE,
    CALLS,
    DV,
    HKV,
    HQ,
    NORMALIZERS,
    B,
    D,
    T,
    call_of,
    earlier_weights,
    normal,
)

import clattn

STEPS = 4
STATES = ("previous_weights", "cumulative_weights", "coverage")
DEVICES = [None, "reference"]
DECODED = {
    "scaled-dot": ("scaled-dot", {}),
    **{name: call for name, call in CALLS.items() if not name.startswith("cosine, beta per row")},
    "cosine, beta per sequence": ("cosine", {"beta": normal(B, 1)}),
}
QUERIES = normal(B, HQ, STEPS, D)


def batch_of(score: str, params: dict[str, Any], dtype: Any = np.float32) -> dict[str, Any]:
    """What begin() is given: nothing of earlier steps."""
    call = call_of(score, {name: a for name, a in params.items() if name not in STATES}, dtype)
    del call["query"], call["score"]
    return call if score != "scaled-dot" else {**call, "key": normal(B, HKV, T, D).astype(dtype)}


def decoder_of(score: str, params: dict[str, Any], **options: Any) -> clattn.Decoder:
    return clattn.Decoder(score=score, query_heads=HQ, cumulative="cumulative_weights" in params, **options)


def state_of(params: dict[str, Any], weights: np.ndarray) -> dict[str, np.ndarray]:
    """What the next step sees of weights (B, Hq, steps, T), added up one after the other as a decoder does."""
    sums = np.zeros((B, HQ, T), np.float64 if weights.dtype == np.float64 else np.float32)
    for i in range(weights.shape[2]):
        sums += weights[:, :, i].astype(sums.dtype)
    last = weights[:, :, -1] if weights.shape[2] else np.zeros_like(sums)
    states = {"previous_weights": last, "cumulative_weights": sums, "coverage": sums}
    return {name: a for name, a in states.items() if name in params}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("score, params", DECODED.values(), ids=DECODED)
def test_steps(score: str, params: dict[str, Any], dtype: np.dtype, device: Any) -> None:
    """Each step is held against what the weights before it ask for, so that errors do not add up."""
    batch, queries = batch_of(score, params, dtype), QUERIES.astype(dtype)
    about = {"kv_lengths": [T, 4]}
    with decoder_of(score, params, max_steps=STEPS, softcap=4.0, device=device) as decoder:
        assert decoder.steps == 0
        decoder.begin(**batch, **about)
        assert decoder.alignments().shape == (B, HQ, 0, T)
        for i in range(STEPS):
            states = state_of(params, decoder.alignments())
            call = {**batch, **about, "query": queries[:, :, i : i + 1], "score": score, "softcap": 4.0}
            expected = expect(**{**call, "params": {**batch["params"], **states}})
            output = decoder.step(queries[:, :, i])
            alignments = decoder.alignments()
            assert decoder.steps == i + 1
            assert output.dtype == alignments.dtype == dtype and alignments.shape == (B, HQ, i + 1, T)
            for name, got in (("output", output[:, :, None]), ("weights", alignments[:, :, i:])):
                of = expected[name]
                assert of.error(got) <= (of.bound if device is None else of.reference_bound), name


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("score, params", DECODED.values(), ids=DECODED)
def test_as_attention_step_by_step(score: str, params: dict[str, Any], device: Any) -> None:
    """Bit by bit, but for "general": a decoder may project keys where attention() projects queries."""
    batch = batch_of(score, params)
    decoder = decoder_of(score, params, max_steps=STEPS, device=device)
    decoder.begin(**batch)
    weights = np.zeros((B, HQ, 0, T), np.float32)
    for i in range(STEPS):
        call = {**batch, "score": score, "params": {**batch["params"], **state_of(params, weights)}}
        want, row = clattn.attention(QUERIES[:, :, i : i + 1], **call, device=device, return_weights=True)
        weights = np.concatenate([weights, row], axis=2)
        got = decoder.step(QUERIES[:, :, i])
        if score == "general":
            np.testing.assert_allclose(got, want[:, :, 0], rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(got, want[:, :, 0])
    np.testing.assert_allclose(decoder.alignments(), weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("score", ["location-sensitive, two channels", "coverage", "additive", "dot"])
def test_ranks_and_layout(score: str) -> None:
    """A step has the axes of attention() but for S, alignments have those of its weights."""
    name, params = CALLS.get(score, (score, {}))
    batch = batch_of(name, params)
    if score == "dot":
        batch["key"] = normal(B, HKV, T, D)
    whole = decoder_of(name, params, max_steps=STEPS)
    whole.begin(**batch)
    outputs = [whole.step(QUERIES[:, :, i]) for i in range(STEPS)]
    turned = {of: batch[of].transpose(0, 2, 1, 3) for of in ("key", "value")}
    one_head = {of: batch[of][:, 0] for of in ("key", "value")}
    alone = {of: a[1] for of, a in one_head.items()}
    about: list[tuple[dict[str, Any], dict[str, Any], Any]] = [
        (turned, {"layout": "bshd", "query_heads": HQ}, np.s_[:, :]),
        (one_head, {}, np.s_[:, 0]),
        (alone, {"query_heads": 1}, np.s_[1, 0]),
    ]
    for arrays, options, part in about:
        decoder = clattn.Decoder(score=name, cumulative="cumulative_weights" in params, max_steps=STEPS, **options)
        decoder.begin(**{**batch, **arrays})
        for i in range(STEPS):
            got = decoder.step(QUERIES[part][..., i, :])
            np.testing.assert_allclose(got, outputs[i][part], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(decoder.alignments(), whole.alignments()[part], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("score", ["additive", "coverage"])
def test_what_modifies(score: str, normalizer: str) -> None:
    """Masks, bias, sinks and lengths are alike for all steps; so is a row that sees nothing."""
    name, params = CALLS[score]
    batch = batch_of(name, params)
    batch.update(mask=np.arange(T) != 2, bias=normal(B, 1, 1, T), kv_lengths=np.array([0, T - 1]))
    if normalizer == "softmax":
        batch["sinks"] = normal(HQ)
    decoder = decoder_of(name, params, normalizer=normalizer, scale=0.7, max_steps=2)
    decoder.begin(**batch)
    for i in range(2):
        states = state_of(params, decoder.alignments())
        call = {**batch, "query": QUERIES[:, :, i : i + 1], "score": name, "normalizer": normalizer, "scale": 0.7}
        expected = expect(**{**call, "params": {**batch["params"], **states}})["output"]
        assert expected.error(decoder.step(QUERIES[:, :, i])[:, :, None]) <= expected.bound
    assert not decoder.alignments()[0].any() and not decoder.alignments()[..., 2].any()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("score", ["location-sensitive, two channels", "coverage"])
def test_earlier_steps_may_be_given(score: str, device: Any) -> None:
    """A batch that goes on where another one ended; of one head for all, too."""
    name, params = CALLS[score]
    batch = batch_of(name, params)
    whole = decoder_of(name, params, max_steps=STEPS, device=device)
    whole.begin(**batch)
    outputs = [whole.step(QUERIES[:, :, i]) for i in range(STEPS)]
    states = state_of(params, whole.alignments()[:, :, :2])
    rest = decoder_of(name, params, device=device)
    rest.begin(**{**batch, "params": {**batch["params"], **states}})
    for i in range(2, STEPS):
        np.testing.assert_array_equal(rest.step(QUERIES[:, :, i]), outputs[i])
    for_all = {of: earlier_weights(B, T) for of in states}
    for_each = {of: a[:, None].repeat(HQ, axis=1) for of, a in for_all.items()}
    got = []
    for given in (for_all, for_each):
        rest.begin(**{**batch, "params": {**batch["params"], **given}})
        got.append(rest.step(QUERIES[:, :, 0]))
    np.testing.assert_array_equal(got[0], got[1])


def test_batches_one_after_the_other() -> None:
    """Nothing of one is left in the next, whatever they have in common."""
    name, params = CALLS["location-sensitive, two channels"]
    batch = batch_of(name, params)
    shorter = {**batch, "key": batch["key"][:1, :, :4], "value": batch["value"][:1, :, :4]}
    with_lengths = {**batch, "kv_lengths": [2, T]}
    in_f64 = {**batch, **{of: batch[of].astype(np.float64) for of in ("key", "value")}}

    def outputs(decoder: clattn.Decoder, batch: dict[str, Any]) -> np.ndarray:
        decoder.begin(**batch)
        queries = QUERIES[: len(batch["value"])].astype(batch["value"].dtype)
        return np.stack([decoder.step(queries[:, :, i]) for i in range(2)])

    decoder = decoder_of(name, params, max_steps=2)
    for given in (batch, shorter, batch, with_lengths, in_f64, batch):
        np.testing.assert_array_equal(outputs(decoder, given), outputs(decoder_of(name, params), given))


def test_arrays_may_change_after_begin() -> None:
    name, params = CALLS["coverage"]
    for device in DEVICES:
        wanted = None
        for spoils in (False, True):
            batch = batch_of(name, params)
            batch = {**batch, "key": batch["key"].copy(), "value": batch["value"].copy(), "bias": normal(T) * 0}
            batch["params"] = {of: a.copy() for of, a in batch["params"].items()}
            batch["params"]["coverage"] = np.ones((B, T), np.float32)
            decoder = decoder_of(name, params, device=device)
            decoder.begin(**batch)
            arrays = [a for a in (*batch.values(), *batch["params"].values()) if isinstance(a, np.ndarray)]
            for a in arrays if spoils else []:
                a[...] = np.nan
            got = [decoder.step(QUERIES[:, :, i]) for i in range(2)]
            wanted = wanted or got
            np.testing.assert_array_equal(got, wanted)


def test_any_arrays() -> None:
    """Strides of all kinds, lists, the other byte order, and results of their own."""
    decoder = decoder_of("additive", ADDITIVE)
    decoder.begin(**batch_of("additive", ADDITIVE))
    query = QUERIES[:, :, 0].copy()
    want = decoder.step(query)
    kept = want.copy()
    wide = np.repeat(query, 3, axis=2)
    for other in (np.asfortranarray(query), np.flip(np.flip(query).copy()), wide[..., ::3], query.astype(">f4")):
        np.testing.assert_array_equal(decoder.step(other), want)
    assert not np.array_equal(decoder.step(-query), want)
    np.testing.assert_array_equal(want, kept)
    assert want.flags.owndata and want.flags.writeable
    double = clattn.Decoder(score="dot")
    double.begin([[1.0, 0.0], [0.0, 1.0]], [[1.0], [2.0]])
    assert double.step([0.0, 0.0]).tolist() == [1.5]


def test_empty_batches() -> None:
    decoder = clattn.Decoder(max_steps=2, query_heads=HQ)
    for shape in ((0, HKV, T, D), (B, HKV, 0, D)):
        decoder.begin(np.zeros(shape, np.float32), np.zeros((*shape[:3], DV), np.float32))
        got = decoder.step(np.ones((shape[0], HQ, D), np.float32))
        assert got.shape == (shape[0], HQ, DV) and not got.any()
        assert decoder.alignments().shape == (shape[0], HQ, 1, shape[2])


def test_steps_without_alignments() -> None:
    """Their number has no bound then."""
    name, params = CALLS["location-sensitive"]
    decoder = decoder_of(name, params)
    decoder.begin(**batch_of(name, params))
    for i in range(50):
        decoder.step(QUERIES[:, :, i % STEPS])
    assert decoder.steps == 50
    with pytest.raises(ValueError, match="^max_steps: 0"):
        decoder.alignments()


def test_decoders_of_threads() -> None:
    """Each thread's own has the bits that it has alone."""
    name, params = CALLS["location-sensitive"]
    batch = batch_of(name, params)

    def outputs(seed: int) -> bytes:
        queries = np.random.default_rng(seed).standard_normal((30, B, HQ, D)).astype(np.float32)
        with decoder_of(name, params) as decoder:
            decoder.begin(**batch)
            return b"".join(decoder.step(query).tobytes() for query in queries)

    alone = [outputs(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(outputs, range(8))) == alone


def test_threads_take_turns() -> None:
    decoder = decoder_of("additive", ADDITIVE, max_steps=400)
    decoder.begin(**batch_of("additive", ADDITIVE))
    wanted = [decoder.step(QUERIES[:, :, i]) for i in range(STEPS)]
    barrier = threading.Barrier(8)

    def many(thread: int) -> None:
        barrier.wait()
        for n in range(40):
            i = (thread + n) % STEPS
            np.testing.assert_array_equal(decoder.step(QUERIES[:, :, i]), wanted[i])
            assert decoder.steps >= STEPS and decoder.alignments().shape[2] >= STEPS

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(many, range(8)))
    assert decoder.steps == STEPS + 8 * 40


def test_closed_by_another_thread() -> None:
    """A step is done, or says that there is no decoder any more."""
    for _ in range(10):
        decoder = decoder_of("additive", ADDITIVE)
        decoder.begin(**batch_of("additive", ADDITIVE))
        want, barrier = decoder.step(QUERIES[:, :, 0]), threading.Barrier(4)

        def until_closed(_: int) -> str:
            barrier.wait()
            while True:
                try:
                    np.testing.assert_array_equal(decoder.step(QUERIES[:, :, 0]), want)
                except ValueError as error:
                    return str(error)

        with ThreadPoolExecutor(3) as pool:
            ends = pool.map(until_closed, range(3))
            barrier.wait()
            decoder.close()
            assert set(ends) == {"decoder: closed, expected an open one"}


def test_closed() -> None:
    batch = batch_of("additive", ADDITIVE)
    with decoder_of("additive", ADDITIVE, max_steps=2) as decoder:
        decoder.begin(**batch)
    decoder.close()
    uses: list[Callable[[], Any]] = [
        lambda: decoder.begin(**batch),
        lambda: decoder.step(QUERIES[:, :, 0]),
        lambda: decoder.steps,
        decoder.alignments,
        decoder.__enter__,
    ]
    for use in uses:
        with pytest.raises(ValueError, match="^decoder: closed"):
            use()
    clattn.Decoder().close()


def test_library_object_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once: with the decoder, at close(), or when another description takes its place."""
    library, gone = clattn._native.load(), []
    destroy = library.clattn_decoder_destroy

    def count(handle: Any) -> None:
        gone.append(handle.value)
        destroy(handle)

    monkeypatch.setattr(library, "clattn_decoder_destroy", count)
    batch = batch_of("additive", ADDITIVE)
    decoder = decoder_of("additive", ADDITIVE)
    decoder.begin(**batch)
    decoder.begin(**batch)
    decoder.step(QUERIES[:, :, 0])
    assert not gone
    decoder.begin(**batch, kv_lengths=[T, T])
    assert len(gone) == 1
    del decoder
    gc.collect()
    assert len(gone) == 2
    with decoder_of("additive", ADDITIVE) as decoder:
        decoder.begin(**batch)
    assert len(gone) == 3
    decoder.close()
    del decoder
    gc.collect()
    assert len(gone) == 3


def test_memory_is_given_back() -> None:
    done = run("""
        import resource
        import numpy as np
        import clattn
        key = np.ones((1, 4096, 64), np.float32)
        params = {"w_query": np.ones((128, 64), np.float32), "w_key": np.ones((128, 64), np.float32),
                  "v": np.ones(128, np.float32)}

        def peak():
            for n in range(40):
                for device in (None, "reference"):
                    decoder = clattn.Decoder(score="additive", max_steps=50, device=device)
                    decoder.begin(key, key, params=params)
                    decoder.begin(key, key, params=params)
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

        print(-peak() + peak())  # more than 150 MiB each time, were it kept
    """)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 40


def test_warning_points_at_the_caller() -> None:
    done = run(
        """
        import warnings
        import clattn
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            print(clattn.Decoder().device.kind)
        print(caught[0].filename, caught[0].lineno)
        """,
        without=("CLATTN_REQUIRE_DEVICE", "CLATTN_DEVICE", "OCL_ICD_FILENAMES"),
        OCL_ICD_VENDORS="/nonexistent",
    )
    assert done.stdout.split() == ["reference", "<string>", "6"], done.stderr


def test_fork_and_exit_with_a_decoder() -> None:
    """A child's must neither be used nor hang when it goes; the interpreter may end before a decoder does."""
    done = run("""
        import gc, os, signal
        import numpy as np
        import clattn
        a = np.ones((3, 4), np.float32)
        decoder = clattn.Decoder(score="dot", max_steps=4)
        decoder.begin(a, a)
        decoder.step(a[0])
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            for use in (lambda: decoder.step(a[0]), lambda: decoder.begin(a, a), decoder.alignments):
                try:
                    use()
                except clattn.Error as error:
                    os.write(1, str(error).encode() + b"\\n")
            decoder.close()
            del decoder
            gc.collect()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        decoder.step(a[0])
        kept = [decoder]
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("forked") == 3 and not done.stderr
