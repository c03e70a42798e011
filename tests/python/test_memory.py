"""Arrays are used where they lie, whoever made them and however they lie."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

import numpy as np
import pytest

import clattn
from clattn import _arrays, _job, _native

ml_dtypes = pytest.importorskip("ml_dtypes")

RNG = np.random.default_rng(7)
SHAPES = ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 4))
QUERY, KEY, VALUE = (RNG.standard_normal(shape).astype(np.float32) for shape in SHAPES)

VIEWS = {
    "contiguous": QUERY,
    "transposed": QUERY.transpose(0, 2, 1, 3),
    "fortran": np.asfortranarray(QUERY),
    "backwards": QUERY[:, ::-1, :, ::-1],
    "gaps": QUERY[:, :, ::2, 1::3],
    "broadcast": np.broadcast_to(QUERY[0, 0], (4, 6, 5, 8)),
    "empty": QUERY[:0],
}


def address(a: np.ndarray) -> int:
    return a.__array_interface__["data"][0]


def query_of(a: np.ndarray) -> _native.Tensor:
    """What the library gets for the query `a`."""
    job = _job.describe(a, np.ones((*a.shape[:2], 7, a.shape[3]), a.dtype), np.ones((*a.shape[:2], 7, 4), a.dtype))
    query = job.args.query
    assert query.host == address(job.kept["query"])
    return query


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_tensor_is_the_array(view: np.ndarray) -> None:
    tensor = query_of(view)
    assert (tensor.dtype, tensor.rank, tensor.offset, tensor.host) == (_native.F32, 4, 0, address(view))
    assert tuple(tensor.shape) == view.shape
    assert tuple(4 * stride for stride in tensor.strides) == view.strides
    assert tensor.buffer is None


def test_address_is_read_where_it_is() -> None:
    """The quick way to an address and NumPy's own must agree, on every kind of array."""
    for a in (*VIEWS.values(), QUERY.astype(ml_dtypes.bfloat16), np.zeros(0), np.zeros((), bool)):
        assert _arrays.address(a) == address(a)


def test_unaligned_array_is_copied() -> None:
    """The library reads whole elements; NumPy need not have them where the machine likes them."""
    memory = np.zeros(QUERY.nbytes + 1, np.uint8)
    odd = memory[1:].view(np.float32).reshape(QUERY.shape)
    odd[...] = QUERY
    host = query_of(odd).host
    assert host != address(odd) and host % 4 == 0
    np.testing.assert_array_equal(clattn.attention(odd, KEY, VALUE), clattn.attention(QUERY, KEY, VALUE))


def test_fields_of_records() -> None:
    """Their strides are no whole elements."""
    records = np.zeros((5, 8), [("x", np.float32), ("flag", np.uint8)])
    records["x"] = QUERY[0, 0]
    np.testing.assert_array_equal(
        clattn.attention(records["x"], KEY[0, 0], VALUE[0, 0]), clattn.attention(QUERY[0, 0], KEY[0, 0], VALUE[0, 0])
    )


def test_all_inputs_of_a_call_stay_where_they_are() -> None:
    given = {
        "mask": np.ones((5, 7), bool),
        "bias": np.zeros((3, 1, 7), np.float32),
        "kv_lengths": np.array([7, 3]),
        "alibi_slopes": np.full(3, 0.5, np.float16),
        "sinks": np.zeros(3, np.float64),
    }
    job = _job.describe(QUERY, KEY, VALUE, **given)
    kept = [address(a) for a in job.kept.values()]
    assert sorted(kept) == sorted(address(a) for a in [QUERY, KEY, VALUE, *given.values()])


def test_packed_sequences_stay_where_they_are() -> None:
    arrays = [a.transpose(0, 2, 1, 3).reshape(-1, 3, a.shape[3]).copy() for a in (QUERY, KEY, VALUE)]
    starts = np.array([0, 4, 10], np.int32), np.array([0, 5, 14])
    job = _job.describe(*arrays, cu_seqlens_q=starts[0], cu_seqlens_k=starts[1])
    args = job.args
    given = (args.query, args.key, args.value, args.cu_seqlens_q, args.cu_seqlens_k)
    assert [t.host for t in given] == [address(a) for a in (*arrays, *starts)]


def test_parameters_stay_where_they_are() -> None:
    params = {
        "w_query": np.ones((3, 6, 8), np.float32).transpose(0, 2, 1)[:, :6],
        "w_key": np.broadcast_to(np.ones((6, 8), np.float16), (3, 6, 8)),
        "v": np.ones(12)[::-2],
        "bias": np.ones(6, ml_dtypes.bfloat16),
        "conv": np.ones((3, 2, 2, 5), np.float32)[..., ::-1],
        "w_location": np.asfortranarray(np.ones((6, 2), np.float32)),
        "previous_weights": np.zeros((2, 3, 7), np.float32),
        "cumulative_weights": np.zeros((2, 14), np.float64)[:, ::2],
    }
    job = _job.describe(QUERY, KEY, VALUE, score="location-sensitive", params=params)
    for name, a in params.items():
        tensor = getattr(job.args.params, name)
        assert tensor.host == address(a) and tensor.rank == a.ndim
        assert tuple(tensor.shape[: a.ndim]) == a.shape
        assert tuple(a.itemsize * stride for stride in tensor.strides[: a.ndim]) == a.strides


def test_read_only_arrays() -> None:
    arrays = [a.copy() for a in (QUERY, KEY, VALUE)]
    for a in arrays:
        a.flags.writeable = False
    np.testing.assert_array_equal(clattn.attention(*arrays), clattn.attention(QUERY, KEY, VALUE))


def test_results_are_own_and_writable() -> None:
    """A second call must not write into the first one's result."""
    first = clattn.attention(QUERY, KEY, VALUE)
    kept = first.copy()
    second = clattn.attention(QUERY + 1, KEY, -VALUE)
    assert not np.shares_memory(first, second) and first.flags.owndata and first.flags.writeable
    np.testing.assert_array_equal(first, kept)


def test_lists() -> None:
    lists = [a[0, 0].astype(np.float64).tolist() for a in (QUERY, KEY, VALUE)]
    mask = [[True] * 6 + [False]]
    got = clattn.attention(*lists, mask=mask)
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, clattn.attention(*map(np.array, lists), mask=np.array(mask)))


class Foreign:
    """An array of another library: DLPack is all that it offers."""

    def __init__(self, a: np.ndarray):
        self._a = a

    def __dlpack__(self, **options: Any) -> Any:
        return self._a.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._a.__dlpack_device__()


class ManagedTensor(ctypes.Structure):
    """DLManagedTensor of the DLPack specification, in full."""

    _fields_ = [*_arrays._DLTensor._fields_, ("manager_ctx", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class ForeignBFloat16:
    """As Foreign, of bfloat16, which NumPy does not export itself."""

    def __init__(self, a: np.ndarray):
        self._a = a
        self._shape = (ctypes.c_int64 * a.ndim)(*a.shape)
        self._strides = (ctypes.c_int64 * a.ndim)(*(stride // 2 for stride in a.strides))
        whole = a if a.base is None else a.base
        self._tensor = ManagedTensor(
            address(whole), 1, 0, a.ndim, 4, 16, 1, self._shape, self._strides, address(a) - address(whole)
        )

    def __dlpack__(self, **_options: Any) -> Any:
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(self._tensor), b"dltensor", None)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0


class OnGpu(Foreign):
    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


def test_dlpack() -> None:
    assert address(_arrays.array(Foreign(QUERY), "query")) == address(QUERY)
    foreign = map(Foreign, (QUERY, KEY[:, :, ::-1], VALUE[:, :, ::-1]))
    expected = clattn.attention(QUERY, KEY[:, :, ::-1], VALUE[:, :, ::-1])
    np.testing.assert_array_equal(clattn.attention(*foreign), expected)


def test_dlpack_of_bfloat16() -> None:
    whole = RNG.standard_normal((12, 9)).astype(ml_dtypes.bfloat16)
    for view in (whole, whole[2:7, 1:], whole.T):
        a = _arrays.array(ForeignBFloat16(view), "query")
        assert a.dtype == ml_dtypes.bfloat16 and a.strides == view.strides and address(a) == address(view)
        np.testing.assert_array_equal(a, view)
    got = clattn.attention(*[ForeignBFloat16(whole)] * 3)
    np.testing.assert_array_equal(got, clattn.attention(whole, whole, whole))


def test_dlpack_on_another_device() -> None:
    with pytest.raises(TypeError, match="key.*host memory"):
        clattn.attention(QUERY, OnGpu(KEY), VALUE)


def test_dlpack_of_another_type() -> None:
    with pytest.raises(TypeError, match="query.*int32"):
        clattn.attention(Foreign(QUERY.astype(np.int32)), KEY, VALUE)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_torch(dtype: str) -> None:
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(a).to(getattr(torch, dtype)) for a in (QUERY, KEY, VALUE)]
    got = clattn.attention(*tensors)
    assert got.dtype.name == dtype
    own = [np.array(_arrays.array(t, "t")) for t in tensors]
    np.testing.assert_array_equal(got, clattn.attention(*own))
    view = _arrays.array(tensors[0].transpose(1, 2), "query")
    assert address(view) == tensors[0].data_ptr()
    del tensors
    gc.collect()
    np.testing.assert_array_equal(view.transpose(0, 2, 1, 3), own[0])


def test_torch_with_gradient() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="query.*grad"):
        clattn.attention(torch.from_numpy(QUERY).requires_grad_(), KEY, VALUE)
