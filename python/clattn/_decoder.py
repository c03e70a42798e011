"""Attention as an RNN decoder has it: one query after the other over the same keys."""

from __future__ import annotations

import ctypes
import threading
from typing import Literal, NamedTuple

import numpy as np

from . import _native
from ._api import Array, NormalizerName, Params, ScoreName
from ._arrays import address, float_code, lay_out, put_address, tensor
from ._devices import Device, DeviceSpec, open_device
from ._job import describe_batch
from ._options import choice, count, flag, settings, variant_name, words
from ._scores import SCORES


class _Batch(NamedTuple):
    """What a step's arrays are of."""

    dtype: np.dtype
    rows: tuple[int, ...]
    """(B, Hq), (B) or ()."""
    query_size: int
    value_size: int
    T: int

    def check_query(self, query: np.ndarray) -> None:
        if query.dtype != self.dtype:
            raise TypeError(f"query: dtype {query.dtype}, expected {self.dtype} as value has")
        sizes = (*self.rows, self.query_size)
        if query.shape != sizes:
            letters = (*("B", "Hq")[: len(self.rows)], "D")
            expected = ", ".join(f"{letter}={size}" for letter, size in zip(letters, sizes))
            raise ValueError(f"query: shape {query.shape}, expected ({expected})")


class Decoder:
    """Steps of an RNN decoder over a batch of keys and values, which stay on the device with all else that steps
    share: projected keys, parameters, lengths, and what "location-sensitive" and "coverage" scores take of earlier
    steps.

        with clattn.Decoder(score="location-sensitive", max_steps=50) as decoder:
            decoder.begin(encoded, encoded, params=params, kv_lengths=lengths)
            for step in range(50):
                context = decoder.step(state)
            alignments = decoder.alignments()

    Each step gives what clattn.attention() gives for one query. A decoder may be used from several threads, whose
    calls then take turns. close(), or the end of a with block, frees its memory, as does garbage collection.

    Args:
        score, scale, softcap, normalizer, layout, precision, device, variant: as of clattn.attention().
        query_heads: Hq, a multiple of Hkv; None: as many as value has.
        cumulative: with "location-sensitive", filters see a second channel, the sum of all weights so far:
            conv (C, 2, K).
        max_steps: how many steps a batch may have, for alignments() to give their weights; 0: any number, and
            no alignments.

    Raises:
        ValueError, TypeError, clattn.Error: as clattn.attention().
    """

    __module__ = "clattn"

    def __init__(
        self,
        *,
        score: ScoreName = "scaled-dot",
        scale: float | None = None,
        softcap: float | None = None,
        normalizer: NormalizerName = "softmax",
        layout: Literal["bhsd", "bshd"] = "bhsd",
        precision: Literal["default", "strict", "fast"] = "default",
        query_heads: int | None = None,
        cumulative: bool = False,
        max_steps: int = 0,
        device: DeviceSpec = None,
        variant: str | None = None,
    ):
        self._options = settings(
            score=score,
            scale=scale,
            softcap=softcap,
            normalizer=normalizer,
            layout=layout,
            precision=precision,
            variant=variant,
        )
        # Now, rather than with the first batch.
        choice(SCORES, "score", score)
        words(self._options)
        variant_name(variant)
        self._query_heads = None if query_heads is None else count(query_heads, "query_heads", 1)
        self._max_steps = count(max_steps, "max_steps", 0)
        self._flags = _native.DECODER_CUMULATIVE if flag(cumulative, "cumulative") else 0
        if self._flags and score != "location-sensitive":
            raise ValueError(f"cumulative: given with the score {score!r}, expected 'location-sensitive'")
        self._opened = open_device(device)
        self._tensors = _native.AttentionArgs()  # of one step
        self._lock = threading.Lock()  # of all that follows
        self._is_closed = False
        self._owned: _native.Owned | None = None
        self._key: tuple = ()  # of the description of what is owned
        self._batch: _Batch | None = None

    @property
    def device(self) -> Device:
        return self._opened.device

    @property
    def steps(self) -> int:
        """Steps since begin()."""
        with self._lock:
            self._check_open()
            return self._steps()

    def begin(
        self,
        key: Array | None,
        value: Array,
        *,
        params: Params | None = None,
        mask: Array | None = None,
        bias: Array | None = None,
        kv_lengths: Array | None = None,
        sinks: Array | None = None,
    ) -> None:
        """Begins with a batch, and forgets the one before. The arrays are copied, and may change afterwards.

        Args:
            key, value, kv_lengths, sinks: as of clattn.attention().
            params: likewise. previous_weights, cumulative_weights and coverage are what the first step is to see
                of earlier ones; without them there were none.
            mask, bias: likewise, for all steps alike; broadcast to (B, Hq, 1, T), (B, 1, T) or (1, T).
        """
        part = describe_batch(
            key,
            value,
            self._options,
            self._query_heads,
            params=params,
            mask=mask,
            bias=bias,
            kv_lengths=kv_lengths,
            sinks=sinks,
        )
        if "params.cumulative_weights" in part.kept and not self._flags:
            raise ValueError("params.cumulative_weights: given, expected a decoder with cumulative=True")
        library = _native.load()
        with self._lock:
            self._check_open()
            self._batch = None
            _native.check(library.clattn_decoder_begin(self._decoder_for(part.key), part.args))
            self._batch = _Batch(part.kept["value"].dtype, part.rows, part.sizes.query, part.sizes.value, part.T)

    def step(self, query: Array) -> np.ndarray:
        """What clattn.attention() gives for one query, without the axis S.

        Args:
            query: (B, Hq, D) where value has four axes, (B, D) where it has three, (D) where two.

        Returns:
            The output, elsewhere called the context: (B, Hq, Dv), (B, Dv) or (Dv).
        """
        given = tensor(query, "query")
        library = _native.load()
        with self._lock:
            batch, decoder = self._begun("step")
            batch.check_query(given)
            if self._max_steps and self._steps() == self._max_steps:
                raise ValueError(
                    f"step: {self._max_steps} steps are done, expected at most max_steps={self._max_steps}"
                )
            output = np.empty((*batch.rows, batch.value_size), batch.dtype)
            self._lay_out("query", given)
            self._lay_out("output", output)
            self._opened.complete(library.clattn_decoder_step, decoder, self._tensors.query, self._tensors.output)
            return output

    def alignments(self) -> np.ndarray:
        """The weights of all steps since begin(): (B, Hq, steps, T), (B, steps, T) or (steps, T). It needs
        max_steps."""
        library = _native.load()
        if not self._max_steps:
            raise ValueError("max_steps: 0, with which no alignments are kept; expected the most steps of a batch")
        with self._lock:
            batch, decoder = self._begun("alignments")
            weights = np.empty((*batch.rows, self._steps(), batch.T), batch.dtype)
            self._lay_out("weights", weights)
            _native.check(library.clattn_decoder_alignments(decoder, self._tensors.weights))
            return weights

    def close(self) -> None:
        """Frees its memory. Any other call is an error then."""
        with self._lock:
            self._is_closed = True
            self._release()

    def __enter__(self) -> Decoder:
        with self._lock:
            self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("decoder: closed, expected an open one")

    def _begun(self, function: str) -> tuple[_Batch, ctypes.c_void_p]:
        self._check_open()
        if self._batch is None or self._owned is None:
            raise ValueError(f"{function}: no batch, expected begin() before")
        return self._batch, self._owned.handle

    def _steps(self) -> int:
        if self._batch is None or self._owned is None:
            return 0
        return _native.load().clattn_decoder_steps(self._owned.handle)

    def _decoder_for(self, key: tuple) -> ctypes.c_void_p:
        """The library's, for a description; that of the last batch where it was of the same."""
        if self._owned is None or self._key != key:
            self._release()
            handle = ctypes.c_void_p()
            desc = _native.AttentionDesc(ctypes.sizeof(_native.AttentionDesc), *key)
            create = _native.load().clattn_decoder_create
            _native.check(create(handle, self._opened.handle, desc, self._max_steps, self._flags))
            self._owned, self._key = _native.Owned("clattn_decoder_destroy", handle), key
        return self._owned.handle

    def _release(self) -> None:
        self._batch = None
        if self._owned is not None:
            self._owned.close()
            self._owned = None

    def _lay_out(self, name: str, a: np.ndarray) -> None:
        """The library has an axis B where a batch of two axes has none."""
        whole = a if self._batch and self._batch.rows else a[None]
        lay_out(self._tensors, name, float_code(a.dtype), whole.shape, whole.strides, a.itemsize)
        put_address(self._tensors, _native.address_offsets[name], address(a))
