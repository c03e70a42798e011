"""The official cases of onnx's Attention operator, by onnx's own runner, on the OpenCL device."""

from __future__ import annotations

import unittest

import pytest

onnx = pytest.importorskip("onnx")

import onnx.backend.test

import clattn
from clattn import onnx_backend

OFFICIAL = 93  # of onnx 1.23; the _expanded ones are made of other operators


class Counted(onnx_backend.ClattnBackend):
    """Holds every run of a model to one call of clattn, on a device, by a variant of the device's own."""

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        rep = super().prepare(model, device, **kwargs)
        run = rep.run

        def counted(inputs, **kwargs):
            before = onnx_backend.calls.copy()
            outputs = run(inputs, **kwargs)
            new = onnx_backend.calls - before
            assert sum(new.values()) == 1, f"expected one call of clattn, found {new}"
            ((device_name, variant),) = new
            assert device_name in {d.name for d in clattn.devices()}
            assert variant != "reference"
            return outputs

        rep.run = counted
        return rep


runner = onnx.backend.test.BackendTest(Counted, __name__)
runner.include(r"^test_attention_(?!.*_expanded)\w+_cpu$")
cases = {
    name: case
    for name, case in runner.test_cases["OnnxBackendNodeModelTest"].__dict__.items()
    if name.startswith("test_attention_") and not getattr(case, "__unittest_skip__", False)
}
TestOfficial = type("TestOfficial", (unittest.TestCase,), dict(cases))


def test_all_official_cases_are_there() -> None:
    if onnx.__version__.startswith("1.23."):
        assert len(cases) == OFFICIAL
    assert len(cases) > 30
