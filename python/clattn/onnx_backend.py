"""An ONNX backend for models with the Attention operator, opsets 23 to 25.

    import clattn.onnx_backend as backend
    outputs = backend.run_model(model, [q, k, v])
    backend.calls          # Counter({('pthread-...', 'staged'): 1})

Every Attention node is computed by clattn on an OpenCL device, with precision "strict"; what else a
model holds is left to onnx's own reference evaluator. `calls` counts who did the work, by the names of
device and variant. Needs the package onnx.

Devices: "CPU" and "OPENCL" mean clattn's default device (onnx knows no name for it; arrays go in and out
in host memory), "OPENCL:1" the one of index 1.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

try:
    import onnx.inliner
    from onnx.backend.base import Backend, BackendRep, namedtupledict
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun
except ImportError as error:
    raise ImportError(f"clattn.onnx_backend needs the package onnx (pip install onnx): {error}") from None

from . import _devices, _job, _run
from ._arrays import bfloat16

__all__ = [
    "ClattnBackend",
    "ClattnRep",
    "calls",
    "is_compatible",
    "prepare",
    "run_model",
    "run_node",
    "supports_device",
]

calls: Counter[tuple[str, str]] = Counter()
"""Attention nodes computed so far, by (device name, variant)."""

_calls_lock = threading.Lock()
_LAST_OPSET = 25
_STAGES = ("raw", "capped", "modified")
_AFTER_SOFTMAX = 3
_PRECISIONS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16)


def _widest(types: Sequence[np.dtype]) -> np.dtype:
    """The type in which arrays of these types meet without a loss."""
    if len(set(types)) == 1:
        return types[0]
    return np.dtype(np.float64 if np.dtype(np.float64) in types else np.float32)


def _heads_first(x: np.ndarray, heads: int | None, name: str, attribute: str) -> np.ndarray:
    """(batch, heads, sequence, size), a view, also of (batch, sequence, heads * size)."""
    if x.ndim == 4:
        return x
    if not heads or heads < 1:
        raise ValueError(f"{attribute}: missing, expected the number of heads of {name}, as it has 3 dimensions")
    if x.shape[2] % heads:
        raise ValueError(f"{name}: shape {x.shape}, expected a last dimension that {attribute} {heads} divides")
    return x.reshape(*x.shape[:2], heads, x.shape[2] // heads).transpose(0, 2, 1, 3)


def _visible(S: int, T: int, offset: int, causal: bool, window: tuple[int, int]) -> np.ndarray:
    """What clattn's alignments do not reach: query i at place i + offset, for any offset."""
    distance = np.arange(T) - (np.arange(S)[:, None] + offset)
    seen = np.ones((S, T), np.bool_)
    if causal:
        seen &= distance <= 0
    if window[0] >= 0:
        seen &= -distance <= window[0]
    if window[1] >= 0:
        seen &= distance <= window[1]
    return seen


def _padded(mask: np.ndarray, T: int) -> np.ndarray:
    """A mask may end before the keys do: nobody attends to the rest."""
    missing = T - mask.shape[-1]
    if missing <= 0:
        return mask
    widths = [(0, 0)] * (mask.ndim - 1) + [(0, missing)]
    return np.pad(mask, widths, constant_values=False if mask.dtype == np.bool_ else -np.inf)


class _Node:
    """One run of an Attention node, in clattn's words. The operator: onnx's Attention-25."""

    def __init__(self, inputs: Sequence[np.ndarray | None], attributes: dict[str, Any], opset: int):
        names = ("Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen")
        given: dict[str, Any] = dict(zip(names, inputs))
        self.q, self.k, self.v = (given[name] for name in names[:3])
        self.attributes = attributes
        if not self.q.ndim == self.k.ndim == self.v.ndim or self.q.ndim not in (3, 4):
            raise ValueError(f"Q, K, V: {self.q.ndim}, {self.k.ndim}, {self.v.ndim} dimensions, expected 3 or 4 each")
        self.is_3d = self.q.ndim == 3
        q_heads, kv_heads = attributes.get("q_num_heads"), attributes.get("kv_num_heads")
        if not self.is_3d and opset >= 25 and (q_heads is not None or kv_heads is not None):
            raise ValueError("q_num_heads, kv_num_heads: given with 4 dimensions, expected them with 3 only")
        self.q = _heads_first(self.q, q_heads, "Q", "q_num_heads")
        self.k = _heads_first(self.k, kv_heads, "K", "kv_num_heads")
        self.v = _heads_first(self.v, kv_heads, "V", "kv_num_heads")
        self.past = self._append(given.get("past_key"), given.get("past_value"))
        self.lengths = given.get("nonpad_kv_seqlen")
        if self.lengths is not None and given.get("past_key") is not None:
            raise ValueError("nonpad_kv_seqlen: given with past_key and past_value, expected one of the two")
        self.mask = given.get("attn_mask")

    def _append(self, past_key: Any, past_value: Any) -> int:
        """Puts the past before keys and values; how many keys it has."""
        if (past_key is None) != (past_value is None):
            raise ValueError("past_key, past_value: one of them is missing, expected both or none")
        if past_key is None:
            return 0
        for name, past, now in (("past_key", past_key, self.k), ("past_value", past_value, self.v)):
            if past.ndim != 4 or past.shape[:2] != now.shape[:2] or past.shape[3] != now.shape[3]:
                raise ValueError(
                    f"{name}: shape {past.shape}, expected that of its new keys {now.shape} but for axis 2"
                )
        self.k = np.concatenate((past_key, self.k), axis=2)
        self.v = np.concatenate((past_value, self.v), axis=2)
        return past_key.shape[2]

    def _type(self) -> np.dtype:
        """What it is computed in: at least what Q, K, V and softmax_precision have."""
        wanted = self.attributes.get("softmax_precision")
        if wanted is not None and wanted not in _PRECISIONS:
            raise ValueError(f"softmax_precision: {wanted}, expected one of {_PRECISIONS}")
        if wanted == onnx.TensorProto.DOUBLE:
            return np.dtype(np.float64)
        return _widest([self.q.dtype, self.k.dtype, self.v.dtype])

    def _masks(self, options: dict[str, Any], dtype: np.dtype) -> None:
        """Who sees whom: causal, window, attn_mask and nonpad_kv_seqlen as clattn's options."""
        S, T = self.q.shape[2], self.k.shape[2]
        causal = bool(self.attributes.get("is_causal") or 0)
        window = (self.attributes.get("left_window_size", -1), self.attributes.get("right_window_size", -1))
        seen = None
        if self.lengths is not None:
            options["kv_lengths"] = self.lengths
        if self.lengths is not None or self.past == 0 or self.past == T - S:
            options["causal"] = causal
            options["window"] = window
            options["alignment"] = "top-left" if self.lengths is None and self.past == 0 else "bottom-right"
        elif causal or window != (-1, -1):
            seen = _visible(S, T, self.past, causal, window)
        mask = self.mask
        if mask is not None:
            mask = _padded(np.atleast_1d(mask), T)
            if mask.dtype == np.bool_:
                seen = mask if seen is None else mask & seen
            elif mask.dtype.kind == "f" or mask.dtype == bfloat16():
                with np.errstate(over="ignore"):  # beyond the type is as good as hidden
                    options["bias"] = mask if mask.dtype == np.float32 else mask.astype(dtype, copy=False)
            else:
                raise ValueError(f"attn_mask: dtype {mask.dtype}, expected bool or a float type")
        options["mask"] = seen

    def run(self, device: _devices.DeviceSpec, wanted: Sequence[str]) -> tuple[np.ndarray, ...]:
        """The node's outputs Y, present_key, present_value, qk_matmul_output; empty where `wanted`
        names none."""
        wanted = [*wanted, "", "", "", ""][:4]
        mode = self.attributes.get("qk_matmul_output_mode") or 0
        if not 0 <= mode <= _AFTER_SOFTMAX:
            raise ValueError(f"qk_matmul_output_mode: {mode}, expected 0 to {_AFTER_SOFTMAX}")
        softcap = self.attributes.get("softcap") or 0.0
        options: dict[str, Any] = {
            "scale": self.attributes.get("scale"),
            "softcap": max(softcap, 0.0),
            "precision": "strict",
            "layout": "bshd" if self.is_3d else "bhsd",
        }
        if wanted[3]:
            options["return_weights"] = mode == _AFTER_SOFTMAX
            options["return_scores"] = mode != _AFTER_SOFTMAX
            options["scores_stage"] = "raw" if mode == _AFTER_SOFTMAX else _STAGES[mode]
        dtype = self._type()
        self._masks(options, dtype)
        tensors = [x.astype(dtype, copy=False) for x in (self.q, self.k, self.v)]
        if self.is_3d:
            tensors = [x.transpose(0, 2, 1, 3) for x in tensors]
        job = _job.describe(*tensors, **options)
        found, variant = _run.run(job, device)
        with _calls_lock:
            calls[found.name, variant] += 1
        y = job.outputs[0]
        if self.is_3d:
            y = y.reshape(*y.shape[:2], -1)
        none = np.empty(0, self.q.dtype)
        results = [
            y.astype(self.q.dtype, copy=False),
            np.ascontiguousarray(self.k) if wanted[1] else none,
            np.ascontiguousarray(self.v) if wanted[2] else none,
            job.outputs[1].astype(self.q.dtype, copy=False) if wanted[3] else none,
        ]
        return tuple(results)


def _operator(device: _devices.DeviceSpec) -> type[OpRun]:
    """The class that the evaluator takes for Attention nodes; it goes by the class's name."""

    class Attention(OpRun):
        op_domain = ""

        def _run(self, *inputs: np.ndarray | None, **attributes: Any) -> tuple[np.ndarray, ...]:
            opset = onnx.defs.get_schema("Attention", self.run_params["opsets"][""]).since_version
            if opset > _LAST_OPSET:
                raise ValueError(f"Attention: of opset {opset}, expected at most {_LAST_OPSET}")
            outputs = list(self.onnx_node.output)
            try:
                return _Node(inputs, attributes, opset).run(device, outputs)[: len(outputs)]
            except TypeError as error:  # which the evaluator would bury under one of its own
                raise ValueError(str(error)) from error

    return Attention


def _has_attention(graph: onnx.GraphProto) -> bool:
    """True with an Attention node in the graph or in a branch or a loop's body."""
    return any(
        (node.op_type == "Attention" and node.domain in ("", "ai.onnx"))
        or any(_has_attention(attribute.g) for attribute in node.attribute if attribute.HasField("g"))
        for node in graph.node
    )


def _device(name: str) -> int | None:
    if not isinstance(name, str):
        raise ValueError(f"device: {name!r}, expected 'CPU', 'OPENCL' or 'OPENCL:' and an index")
    kind, colon, index = name.partition(":")
    if kind.upper() not in ("CPU", "OPENCL") or (colon and not index.isdecimal()):
        raise ValueError(f"device: {name!r}, expected 'CPU', 'OPENCL' or 'OPENCL:' and an index")
    return int(index) if colon and kind.upper() == "OPENCL" else None


class ClattnRep(BackendRep):
    """A model made ready; see ClattnBackend.prepare()."""

    def __init__(self, model: Any, device: _devices.DeviceSpec, opsets: dict[str, int] | None = None):
        self._evaluator = ReferenceEvaluator(model, opsets=opsets, new_ops=[_operator(device)])

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The model's outputs, in order and by name. `inputs`: a list in the model's order, a dict by
        name, or the only array."""
        names = self._evaluator.input_names
        if not isinstance(inputs, dict):
            listed = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            if len(listed) > len(names):
                raise ValueError(f"inputs: {len(listed)} of them, expected at most {len(names)}")
            inputs = dict(zip(names, listed))
        outputs = self._evaluator.run(None, inputs)
        return namedtupledict("Outputs", self._evaluator.output_names)(*outputs)


class ClattnBackend(Backend):
    """onnx's backend interface."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """True for models with an Attention node."""
        return cls.supports_device(device) and _has_attention(onnx.inliner.inline_local_functions(model).graph)

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> ClattnRep:
        """A model made ready to run, on a device."""
        spec = _device(device)
        onnx.checker.check_model(model)
        # Within functions the evaluator would take its own operators.
        return ClattnRep(onnx.inliner.inline_local_functions(model), spec)

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Any, ...]:
        """The outputs of one node; `opset_version` names its opset, the newest known one by default."""
        super().run_node(node, inputs, device, outputs_info, **kwargs)
        opset = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        names = [name for name in node.input if name]
        if isinstance(inputs, dict):
            inputs = [inputs[name] for name in names]
        listed = [np.asarray(x) for x in (inputs if isinstance(inputs, (list, tuple)) else [inputs]) if x is not None]
        infos = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for name, x in zip(names, listed)
        ]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = onnx.helper.make_graph([node], "node", infos, outputs)
        return ClattnRep(graph, _device(device), {node.domain: opset}).run(listed)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """True for "CPU", "OPENCL" and "OPENCL:i" where there is a device of index i."""
        try:
            spec = _device(device)
        except ValueError:
            return False
        return spec is None or spec < len(_devices.devices())


is_compatible = ClattnBackend.is_compatible
prepare = ClattnBackend.prepare
run_model = ClattnBackend.run_model
run_node = ClattnBackend.run_node
supports_device = ClattnBackend.supports_device
