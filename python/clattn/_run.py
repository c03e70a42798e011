"""Running a job: on a device, on the reference, or on a device and then against the reference."""

from __future__ import annotations

import math
import os
import time

import numpy as np

from . import _native
from ._devices import Device, DeviceSpec, devices, open_device
from ._job import Job
from ._reports import Report, Verdict


def run(job: Job, device: DeviceSpec) -> tuple[Device, str]:
    """Computes the job's outputs; the device that did, and the variant."""
    opened = open_device(device)
    library = _native.load()
    plan = opened.take_plan(job.key)
    try:
        try:
            for args in job.runs:
                _native.check(library.clattn_plan_run(plan, args))
        finally:
            # The arrays must stay until nothing is under way, also after a failure.
            finished = library.clattn_device_finish(opened.handle)
        _native.check(finished)
        return opened.device, library.clattn_plan_variant(plan).decode()
    finally:
        opened.put_plan(job.key, plan)


def run_reference(job: Job) -> None:
    library, desc = _native.load(), job.desc()
    for args in job.runs:
        _native.check(library.clattn_reference_run(desc, args))


def _worst(job: Job, run: int, output: str, element: int) -> tuple[int, ...]:
    """The index, in the output as the caller has it, of an element of one run's output."""
    shape = job.outputs[job.names.index(output)].shape
    if not job.starts:
        return tuple(map(int, np.unravel_index(element, shape)))
    start = job.starts[run]
    rows = job.runs[run].output.shape[1]
    if output == "lse":
        head, row = divmod(element, rows)
        return head, start + row
    row, rest = divmod(element, shape[1] * shape[2])
    return (start + row, *divmod(rest, shape[2]))


def _verdicts(job: Job, run: int, report: _native.Report) -> list[Verdict]:
    found = []
    for v in report.verdicts[: report.count]:
        name = v.name.decode()
        worst = _worst(job, run, name, v.worst) if v.checked else None
        found.append(Verdict(name, v.error, v.bound, worst, v.checked, v.left_out, bool(v.ok)))
    return found


def _merge(a: Verdict, b: Verdict) -> Verdict:
    """Of one output in two sequences: the closer one to its bound stands for both."""

    def share(v: Verdict) -> float:
        return v.error / v.bound if v.bound else float(v.error > 0)

    worse = max((a, b), key=lambda v: (not v.ok, share(v)))
    return Verdict(
        worse.name, worse.error, worse.bound, worse.worst, a.checked + b.checked, a.left_out + b.left_out, a.ok and b.ok
    )


def _rows(args: _native.AttentionArgs) -> int:
    return math.prod(args.query.shape[: args.query.rank - 1])


def verify(job: Job, device: DeviceSpec, sample: int) -> Report:
    """Runs the job on a device and holds its outputs against the reference."""
    if device is None and not os.environ.get("CLATTN_DEVICE") and not devices():
        raise _native.Error(f"no OpenCL device to verify; {_native.GET_POCL}", "CLATTN_E_NO_DEVICE")
    if open_device(device).is_reference:
        raise ValueError("device: the reference, expected an OpenCL device, as it would be judged by itself")
    start = time.perf_counter()
    found, variant = run(job, device)
    seconds = time.perf_counter() - start
    library, desc = _native.load(), job.desc()
    verdicts: list[Verdict] = []
    rows = 0
    total = sum(_rows(args) for args in job.runs)
    for index, args in enumerate(job.runs):
        report = _native.Report()
        share = -(-sample * _rows(args) // max(total, 1))
        _native.check(library.clattn_verify(report, desc, args, share))
        new = _verdicts(job, index, report)
        verdicts = [_merge(a, b) for a, b in zip(verdicts, new)] if verdicts else new
        rows += report.rows
    if not job.runs:  # no sequence has a query
        verdicts = [Verdict(name, 0.0, 0.0, None, 0, 0, True) for name in job.names]
    return Report(all(v.ok for v in verdicts), found, variant, seconds, rows, tuple(verdicts))
