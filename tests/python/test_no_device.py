"""A machine without any OpenCL device: the reference computes, and says how to get a device."""

from __future__ import annotations

from typing import Any

from scripts import run

HEAD = """
    import warnings
    import numpy as np
    import clattn
    a = np.ones((3, 4), np.float32)
"""


def run_bare(code: str, *arguments: str, **environment: str) -> Any:
    return run(
        HEAD + code,
        *arguments,
        without=("CLATTN_REQUIRE_DEVICE", "CLATTN_DEVICE", "OCL_ICD_FILENAMES"),
        OCL_ICD_VENDORS="/nonexistent",
        **environment,
    )


def test_reference_with_a_warning() -> None:
    done = run_bare("""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert (clattn.attention(a, a, a) == 1).all()
        assert (clattn.context(a[:, :3], a) == 3).all()
        assert (clattn.attention_backward(a, a, a, a).value == 1).all()
    [warning] = caught
    assert warning.category is RuntimeWarning
    print(warning.filename, warning.message)
    """)
    assert done.returncode == 0, done.stderr
    assert "pocl-opencl-icd" in done.stdout and "reference" in done.stdout
    assert done.stdout.startswith("<string>"), "the warning points at the caller's line"


def test_require_device() -> None:
    done = run_bare(
        """
    for function in (clattn.attention, clattn.verify):
        try: function(a, a, a)
        except clattn.Error as error: print(error.status, error)
    for function in (clattn.attention_backward, clattn.verify_backward):
        try: function(a, a, a, a)
        except clattn.Error as error: print(error.status, error)
    """,
        "-W",
        "error",
        CLATTN_REQUIRE_DEVICE="1",
    )
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert line.startswith("CLATTN_E_NO_DEVICE") and "pocl-opencl-icd" in line
    assert len(done.stdout.splitlines()) == 4


def test_verify_refuses() -> None:
    """The reference would be judged by itself."""
    done = run_bare(
        """
    for verify in (clattn.verify, lambda *arrays, **options: clattn.verify_backward(a, *arrays, **options)):
        try: verify(a, a, a)
        except clattn.Error as error: print(error.status, error)
        try: verify(a, a, a, device="reference")
        except ValueError as error: print(error)
    """,
        "-W",
        "error",
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 4
    for without, reference in (lines[:2], lines[2:]):
        assert without.startswith("CLATTN_E_NO_DEVICE no OpenCL device") and "pocl-opencl-icd" in without
        assert reference.startswith("device:")


def test_devices_are_an_empty_list() -> None:
    done = run_bare("""
    found = clattn.devices()
    print(len(found), found)
    print(found._repr_html_())
    """)
    assert done.stdout.startswith("0 no OpenCL device; ") and "pocl-opencl-icd" in done.stdout, done.stderr
    assert "<table>" in done.stdout


def test_reference_by_name_without_a_warning() -> None:
    done = run_bare(
        """
    print(clattn.attention(a, a, a, device="reference").tolist() == clattn.reference(a, a, a).tolist())
    """,
        "-W",
        "error",
    )
    assert done.stdout.strip() == "True", done.stderr
