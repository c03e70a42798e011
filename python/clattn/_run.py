"""Running a job: on a device, on the reference, or on a device and then against the reference."""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any

import numpy as np

from . import _native
from ._devices import Device, DeviceSpec, devices, open_device
from ._job import Job, Part
from ._keys import ProjectedKeys, Projection
from ._reports import Report, Verdict


def run(job: Job, device: DeviceSpec) -> tuple[Device, str]:
    """Computes the job's outputs; the device that did, and the variant."""
    keys = job.projected_keys
    opened = keys.opened if keys and device is None else open_device(device)
    if keys and keys.opened is not opened:
        raise ValueError(f"device: {opened.device.name}, expected {keys.device.name}, where the keys were projected")
    library = _native.load()
    plan = opened.take_plan(job.key)
    try:
        opened.complete(library.clattn_plan_run, plan, job.args)
        return opened.device, library.clattn_plan_variant(plan).decode()
    finally:
        opened.put_plan(job.key, plan)


def project(part: Part, projection: Projection, device: DeviceSpec) -> ProjectedKeys:
    opened, handle = open_device(device), ctypes.c_void_p()
    plan = opened.take_plan(part.key)
    try:
        _native.check(_native.load().clattn_keys_create(handle, plan, part.args))
    finally:
        opened.put_plan(part.key, plan)
    return ProjectedKeys(handle, opened, projection)


def run_reference(job: Job) -> None:
    keys = job.projected_keys
    if keys and not keys.opened.is_reference:
        raise ValueError(f"key: projected on {keys.device.name}, expected keys projected with device='reference'")
    _native.check(_native.load().clattn_reference_run(job.desc(), job.args))


def _verdicts(job: Job, report: _native.Report) -> tuple[Verdict, ...]:
    found = []
    for v in report.verdicts[: report.count]:
        name = v.name.decode()
        shape = job.outputs[job.names.index(name)].shape
        worst = tuple(map(int, np.unravel_index(v.worst, shape))) if v.checked else None
        found.append(Verdict(name, v.error, v.bound, worst, v.checked, v.left_out, bool(v.ok)))
    return tuple(found)


def check_verifiable(device: DeviceSpec, key: Any) -> None:
    """Refuses keys that the reference would not meet as the device does, and what is no device to verify."""
    if isinstance(key, ProjectedKeys):
        raise ValueError("key: projected keys, expected an array, as the reference projects keys in its own precision")
    if device is None and not os.environ.get("CLATTN_DEVICE") and not devices():
        raise _native.Error(f"no OpenCL device to verify; {_native.GET_POCL}", "CLATTN_E_NO_DEVICE")
    if open_device(device).is_reference:
        raise ValueError("device: the reference, expected an OpenCL device, as it would be judged by itself")


def verify(job: Job, device: DeviceSpec, sample: int) -> Report:
    """Runs the job on a device and holds its outputs against the reference."""
    check_verifiable(device, job.projected_keys)
    start = time.perf_counter()
    found, variant = run(job, device)
    seconds = time.perf_counter() - start
    report = _native.Report()
    _native.check(_native.load().clattn_verify(report, job.desc(), job.args, sample))
    return Report(bool(report.ok), found, variant, seconds, report.rows, _verdicts(job, report))
