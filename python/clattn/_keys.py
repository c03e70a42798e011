"""Keys that have met the parameters of a score, and stay on a device."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np

from . import _native
from ._devices import Device, OpenDevice


class Projection(NamedTuple):
    """What projected keys are of; the calls that take them must be of the same. Letters as in the documentation."""

    score: str
    dtype: np.dtype
    Hq: int
    Hkv: int
    D: int
    Dk: int
    A: int
    B: int
    heads: int
    """Of what was made: Hkv, or Hq where each query head had a matrix of its own."""

    @property
    def size(self) -> int:
        """... and its elements."""
        return self.A or self.D


class ProjectedKeys:
    """Keys that clattn.project_keys() made: clattn.attention() and clattn.attention_backward() take them as `key`, with
    the same score and on the same device, as often as wanted and from any thread. Their memory is given back when
    nobody holds them."""

    __module__ = "clattn"

    def __init__(self, handle: ctypes.c_void_p, opened: OpenDevice, projection: Projection):
        self._owned = _native.Owned("clattn_keys_destroy", handle)
        self.handle = handle
        self.opened = opened
        self.projection = projection

    @property
    def score(self) -> str:
        return self.projection.score

    @property
    def dtype(self) -> np.dtype:
        return self.projection.dtype

    @property
    def device(self) -> Device:
        return self.opened.device

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={what}" for name, what in self.projection._asdict().items())
        return f"<clattn.ProjectedKeys {said} on {self.device.name}>"
