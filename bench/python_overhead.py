"""What a call from Python costs beyond the C call: clattn.attention() beside the two C functions that it
ends in, with their arguments made once, in turns on the same thread.

    python bench/python_overhead.py [ROUNDS]
"""

from __future__ import annotations

import sys
import time
from statistics import median

import numpy as np

import clattn
from clattn import _devices, _job, _native

CALLS = 500


def seconds(call) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS


def measure(shape: tuple[int, ...], rounds: int, **options) -> None:
    q, k, v = np.random.default_rng(0).standard_normal((3, *shape), np.float32)
    job = _job.describe(q, k, v, **options)
    opened = _devices.open_device(None)
    plan = opened.take_plan(job.key)
    library = _native.load()
    args = job.args

    def in_c() -> None:
        if library.clattn_plan_run(plan, args) or library.clattn_device_finish(opened.handle):
            raise SystemExit(library.clattn_last_error().decode())

    def in_python() -> None:
        clattn.attention(q, k, v, **options)

    in_c(), in_python()
    pairs = [(seconds(in_c), seconds(in_python)) for _ in range(rounds)]
    c, python = (1e6 * min(column) for column in zip(*pairs))
    over = [1e6 * (p - c) for c, p in pairs]
    print(f"{str(shape):20} {c:8.1f} {python:8.1f} {python - c:9.1f} {median(over):9.1f}   {options or ''}")
    opened.put_plan(job.key, plan)


rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
print(f"microseconds, best of {rounds} rounds of {CALLS} calls; overhead: of the bests, and the median of rounds")
print(f"{'query, key, value':20} {'C':>8} {'Python':>8} {'overhead':>9} {'median':>9}")
measure((1, 8), rounds)
measure((2, 4, 8, 16), rounds)
measure((2, 4, 8, 16), rounds, causal=True, return_weights=True, kv_lengths=np.array([8, 5]))
