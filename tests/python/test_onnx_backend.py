"""The ONNX backend beyond the official cases, held against onnx's reference evaluator in float64."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from clattn import onnx_backend

B, HQ, HKV, S, T, D, DV = 2, 4, 2, 5, 7, 8, 6


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def normal(*shape: int, dtype: str = "float32") -> np.ndarray:
    return rng().standard_normal(shape).astype(dtype)


def model_of(inputs: dict[str, np.ndarray], outputs: list[str], opset: int = 25, **attributes) -> onnx.ModelProto:
    """One Attention node; `inputs` by the operator's names, in any choice."""
    order = ("Q", "K", "V", "attn_mask", "past_key", "past_value", "nonpad_kv_seqlen")
    names = [name if name in inputs else "" for name in order]
    while not names[-1]:
        names.pop()
    node = helper.make_node("Attention", names, outputs, **attributes)
    return whole_model([node], inputs, [name for name in outputs if name], opset)


def whole_model(nodes, inputs: dict[str, np.ndarray], outputs: list[str], opset: int = 25, functions=()):
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for name, x in inputs.items()
    ]
    rank = inputs[next(iter(inputs))].ndim
    results = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * (rank if name == "Y" else 4))
        for name in outputs
    ]
    graph = helper.make_graph(nodes, "g", infos, results)
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(f.domain, 1) for f in functions)]
    return helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=11)


def compare(model: onnx.ModelProto, inputs: dict[str, np.ndarray], rtol: float = 2e-5, atol: float = 2e-6) -> tuple:
    """Runs both; the counter must say that a device did the attention."""
    before = onnx_backend.calls.copy()
    got = onnx_backend.run_model(model, inputs)
    new = onnx_backend.calls - before
    assert new and all(variant != "reference" for _, variant in new)
    wanted = ReferenceEvaluator(model).run(None, inputs)
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted):
        assert g.dtype == w.dtype and g.shape == w.shape
        np.testing.assert_allclose(g.astype(np.float64), w.astype(np.float64), rtol=rtol, atol=atol)
    return got


def qkv(s: int = S, t: int = T, dtype: str = "float32") -> dict[str, np.ndarray]:
    r = rng()
    shapes = {"Q": (B, HQ, s, D), "K": (B, HKV, t, D), "V": (B, HKV, t, DV)}
    return {name: r.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def past(length: int) -> dict[str, np.ndarray]:
    return {"past_key": normal(B, HKV, length, D), "past_value": normal(B, HKV, length, DV)}


ALL = ["Y", "present_key", "present_value", "qk"]


@pytest.mark.parametrize("mode", range(4))
@pytest.mark.parametrize("mask", [None, "bool", "float"])
def test_past_with_other_numbers_of_queries_and_new_keys(mask: str | None, mode: int) -> None:
    """The place of the first query is the past's length, which no alignment of clattn's gives."""
    inputs = {**qkv(), **past(3)}
    if mask == "bool":
        inputs["attn_mask"] = normal(S, T + 3) > -0.7
    elif mask == "float":
        inputs["attn_mask"] = normal(B, 1, S, T + 3)
    # onnx's evaluator gives capped scores in mode 0, too; the operator's text and its function do not.
    softcap = 3.0 if mode else 0.0
    attributes = {"is_causal": 1, "left_window_size": 4, "softcap": softcap, "qk_matmul_output_mode": mode}
    compare(model_of(inputs, ALL, **attributes), inputs)


def test_raw_scores_beside_a_softcap() -> None:
    inputs = qkv()
    outputs = ["Y", "", "", "qk"]
    plain = onnx_backend.run_model(model_of(inputs, outputs), inputs)
    capped = onnx_backend.run_model(model_of(inputs, outputs, softcap=0.5), inputs)
    np.testing.assert_array_equal(capped["qk"], plain["qk"])
    assert not np.array_equal(capped["Y"], plain["Y"])


@pytest.mark.parametrize("opset", [23, 24, 25])
def test_opsets(opset: int) -> None:
    inputs = {**qkv(4, 4), **past(3)}
    compare(model_of(inputs, ALL, opset, is_causal=1), inputs)


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_a_mask_shorter_than_the_keys(rank: int, kind: str) -> None:
    inputs = qkv()
    shape = (B, HQ, S, T - 2)[4 - rank :]
    inputs["attn_mask"] = normal(*shape) > 0 if kind == "bool" else normal(*shape)
    compare(model_of(inputs, ["Y", "", "", "qk"], qk_matmul_output_mode=2), inputs)


def test_three_dimensions_with_past() -> None:
    inputs = {"Q": normal(B, S, HQ * D), "K": normal(B, T, HKV * D), "V": normal(B, T, HKV * DV), **past(2)}
    heads = {"q_num_heads": HQ, "kv_num_heads": HKV}
    got = compare(model_of(inputs, ALL, **heads), inputs)
    assert got[0].shape == (B, S, HQ * DV)


def test_values_of_another_type() -> None:
    inputs = qkv()
    inputs["Q"], inputs["K"] = inputs["Q"].astype(np.float16), inputs["K"].astype(np.float16)
    got = onnx_backend.run_model(model_of(inputs, ["Y"]), inputs)
    wide = {name: x.astype(np.float64) for name, x in inputs.items()}
    wanted = ReferenceEvaluator(model_of(wide, ["Y"])).run(None, wide)
    assert got[0].dtype == np.float16
    np.testing.assert_allclose(got[0], wanted[0], rtol=2**-10, atol=2**-12)


def test_softmax_in_double_precision() -> None:
    """What float32 would round away between two scores, float64 keeps."""
    inputs = {
        "Q": np.full((1, 1, 1, 1), 1, np.float32),
        "K": np.array([30000.0, 30000.001953125], np.float32).reshape(1, 1, 2, 1),
        "V": np.array([0.0, 1.0], np.float32).reshape(1, 1, 2, 1),
    }
    model = model_of(inputs, ["Y"], softmax_precision=TensorProto.DOUBLE, scale=1.0)
    got = onnx_backend.run_model(model, inputs)
    assert got[0].dtype == np.float32
    np.testing.assert_allclose(got[0].item(), 1 / (1 + np.exp(-0.001953125)), rtol=1e-7)


def test_other_operators_around_it() -> None:
    r = rng()
    inputs = {
        "X": r.standard_normal((B, S, 16)).astype(np.float32),
        "W": r.standard_normal((16, 16)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["X", "W"], ["P"]),
        helper.make_node("Attention", ["P", "X", "X"], ["A"], q_num_heads=4, kv_num_heads=4),
        helper.make_node("Attention", ["A", "X", "P"], ["A2"], q_num_heads=2, kv_num_heads=2, is_causal=1),
        helper.make_node("Add", ["A2", "X"], ["Y"]),
    ]
    before = sum(onnx_backend.calls.values())
    compare(whole_model(nodes, inputs, ["Y"]), inputs)
    assert sum(onnx_backend.calls.values()) == before + 2


def test_inside_a_function_and_a_branch() -> None:
    inputs = {**qkv(), "cond": np.array(True)}
    imports = [helper.make_opsetid("", 25)]
    function = helper.make_function(
        "own", "Mine", ["q", "k", "v"], ["y"], [helper.make_node("Attention", ["q", "k", "v"], ["y"])], imports
    )
    branches = [
        helper.make_graph(
            [helper.make_node("Attention", ["F", "F", "F"], ["out"], is_causal=causal)],
            f"branch{causal}",
            [],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * 4)],
        )
        for causal in (1, 0)
    ]
    nodes = [
        helper.make_node("Mine", ["Q", "K", "V"], ["F"], domain="own"),
        helper.make_node("If", ["cond"], ["Y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    before = sum(onnx_backend.calls.values())
    compare(whole_model(nodes, inputs, ["Y"], functions=[function]), inputs)
    assert sum(onnx_backend.calls.values()) == before + 2


def test_a_wide_mask_beside_half_precision() -> None:
    """A float32 mask keeps what float16 would round away."""
    inputs = {**qkv(dtype="float16"), "attn_mask": 2048 + normal(S, T)}
    got = onnx_backend.run_model(model_of(inputs, ["Y"]), inputs)
    wide = {name: x.astype(np.float64) for name, x in inputs.items()}
    (wanted,) = ReferenceEvaluator(model_of(wide, ["Y"])).run(None, wide)
    np.testing.assert_allclose(got[0], wanted, rtol=2e-3, atol=2e-3)


def test_run_node() -> None:
    inputs = qkv()
    node = helper.make_node("Attention", ["Q", "K", "V"], ["Y"], is_causal=1)
    model = model_of(inputs, ["Y"], is_causal=1)
    (wanted,) = ReferenceEvaluator(model).run(None, inputs)
    for kwargs in ({}, {"opset_version": 23}):
        (got,) = onnx_backend.run_node(node, list(inputs.values()), **kwargs)
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-6)


def test_prepared_once_run_often_and_by_name() -> None:
    inputs = qkv()
    rep = onnx_backend.prepare(model_of(inputs, ["Y"]), "OPENCL:0")
    first = rep.run(inputs)
    assert first[0] is first["Y"]
    np.testing.assert_array_equal(first[0], rep.run(list(inputs.values()))[0])


def test_devices() -> None:
    assert onnx_backend.supports_device("CPU") and onnx_backend.supports_device("OPENCL:0")
    assert not onnx_backend.supports_device("CUDA")
    assert not onnx_backend.supports_device("OPENCL:999") and not onnx_backend.supports_device("OPENCL:x")
    assert onnx_backend.is_compatible(model_of(qkv(), ["Y"]))
    x = normal(2)
    assert not onnx_backend.is_compatible(whole_model([helper.make_node("Abs", ["X"], ["Y"])], {"X": x}, ["Y"]))
    with pytest.raises(ValueError, match="device: 'TPU'"):
        onnx_backend.prepare(model_of(qkv(), ["Y"]), "TPU")


def errors() -> dict[str, tuple[str, dict[str, np.ndarray], dict]]:
    """A part of the sentence; inputs; attributes."""
    flat = {"Q": normal(B, S, HQ * D), "K": normal(B, T, HKV * D), "V": normal(B, T, HKV * DV)}
    lengths = np.array([3, 4], np.int64)
    return {
        "3-D without heads": ("q_num_heads: missing", flat, {}),
        "3-D with odd heads": ("Q: shape", flat, {"q_num_heads": 5, "kv_num_heads": HKV}),
        "4-D with heads": ("q_num_heads", qkv(), {"q_num_heads": HQ}),
        "ranks": ("Q, K, V", {**qkv(), "K": flat["K"]}, {}),
        "past alone": ("past_key, past_value", {**qkv(), "past_key": past(2)["past_key"]}, {}),
        "past and lengths": ("nonpad_kv_seqlen", {**qkv(), **past(2), "nonpad_kv_seqlen": lengths}, {}),
        "lengths beyond the keys": ("kv_lengths", {**qkv(), "nonpad_kv_seqlen": lengths + T}, {}),
        "mask of integers": ("attn_mask: dtype int32", {**qkv(), "attn_mask": np.ones((S, T), np.int32)}, {}),
        "mask's shape": ("mask: shape", {**qkv(), "attn_mask": np.ones((S + 1, T), np.bool_)}, {}),
        "past of another batch": (
            "past_key: shape",
            {**qkv(), "past_key": normal(1, HKV, 2, D), "past_value": normal(1, HKV, 2, DV)},
            {},
        ),
        "window": ("window", qkv(), {"left_window_size": -2}),
        "mode": ("qk_matmul_output_mode: 4", qkv(), {"qk_matmul_output_mode": 4}),
        "softmax_precision": ("softmax_precision: 7", qkv(), {"softmax_precision": 7}),
    }


@pytest.mark.parametrize("case", errors())
def test_refusals_name_what_is_wrong(case: str) -> None:
    words, inputs, attributes = errors()[case]
    with pytest.raises(ValueError, match=words):
        onnx_backend.run_model(model_of(inputs, ["Y"], **attributes), inputs)
