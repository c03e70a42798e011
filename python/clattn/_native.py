"""The C library through ctypes: its structs, its functions, and its failures as exceptions.

The structs mirror include/clattn/*.h; their first field, struct_size, lets the library refuse one
that does not fit. The library is loaded by load(), on first use.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading
import weakref
from ctypes import POINTER, c_char, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

F32, F64, F16, BF16, BOOL, I32, I64 = range(7)

CAUSAL, WINDOW, SCALE, MASK, BIAS, KV_LENGTHS, ALIBI, SINKS, PACKED, PROJECTED_KEYS = (1 << bit for bit in range(10))
WEIGHTS_HEADS, WEIGHTS_ROWS, SAVED_WEIGHTS = 1 << 11, 1 << 12, 1 << 13
OUTPUT, WEIGHTS, SCORES, LSE, COLUMN_SUMS, ARGMAX, ENTROPY = (1 << bit for bit in range(7))
GRAD_QUERY, GRAD_KEY, GRAD_VALUE, GRAD_GIVEN_SCORES, GRAD_BIAS, GRAD_ALIBI_SLOPES, GRAD_SINKS, GRAD_PARAMS = (
    1 << bit for bit in range(8)
)
DECODER_CUMULATIVE = 1 << 0

SCORE_GIVEN = 2
NORMALIZER_SOFTMAX, NORMALIZER_NONE = 0, 1
BHSD, BSHD = 0, 1
FORWARD, BACKWARD = 0, 1

MAX_RANK = 4


class AttentionDesc(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        ("dtype", c_int),
        ("layout", c_int),
        ("score", c_int),
        ("normalizer", c_int),
        ("alignment", c_int),
        ("precision", c_int),
        ("flags", c_uint32),
        ("outputs", c_uint32),
        ("scores_stage", c_int),
        ("query_heads", c_size_t),
        ("kv_heads", c_size_t),
        ("head_size", c_size_t),
        ("value_size", c_size_t),
        ("scale", c_double),
        ("softcap", c_double),
        ("window_left", c_int64),
        ("window_right", c_int64),
        ("variant", c_char_p),
        ("key_size", c_size_t),
        ("hidden_size", c_size_t),
        ("direction", c_int),
        ("gradients", c_uint32),
        ("dropout", c_double),
    ]


class Tensor(ctypes.Structure):
    _fields_ = [
        ("dtype", c_int),
        ("rank", c_uint32),
        ("shape", c_int64 * MAX_RANK),
        ("strides", c_int64 * MAX_RANK),
        ("offset", c_int64),
        ("host", c_void_p),
        ("buffer", c_void_p),
    ]


_PARAMS = (
    "weight w_query w_key v bias g conv w_location w_coverage beta gamma previous_weights cumulative_weights coverage"
).split()
_TENSORS = (
    "query key value given_scores mask bias kv_lengths alibi_slopes sinks output weights scores lse "
    "cu_seqlens_q cu_seqlens_k"
).split()
_LATER_TENSORS = "column_sums entropy argmax weights_heads weights_rows".split()
_GRADIENTS = "output weights lse query key value given_scores bias alibi_slopes sinks".split()


class ScoreParams(ctypes.Structure):
    _fields_ = [(name, Tensor) for name in _PARAMS]


class Gradients(ctypes.Structure):
    _fields_ = [*((name, Tensor) for name in _GRADIENTS), ("params", ScoreParams)]


class AttentionArgs(ctypes.Structure):
    _fields_ = [
        ("struct_size", c_size_t),
        *((name, Tensor) for name in _TENSORS),
        ("params", ScoreParams),
        ("projected_keys", c_void_p),
        *((name, Tensor) for name in _LATER_TENSORS),
        ("grad", Gradients),
        ("dropout_seed", c_uint64),
        ("dropout_offset", c_uint64),
    ]


# A whole tensor in one go: a field at a time costs microseconds, which small calls would feel.
pack_tensor = struct.Struct(f"iI{MAX_RANK}q{MAX_RANK}qqPP").pack_into
# A parameter has the name that the library's sentences begin with; "bias" alone is another tensor.
_param_offsets = {f"params.{name}": getattr(ScoreParams, name).offset for name in _PARAMS}
_gradient_offsets = {
    **{name: getattr(Gradients, name).offset for name in _GRADIENTS},
    **{name: Gradients.params.offset + offset for name, offset in _param_offsets.items()},
}
tensor_offsets = {
    **{name: getattr(AttentionArgs, name).offset for name in _TENSORS + _LATER_TENSORS},
    **{name: AttentionArgs.params.offset + offset for name, offset in _param_offsets.items()},
    **{f"grad.{name}": AttentionArgs.grad.offset + offset for name, offset in _gradient_offsets.items()},
}
address_offsets = {name: offset + Tensor.host.offset for name, offset in tensor_offsets.items()}


class DeviceInfo(ctypes.Structure):
    _fields_ = [
        ("index", c_size_t),
        ("kind", c_int),
        ("name", c_char * 256),
        ("vendor", c_char * 128),
        ("platform", c_char * 128),
        ("device_version", c_char * 128),
        ("driver_version", c_char * 128),
        ("compute_units", c_uint32),
        ("clock_mhz", c_uint32),
        ("float_width", c_uint32),
        ("fp64", c_uint32),
        ("fp16", c_uint32),
        ("unified_memory", c_uint32),
        ("global_memory", c_uint64),
        ("max_allocation", c_uint64),
        ("local_memory", c_uint64),
        ("cache", c_uint64),
        ("max_work_group", c_size_t),
    ]


class Verdict(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("error", c_double),
        ("bound", c_double),
        ("worst", c_size_t),
        ("checked", c_size_t),
        ("left_out", c_size_t),
        ("ok", c_int),
    ]


class Report(ctypes.Structure):
    _fields_ = [
        ("ok", c_int),
        ("rows", c_size_t),
        ("count", c_size_t),
        ("verdicts", Verdict * 32),
    ]


class Error(RuntimeError):
    """A failure of a device, of a driver or of memory.

    Attributes: `status`, the name of the library's status ("CLATTN_E_DEVICE", ...); `cl_error`, the
    OpenCL code behind it or 0; `build_log`, the compiler's log where a kernel did not compile.
    """

    __module__ = "clattn"

    def __init__(self, sentence: str, status: str = "CLATTN_E_DEVICE", cl_error: int = 0, build_log: str = ""):
        super().__init__(sentence)
        self.status = status
        self.cl_error = cl_error
        self.build_log = build_log


class UnsupportedError(Error, ValueError):
    """No variant takes this problem on this device; the sentence says why."""

    __module__ = "clattn"


E_ARGUMENT, E_UNSUPPORTED, E_NO_DEVICE = -1, -2, -3

_RESULTS = {
    "clattn_version": (c_char_p, []),
    "clattn_status_name": (c_char_p, [c_int]),
    "clattn_last_error": (c_char_p, []),
    "clattn_last_cl_error": (c_int, []),
    "clattn_last_build_log": (c_char_p, []),
    "clattn_device_kind_name": (c_char_p, [c_int]),
    "clattn_device_list": (c_int, [POINTER(DeviceInfo), c_size_t, POINTER(c_size_t)]),
    "clattn_device_skipped": (c_char_p, []),
    "clattn_device_open": (c_int, [POINTER(c_void_p), c_char_p, c_uint32]),
    "clattn_device_finish": (c_int, [c_void_p]),
    "clattn_device_close": (None, [c_void_p]),
    "clattn_device_get_info": (POINTER(DeviceInfo), [c_void_p]),
    "clattn_plan_create": (c_int, [POINTER(c_void_p), c_void_p, POINTER(AttentionDesc)]),
    "clattn_plan_run": (c_int, [c_void_p, POINTER(AttentionArgs)]),
    "clattn_plan_variant": (c_char_p, [c_void_p]),
    "clattn_plan_explain": (c_char_p, [c_void_p]),
    "clattn_plan_destroy": (None, [c_void_p]),
    "clattn_keys_create": (c_int, [POINTER(c_void_p), c_void_p, POINTER(AttentionArgs)]),
    "clattn_keys_destroy": (None, [c_void_p]),
    "clattn_decoder_create": (c_int, [POINTER(c_void_p), c_void_p, POINTER(AttentionDesc), c_size_t, c_uint32]),
    "clattn_decoder_begin": (c_int, [c_void_p, POINTER(AttentionArgs)]),
    "clattn_decoder_step": (c_int, [c_void_p, POINTER(Tensor), POINTER(Tensor)]),
    "clattn_decoder_steps": (c_size_t, [c_void_p]),
    "clattn_decoder_alignments": (c_int, [c_void_p, POINTER(Tensor)]),
    "clattn_decoder_destroy": (None, [c_void_p]),
    "clattn_reference_run": (c_int, [POINTER(AttentionDesc), POINTER(AttentionArgs)]),
    "clattn_verify": (c_int, [POINTER(Report), POINTER(AttentionDesc), POINTER(AttentionArgs), c_size_t]),
}

GET_POCL = (
    "on Debian or Ubuntu, `apt install pocl-opencl-icd` makes an OpenCL device of the CPU, and a GPU's "
    "driver package brings one for the GPU"
)

_library: ctypes.CDLL | None = None
_lock = threading.Lock()


def _path() -> str:
    """CLATTN_LIBRARY, the wheel's own copy, or the one that the system finds."""
    own = Path(__file__).parent / "lib" / "libclattn.so"
    return os.environ.get("CLATTN_LIBRARY") or (str(own) if own.exists() else "libclattn.so")


def load() -> ctypes.CDLL:
    """The library, loaded once."""
    global _library
    if _library is not None:
        return _library
    with _lock:
        if _is_forked:
            raise Error(
                "this process was forked from one that had used clattn, and neither OpenCL drivers nor OpenMP "
                "outlive that; expected multiprocessing with the start method 'spawn' or 'forkserver'"
            )
        if _library is None:
            try:
                library = ctypes.CDLL(_path())
            except OSError as error:
                hint = f"; {GET_POCL}" if "libOpenCL" in str(error) else ""
                raise Error(f"clattn's library does not load: {error}{hint}", "CLATTN_E_NO_DEVICE") from None
            for name, (result, arguments) in _RESULTS.items():
                function = getattr(library, name)
                function.restype, function.argtypes = result, arguments
            _library = library
    return _library


_is_forked = False


def _before_fork() -> None:
    _lock.acquire()


def _after_fork() -> None:
    _lock.release()


def _after_fork_in_child() -> None:
    """A driver's threads are gone in the child, and what waits for them would wait forever."""
    global _library, _is_forked
    _is_forked = _is_forked or _library is not None
    _library = None
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def _destroy(function: str, handle: c_void_p) -> None:
    if _library is not None:  # after a fork there is nothing left to give back
        getattr(_library, function)(handle)


class Owned:
    """An object of the library that goes with this one, or at close(); `function` is what destroys it."""

    def __init__(self, function: str, handle: c_void_p):
        self.handle = handle
        self.close = weakref.finalize(self, _destroy, function, handle)
        # At the interpreter's end, the driver may be gone before; the system takes all memory back.
        self.close.atexit = False


def encoded(text: str, name: str) -> bytes:
    """A string for C, where none may end early."""
    if not text.isprintable():
        raise ValueError(f"{name}: {text!r}, expected a name")
    return text.encode()


def check(status: int) -> None:
    """Raises what a status that is not CLATTN_OK means, with the library's sentence."""
    if status == 0:
        return
    library = load()
    sentence = library.clattn_last_error().decode(errors="replace")
    if sentence.startswith("desc."):
        sentence = sentence[len("desc.") :]
    elif sentence.startswith("grad."):
        sentence = sentence.replace("grad.", "grad_", 1)
    if status == E_ARGUMENT:
        raise ValueError(sentence)
    kind = UnsupportedError if status == E_UNSUPPORTED else Error
    if status == E_NO_DEVICE:
        sentence += f"; {GET_POCL}"
    raise kind(
        sentence,
        library.clattn_status_name(status).decode(),
        library.clattn_last_cl_error(),
        library.clattn_last_build_log().decode(errors="replace"),
    )
