"""Runs a file of tests, or an example, for CTest: exit code 77, "skipped", with the reason, where a package
that it needs is not installed.

    python run.py test_x.py | example.py
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

SKIPPED = 77
NOTHING_COLLECTED = 5  # pytest's exit code where a whole file skips itself


def main(path: Path) -> int:
    is_test = path.name.startswith("test_")
    needed = ["numpy", *(["pytest"] if is_test else re.findall(r"Needs (\w+)\.", path.read_text()))]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        print(f"skipped {path.name}: not installed: {', '.join(missing)}")
        return SKIPPED
    if is_test:
        code = subprocess.call([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)])
        return SKIPPED if code == NOTHING_COLLECTED else code
    return subprocess.call([sys.executable, str(path)], env={**os.environ, "PYTHONWARNINGS": "error"})


sys.exit(main(Path(sys.argv[1])))
