"""Attention on any OpenCL device, verified.

    import clattn
    output = clattn.attention(query, key, value, causal=True)
    output, weights = clattn.attention(query, key, value, return_weights=True)
    report = clattn.verify(query, key, value, causal=True)
    gradients = clattn.attention_backward(grad_output, query, key, value, causal=True)

Functions: attention, attention_backward, context, context_backward, project_keys, reference, verify, verify_backward,
devices, plot.
Classes: Decoder. Modules: clattn.onnx_backend. Devices are opened on first use and shared; every function is
thread-safe and lets other threads run meanwhile.
"""

from __future__ import annotations

from typing import Any

from ._api import Array, CallOptions, Options, attention, context, project_keys, reference, verify
from ._backward import BackwardOptions, Gradients, attention_backward, context_backward, verify_backward
from ._decoder import Decoder
from ._devices import Device, devices
from ._keys import ProjectedKeys
from ._native import Error, UnsupportedError
from ._plot import plot
from ._reports import Report, Verdict

__all__ = [
    "Array",
    "BackwardOptions",
    "CallOptions",
    "Decoder",
    "Device",
    "Error",
    "Gradients",
    "Options",
    "ProjectedKeys",
    "Report",
    "UnsupportedError",
    "Verdict",
    "attention",
    "attention_backward",
    "context",
    "context_backward",
    "devices",
    "plot",
    "project_keys",
    "reference",
    "verify",
    "verify_backward",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from ._native import load

        return load().clattn_version().decode()
    if name == "onnx_backend":
        from importlib import import_module

        return import_module("clattn.onnx_backend")
    raise AttributeError(f"module 'clattn' has no attribute {name!r}")
