"""Threads, forks, and what import does not do."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from random_problems import problem
from scripts import run

import clattn
from clattn import _devices


def bits(seed: int) -> list[bytes]:
    arrays, options = problem(seed)
    results = clattn.attention(*arrays, **options)
    return [a.tobytes() for a in (results if isinstance(results, tuple) else (results,))]


def test_same_bits_as_alone() -> None:
    """Different problems, and the same ones in several threads at once, so that plans are wanted twice."""
    seeds = [seed % 40 for seed in range(400)]
    alone = [bits(seed) for seed in range(40)]
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(bits, seeds))
    assert together == [alone[seed] for seed in seeds]


def test_same_errors_as_alone() -> None:
    """The library's sentence is the calling thread's own."""

    def sentence(size: int) -> str:
        query, key, value = (np.zeros(shape, np.float32) for shape in ((3, 4), (5, size), (5, 4)))
        with pytest.raises(ValueError) as caught:
            clattn.attention(query, key, value)
        return str(caught.value)

    with ThreadPoolExecutor(12) as pool:
        for size, found in zip(range(5, 205), pool.map(sentence, range(5, 205))):
            assert f"(5, {size})" in found


@pytest.mark.parametrize("function", [clattn.attention, clattn.reference, clattn.verify])
def test_other_threads_run_meanwhile(function: Any) -> None:
    """A ticking thread needs the interpreter once per tick; were it held for all of a call, there would be no tick."""
    rows = {clattn.attention: 6000, clattn.reference: 800, clattn.verify: 600}[function]
    a = np.random.default_rng(0).standard_normal((rows, 128)).astype(np.float32)
    ticks, stop = [0], threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.0005)

    function(a[:8], a, a)
    thread = threading.Thread(target=tick)
    thread.start()
    try:
        before = ticks[0]
        function(a, a, a)
        after = ticks[0]
    finally:
        stop.set()
        thread.join()
    assert after - before >= 8


def test_idle_plans_are_bounded() -> None:
    a = np.ones((3, 4), np.float32)

    def call(n: int) -> None:
        clattn.attention(a, a, a, scale=n / 64)

    opened = _devices.open_device(None)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(100)))
    idle = [plan.value for plans in opened._idle.values() for plan in plans]
    assert len(idle) == len(set(idle)) == opened._idle_count == opened.IDLE_PLANS
    assert len(opened._idle) <= opened.IDLE_PLANS


def test_last_plans_are_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    a = np.ones((3, 4), np.float32)
    clattn.attention(a, a, a, scale=0.37)

    def no_new_plan(*_: Any) -> int:
        raise AssertionError("a plan was made again")

    monkeypatch.setattr(clattn._native.load(), "clattn_plan_create", no_new_plan)
    clattn.attention(a[:2], a, a, scale=0.37)


def test_plan_returns_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that fails must not lose its plan."""
    a, library, made = np.ones((1, 3, 4), np.float32), clattn._native.load(), []
    create = library.clattn_plan_create

    def count(*arguments: Any) -> int:
        made.append(arguments)
        return create(*arguments)

    monkeypatch.setattr(library, "clattn_plan_create", count)
    for _ in range(5):
        with pytest.raises(ValueError, match="kv_lengths"):
            clattn.attention(a, a, a, kv_lengths=[9], scale=0.73)
    assert len(made) == 1


def test_devices_are_opened_once() -> None:
    first = clattn.devices()[0]
    specs = [None, first.index, first, first.name, str(first.index)]
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(_devices.open_device, specs * 4))
    assert len({id(device) for device in opened}) == 1


FORK = """
    import os, signal
    import numpy as np
    import clattn
    a = np.ones((3, 4), np.float32)
    {before}
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            clattn.attention(a, a, a)
            os.write(1, b"computed")
        except clattn.Error as error:
            os.write(1, str(error).encode())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    clattn.attention(a, a, a)
"""


@pytest.mark.parametrize("before", ["attention(a, a, a)", "devices()", "reference(a, a, a)"])
def test_fork_after_use(before: str) -> None:
    """Neither drivers nor OpenMP outlive a fork; a sentence is better than a child that hangs."""
    done = run(FORK.format(before=f"clattn.{before}"))
    assert done.returncode == 0, done.stderr
    assert "forked" in done.stdout and "spawn" in done.stdout


def test_fork_before_use() -> None:
    done = run(FORK.format(before="pass"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "computed"


def test_import_loads_no_library() -> None:
    """Import must be quick, and must not fail where only a part of the package is wanted."""
    done = run("import clattn; print('clattn.so' in open('/proc/self/maps').read(), clattn._native._library)")
    assert done.stdout.split() == ["False", "None"], done.stderr
    done = run("import clattn", CLATTN_LIBRARY="/nonexistent/libclattn.so")
    assert done.returncode == 0, done.stderr


def test_library_that_is_not_there() -> None:
    code = """
        import clattn
        try: clattn.devices()
        except clattn.Error as error: print(error)
    """
    done = run(code, CLATTN_LIBRARY="/nonexistent/libclattn.so")
    assert "/nonexistent/libclattn.so" in done.stdout, done.stderr


def test_device_is_opened_on_first_use() -> None:
    done = run("import clattn; clattn.devices(); print(len(clattn._devices._open))")
    assert done.stdout.strip() == "0", done.stderr
