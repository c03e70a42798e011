"""The command `clattn`: the C program that lies in the package, beside its libraries."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    program = Path(__file__).parent / "bin" / "clattn"
    try:
        os.execv(program, ["clattn", *sys.argv[1:]])
    except OSError as error:
        sys.exit(f"clattn: {program}: {error.strerror}")
