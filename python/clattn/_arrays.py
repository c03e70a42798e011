"""From what callers pass to NumPy arrays, and from those to the library's tensors.

Nothing is copied that the library can read where it lies: any strides that are whole elements, any
host memory that DLPack hands over. What it cannot (another byte order, unaligned elements) is
copied once.
"""

from __future__ import annotations

import ctypes
import functools
import math
import struct
import sys
from typing import Any

import numpy as np

from . import _native

FLOATS = {np.dtype(np.float32): _native.F32, np.dtype(np.float64): _native.F64, np.dtype(np.float16): _native.F16}
BOOLS = {np.dtype(np.bool_): _native.BOOL}
INTEGERS = {np.dtype(np.int32): _native.I32, np.dtype(np.int64): _native.I64}


@functools.cache
def bfloat16() -> np.dtype | None:
    """NumPy's bfloat16, which the package ml_dtypes brings; None without it."""
    try:
        import ml_dtypes
    except ImportError:
        return None
    return np.dtype(ml_dtypes.bfloat16)


def is_float(dtype: np.dtype) -> bool:
    """True for the four float types of the library."""
    return dtype in FLOATS or dtype.name == "bfloat16"


def float_code(dtype: np.dtype) -> int:
    """The library's code of a type for which is_float() holds."""
    return FLOATS.get(dtype, _native.BF16)


class _DLTensor(ctypes.Structure):
    """DLManagedTensor of the DLPack specification, as far as it is read here."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


_DL_CPU, _DL_BFLOAT = 1, 4


class _BFloat16:
    """Memory of bfloat16 elements as 16-bit integers, for NumPy, which reads no bfloat16 from DLPack.
    Holds the capsule, which frees the memory when it goes."""

    def __init__(self, capsule: Any):
        pointer = ctypes.pythonapi.PyCapsule_GetPointer
        pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
        t = _DLTensor.from_address(pointer(capsule, b"dltensor"))
        if (t.device_type, t.code, t.bits, t.lanes) != (_DL_CPU, _DL_BFLOAT, 16, 1):
            raise BufferError("no bfloat16 in host memory")
        self._capsule = capsule
        shape = tuple(t.shape[: t.ndim])
        self.__array_interface__ = {
            "version": 3,
            "typestr": "<u2",
            "shape": shape,
            "strides": tuple(2 * stride for stride in t.strides[: t.ndim]) if t.strides else None,
            "data": ((t.data or 0) + t.byte_offset, True),
        }


def _from_dlpack(tensor: Any, name: str) -> np.ndarray:
    try:
        device = tensor.__dlpack_device__()[0]
    except Exception as error:  # whatever a library says of memory that it has not
        raise TypeError(f"{name}: {error}") from None
    if device != _DL_CPU:
        raise TypeError(f"{name}: lies on a device of DLPack's type {int(device)}, expected host memory")
    try:
        return np.from_dlpack(tensor)
    except (BufferError, RuntimeError) as error:
        reason = error
    try:
        bits = np.asarray(_BFloat16(tensor.__dlpack__()))
    except (BufferError, RuntimeError, ValueError):
        raise TypeError(f"{name}: {reason}") from None
    dtype = bfloat16()
    if dtype is None:
        raise TypeError(f"{name}: dtype bfloat16, which NumPy has only with the package ml_dtypes; found none")
    return bits.view(dtype)


def array(given: Any, name: str) -> np.ndarray:
    """What a caller passed, as an array; its memory, where it is host memory with a view to offer."""
    if isinstance(given, np.ndarray):
        if isinstance(given, np.ma.MaskedArray):
            raise TypeError(f"{name}: a masked array, expected its data and a mask= beside it")
        return given
    if given is None:
        raise TypeError(f"{name}: None, expected an array")
    if hasattr(given, "__dlpack__") and hasattr(given, "__dlpack_device__"):
        return _from_dlpack(given, name)
    try:
        return np.asarray(given)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def tensor(given: Any, name: str) -> np.ndarray:
    """An array as the library reads it: of this machine's byte order, its elements aligned, one
    dimension at least. A copy only where the caller's is not so."""
    a = array(given, name)
    if not a.dtype.isnative:
        a = a.astype(a.dtype.newbyteorder("="))
    elif not a.flags.aligned:
        a = a.copy()
    return a if a.ndim else a.reshape(1)


def floats(given: Any, name: str) -> np.ndarray:
    """A tensor of one of the four float types."""
    a = tensor(given, name)
    if not is_float(a.dtype):
        raise TypeError(f"{name}: dtype {a.dtype}, expected float32, float16, bfloat16 or float64")
    return a


def numbers(given: Any, name: str, otherwise: np.dtype) -> np.ndarray:
    """A tensor of any float type; integers get the type `otherwise`, as do lists and numbers, which have none."""
    a = tensor(given, name)
    if a.dtype.kind in "iu" or (a.dtype.kind == "f" and not hasattr(given, "dtype")):
        with np.errstate(over="ignore"):  # the library refuses what is infinite then
            a = a.astype(otherwise)
    return floats(a, name)


def _address(a: np.ndarray) -> int:
    return a.__array_interface__["data"][0]


def _quick_address(a: np.ndarray) -> int:
    return _pointer_at(id(a) + _HEAD).value or 0


# In CPython, id() is where an object lies, and NumPy's ABI has an array's data pointer right behind the
# object's head (PyArrayObject_fields of numpy/ndarraytypes.h). Read there, it costs an eighth of what
# __array_interface__ does, four times a call. Two arrays tell whether it is so here.
_pointer_at, _HEAD = ctypes.c_void_p.from_address, object.__basicsize__
_probe = np.zeros(3, np.float32)
_is_there = sys.implementation.name == "cpython" and all(_quick_address(a) == _address(a) for a in (_probe, _probe[1:]))
address = _quick_address if _is_there else _address


put_address = struct.Struct("P").pack_into


def lay_out(
    args: _native.AttentionArgs,
    name: str,
    code: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...] | None,
    size: int,
) -> None:
    """Writes the tensor `name` of `args`, but for its address; strides in bytes, None: row-major."""
    rank = len(shape)
    if rank > _native.MAX_RANK:
        raise ValueError(f"{name}: shape {shape}, expected at most {_native.MAX_RANK} dimensions")
    if strides is None:
        strides = tuple(size * math.prod(shape[axis + 1 :]) for axis in range(rank))
    free = (0,) * (_native.MAX_RANK - rank)
    steps = (stride // size for stride in strides)
    _native.pack_tensor(args, _native.tensor_offsets[name], code, rank, *shape, *free, *steps, *free, 0, 0, 0)
