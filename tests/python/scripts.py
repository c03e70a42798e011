"""Python programs in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def run(code: str, *arguments: str, without: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess:
    """Runs `code` with the suite's environment, less the variables `without`, and with those given."""
    variables = {name: value for name, value in os.environ.items() if name not in without}
    return subprocess.run(
        [sys.executable, *arguments, "-c", textwrap.dedent(code)],
        env={**variables, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
