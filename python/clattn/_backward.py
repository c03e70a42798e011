"""Gradients of attention: from those of what it gave to those of what it was made of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from . import _job, _native, _run
from ._api import Array, CallOptions, check_names
from ._arrays import numbers, tensor
from ._devices import DeviceSpec
from ._keys import ProjectedKeys
from ._options import Options, wide
from ._reports import Report

_INPUTS = ("query", "key", "value", "bias", "alibi_slopes", "sinks")
"""What may have a gradient, beside parameters."""


class BackwardOptions(CallOptions, total=False):
    """The keywords of attention_backward(), which verify_backward() takes too."""

    output: Array | None
    lse: Array | None
    weights: Array | None
    grad_weights: Array | None
    grad_lse: Array | None
    gradients: Iterable[str] | None


@dataclass(frozen=True, eq=False)
class Gradients:
    """What clattn.attention_backward() gives. Each gradient has the shape and type of what it is of; None, or not in
    `params`, where it was not asked for."""

    query: np.ndarray | None = None
    key: np.ndarray | None = None
    value: np.ndarray | None = None
    bias: np.ndarray | None = None
    alibi_slopes: np.ndarray | None = None
    sinks: np.ndarray | None = None
    params: dict[str, np.ndarray] = field(default_factory=dict)
    """By the names that attention() has for them."""


def _wanted(names: Iterable[str] | None, arrays: dict[str, np.ndarray], options: Options) -> tuple[str, ...]:
    """Of which of the arrays."""
    of_params = [name for name in arrays if name.startswith("params.")]
    given = {*arrays, "key"} if options.projection else arrays
    there = [name for name in _INPUTS if name in given and (name != "key" or options.score != "location")] + of_params
    if names is None:
        return tuple(there)
    if isinstance(names, (str, bytes)) or not hasattr(names, "__iter__"):
        raise TypeError(f"gradients: {names!r}, expected names in a list or tuple, or None")
    found: set[str] = set()
    for name in names:
        meant = of_params if name == "params" else [a for a in there if a in (name, f"params.{name}")][:1]
        if not meant:
            expected = there + ["params"] * bool(of_params)
            raise ValueError(f"gradients: {name!r}, expected one of {', '.join(map(repr, expected))}")
        found.update(meant)
    if not found:
        raise ValueError("gradients: no names, expected at least one, or None for all")
    return tuple(name for name in there if name in found)


def _coming_in(
    grad_output: Any, grad_weights: Any, grad_lse: Any, dtype: np.dtype, options: Options
) -> tuple[dict[str, np.ndarray], int]:
    """The gradients that are given, and the bits of what they are of."""
    if grad_weights is not None and options.flags & _native.PACKED:
        raise ValueError("grad_weights: given with cu_seqlens_q and cu_seqlens_k, expected one of the two")
    arrays, outputs = {}, 0
    if grad_output is not None:
        arrays["grad.output"] = tensor(grad_output, "grad_output")
        outputs |= _native.OUTPUT
    if grad_weights is not None:
        arrays["grad.weights"] = tensor(grad_weights, "grad_weights")
        outputs |= _native.WEIGHTS
    if grad_lse is not None:
        arrays["grad.lse"] = numbers(grad_lse, "grad_lse", wide(dtype))
        outputs |= _native.LSE
    if not outputs:
        raise ValueError("grad_output: None, expected an array, or grad_weights or grad_lse")
    return arrays, outputs


def _describe(
    grad_output: Any,
    query: Any,
    key: Any,
    value: Any,
    *,
    output: Any = None,
    lse: Any = None,
    weights: Any = None,
    grad_weights: Any = None,
    grad_lse: Any = None,
    gradients: Any = None,
    seed: Any = 0,
    dropout_offset: Any = 0,
    **said: Any,
) -> _job.Job:
    """A job from the arguments of attention_backward(). What it reads of forward's results and is not given, forward
    makes here."""
    arrays, options = _job.collect(query, key, value, **said)
    keys = key if options.projection else None
    draw = _job.draw_of(seed, dropout_offset)
    wanted = _wanted(gradients, arrays, options)
    coming_in, outputs = _coming_in(grad_output, grad_weights, grad_lse, arrays["value"].dtype, options)
    results: dict[str, Any] = {}
    if options.normalizer == "softmax":
        results = {"output": output, "lse": lse} if outputs & _native.OUTPUT else {"lse": lse}
    if any(given is None for given in results.values()):
        asked = _native.LSE | outputs & _native.OUTPUT
        # The variant is one of backward.
        forward = _job.Job(arrays, options._replace(outputs=asked, variant=None), keys, draw)
        _run.run(forward, said.get("device"))
        results = dict(zip(forward.names, forward.outputs))
    flags = options.flags
    if weights is not None:
        results["weights"] = weights
        flags |= _native.SAVED_WEIGHTS
    arrays = {**arrays, **{name: tensor(a, name) for name, a in results.items()}, **coming_in}
    backward = options._replace(direction=_native.BACKWARD, outputs=outputs, gradients=wanted, flags=flags)
    return _job.Job(arrays, backward, keys, draw)


def attention_backward(
    grad_output: Array | None,
    query: Array,
    key: Array | ProjectedKeys | None,
    value: Array,
    *,
    output: Array | None = None,
    lse: Array | None = None,
    weights: Array | None = None,
    grad_weights: Array | None = None,
    grad_lse: Array | None = None,
    gradients: Iterable[str] | None = None,
    **options: Any,
) -> Gradients:
    """The gradients of a number, the loss, with respect to what attention() was given, from those with respect to
    what it gave.

    Args:
        grad_output: of the output's shape and type; None where the loss does not depend on the output.
        query, key, value: those of attention(). Of projected keys the gradient is that of what they hold:
            (B, Hkv, T, A), with "general" and "cosine" (B, Hkv, T, D), and Hq heads where each had a matrix of its own;
            docs/training.md says how those of the matrix and of key are made of it.
        output, lse: what attention() gave, with return_lse=True. Where the normalizer is "softmax" and one that is
            needed is missing, forward runs first; other normalizers need neither.
        weights: those that attention() gave, all of them, with return_weights=True. `staged`, which additive scores go
            by, takes them instead of making scores again, where they tell all that it needs: see docs/training.md.
        grad_weights, grad_lse: of the shapes and types of the weights and the lse, where the loss depends on these.
        gradients: names of what gradients are wanted of: "query", "key", "value", "bias", "alibi_slopes", "sinks",
            "params" or names of parameters, "params.bias" for that of a score; None: all that was given. A key that
            the score "location" does not read has none.
        options: what else attention() was told (see CallOptions), the same again. `variant` is one of backward.
            With device="reference" the reference computes, in double precision.

    Returns:
        Gradients, in arrays of their own. Where an array broadcasts (a bias, a parameter that heads share, a key that
        query heads share), its gradient is the sum over all that it was used for. Hidden keys, and queries that see
        none, have gradients of 0.

    Raises:
        ValueError, TypeError, clattn.UnsupportedError, clattn.Error: as attention().
    """
    check_names("attention_backward", options, CallOptions)
    job = _describe(
        grad_output,
        query,
        key,
        value,
        output=output,
        lse=lse,
        weights=weights,
        grad_weights=grad_weights,
        grad_lse=grad_lse,
        gradients=gradients,
        **options,
    )
    _run.run(job, options.get("device"))
    found = {name[len("grad.") :]: a for name, a in zip(job.names, job.outputs)}
    params = {name[len("params.") :]: found.pop(name) for name in list(found) if name.startswith("params.")}
    return Gradients(**found, params=params)


def verify_backward(grad_output: Array | None, query: Array, key: Array | None, value: Array, **options: Any) -> Report:
    """attention_backward() on a device, held against the reference. Takes what attention_backward() takes (see
    BackwardOptions).

    Returns:
        A report as of verify(), with .errors and .bounds by gradient: "grad.query", "grad.params.v". All rows of
        queries are looked at.
    """
    check_names("verify_backward", options, BackwardOptions)
    _run.check_verifiable(options.get("device"), key)
    return _run.verify(_describe(grad_output, query, key, value, **options), options.get("device"), 0)


def context_backward(
    grad_output: Array,
    weights: Array,
    value: Array,
    *,
    layout: Literal["bhsd", "bshd"] = "bhsd",
    precision: Literal["default", "strict", "fast"] = "default",
    device: DeviceSpec = None,
    variant: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of a number, the loss, with respect to what context() was given.

    Args:
        grad_output: with respect to what context() gave, of its shape and type.
        weights, value, layout, precision, device: those of context(). `variant` is one of backward.

    Returns:
        Gradients of the weights, grad_output @ value^T, and of the values, weights^T @ grad_output, each of the shape
        and type of what it is of. A weight of -inf, which counts as 0, has a gradient of 0.
    """
    arrays, options = _job.collect_given(weights, value, layout, precision, variant)
    arrays["grad.output"] = tensor(grad_output, "grad_output")
    job = _job.Job(
        arrays,
        options._replace(direction=_native.BACKWARD, outputs=_native.OUTPUT, gradients=("given_scores", "value")),
    )
    _run.run(job, device)
    return job.outputs[0], job.outputs[1]
