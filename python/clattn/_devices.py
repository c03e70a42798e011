"""Devices: listed, opened once, shared by all threads; and the plans that are ready on them."""

from __future__ import annotations

import ctypes
import html
import os
import sys
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Union

import numpy as np

from . import _native


@dataclass(frozen=True)
class Device:
    """What an OpenCL device says of itself; takes the place of its index as `device=`."""

    index: int
    name: str
    kind: str
    """"discrete GPU", "integrated GPU", "accelerator", "CPU" or "reference"."""
    vendor: str
    platform: str
    device_version: str
    driver_version: str
    compute_units: int
    clock_mhz: int
    float_width: int
    """Native vector width, in floats."""
    fp64: bool
    fp16: bool
    unified_memory: bool
    """True where host memory is the device's: arrays are used in place."""
    global_memory: int
    """Bytes, as are the next three."""
    max_allocation: int
    local_memory: int
    cache: int
    max_work_group: int

    def __str__(self) -> str:
        memory = f"{self.global_memory / 2**30:.1f} GiB"
        return f"{self.index}: {self.name} ({self.kind}, {self.compute_units} units, {memory}; {self.platform})"


class DeviceList(list):
    """Devices, printed one per line."""

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or f"no OpenCL device; {_native.GET_POCL}"

    def _repr_html_(self) -> str:
        columns: list[Any] = ["index", "name", "kind", "platform", "compute_units", "fp64", "fp16"]
        rows = [[getattr(device, column) for column in columns] for device in self]
        return html_table(columns, rows)


def html_table(head: list[object], rows: list[list[object]]) -> str:
    def line(cells: list[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{line(head, 'th')}{''.join(line(row, 'td') for row in rows)}</table>"


def _device(info: _native.DeviceInfo) -> Device:
    values: dict[str, Any] = {}
    for name, *_ in _native.DeviceInfo._fields_:
        value = getattr(info, name)
        values[name] = value.decode(errors="replace") if isinstance(value, bytes) else value
    for name in ("fp64", "fp16", "unified_memory"):
        values[name] = bool(values[name])
    values["kind"] = _native.load().clattn_device_kind_name(info.kind).decode()
    return Device(**values)


def devices() -> DeviceList:
    """All OpenCL devices, in the order of their indices; empty where there is none."""
    library = _native.load()
    count = ctypes.c_size_t()
    _native.check(library.clattn_device_list(None, 0, count))
    infos = (_native.DeviceInfo * count.value)()
    _native.check(library.clattn_device_list(infos, count.value, count))
    return DeviceList(_device(info) for info in infos[: count.value])


DeviceSpec = Union[None, int, str, Device]


class OpenDevice:
    """An opened device with its idle plans. A plan serves one thread at a time: take_plan() hands it
    out, put_plan() takes it back."""

    # Each keeps scratch memory; the ones not used for longest go first.
    IDLE_PLANS = 16

    def __init__(self, handle: ctypes.c_void_p):
        self.handle = handle
        self.device = _device(_native.load().clattn_device_get_info(handle).contents)
        self._lock = threading.Lock()
        self._idle: OrderedDict[tuple, list[ctypes.c_void_p]] = OrderedDict()
        self._idle_count = 0

    @property
    def is_reference(self) -> bool:
        return self.device.kind == "reference"

    def complete(self, function: Any, *arguments: Any) -> None:
        """Calls what enqueues work on the device, and waits until that is done."""
        try:
            _native.check(function(*arguments))
        finally:
            # The arrays must stay until nothing is under way, also after a failure.
            finished = _native.load().clattn_device_finish(self.handle)
        _native.check(finished)

    def take_plan(self, key: tuple) -> ctypes.c_void_p:
        """A plan for the description that `key` lists, field by field."""
        with self._lock:
            plans = self._idle.get(key)
            if plans:
                self._idle_count -= 1
                return plans.pop()
        library, handle = _native.load(), ctypes.c_void_p()
        desc = _native.AttentionDesc(ctypes.sizeof(_native.AttentionDesc), *key)
        _native.check(library.clattn_plan_create(handle, self.handle, desc))
        return handle

    def put_plan(self, key: tuple, plan: ctypes.c_void_p) -> None:
        surplus = []
        with self._lock:
            self._idle.setdefault(key, []).append(plan)
            self._idle.move_to_end(key)
            self._idle_count += 1
            while self._idle_count > self.IDLE_PLANS:
                oldest, plans = next(iter(self._idle.items()))
                if plans:
                    surplus.append(plans.pop())
                    self._idle_count -= 1
                if not plans:
                    del self._idle[oldest]
        for old in surplus:
            _native.load().clattn_plan_destroy(old)


_open: dict[str | None, OpenDevice] = {}
_lock = threading.Lock()


def _spec_text(spec: DeviceSpec) -> str | None:
    if spec is None:
        return None
    if isinstance(spec, str):
        return spec
    if isinstance(spec, Device):
        return "reference" if spec.kind == "reference" else str(spec.index)
    if hasattr(spec, "__index__") and not isinstance(spec, (bool, np.bool_)):
        return str(spec.__index__())
    raise TypeError(f"device: {spec!r}, expected an index, a part of a name, a clattn.Device or None")


def _depth_of_caller() -> int:
    """For a warning of the function that asks: it points at the line that calls the package."""
    depth, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__package__") == __package__:
        depth, frame = depth + 1, frame.f_back
    return depth


def _open_handle(text: str | None) -> ctypes.c_void_p:
    library = _native.load()
    handle = ctypes.c_void_p()
    status = library.clattn_device_open(handle, None if text is None else _native.encoded(text, "device"), 0)
    sentence = library.clattn_last_error().decode(errors="replace")
    by_variable = text is None and os.environ.get("CLATTN_DEVICE")
    if status == _native.E_ARGUMENT and by_variable:
        raise ValueError(sentence.replace("device:", "CLATTN_DEVICE:", 1))
    required = os.environ.get("CLATTN_REQUIRE_DEVICE", "0") not in ("", "0")
    if status == _native.E_NO_DEVICE and text is None and not by_variable and not required:
        message = f"{sentence}; the reference computes instead; {_native.GET_POCL}"
        warnings.warn(message, RuntimeWarning, stacklevel=_depth_of_caller())
        status = library.clattn_device_open(handle, b"reference", 0)
    _native.check(status)
    return handle


def open_device(spec: DeviceSpec) -> OpenDevice:
    """The device of a spec, opened on first use. None: what CLATTN_DEVICE says, else the best one,
    else the reference with a warning (an error where CLATTN_REQUIRE_DEVICE=1)."""
    text = _spec_text(spec)
    found = _open.get(text)
    if found is not None:
        return found
    with _lock:
        if text not in _open:
            new = OpenDevice(_open_handle(text))
            same = next((d for d in _open.values() if d.device == new.device), None)
            if same:
                _native.load().clattn_device_close(new.handle)
            _open[text] = same or new
    return _open[text]


def _after_fork() -> None:
    """Nothing opened outlives a fork; _native refuses to go on."""
    global _lock
    _lock = threading.Lock()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
