"""A wheel, as a user gets it: built from a copy of the sources, installed into a fresh virtual environment,
run there with nothing of the build's around. Exit code 77, "skipped", where the package index is out of
reach.

    python wheel.py SOURCES FOLDER
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SKIPPED = 77

PROGRAM = """
import clattn, numpy as np
x = np.eye(4, dtype=np.float32)
report = clattn.verify(x, x, x, causal=True)
print(report)
assert report.ok and report.variant != "reference"
assert "site-packages" in clattn.__file__, clattn.__file__
"""


def run(*command: str | Path, **kwargs) -> str:
    found = subprocess.run(
        [str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs
    )
    if found.returncode:
        print(found.stdout)
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {found.returncode}")
    return found.stdout


def main(sources: Path, folder: Path) -> int:
    shutil.rmtree(folder, ignore_errors=True)
    copy = shutil.copytree(sources, folder / "sources", ignore=shutil.ignore_patterns("build", ".git", "__pycache__"))
    run(sys.executable, "-m", "venv", folder / "venv")
    binaries = folder / "venv" / "bin"
    probe = [binaries / "pip", "download", "-q", "--no-deps", "-d", folder, "scikit-build-core", "numpy"]
    if subprocess.call(probe, stderr=subprocess.DEVNULL):
        print("skipped: the package index does not answer")
        return SKIPPED
    run(binaries / "pip", "install", "-q", copy)
    shutil.rmtree(copy)
    package = next((folder / "venv").glob("lib/python*/site-packages/clattn"))
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CLATTN_LIBRARY")}
    print(run(binaries / "python", "-c", PROGRAM, cwd=folder, env=environment))
    print(run(binaries / "clattn", "devices", cwd=folder, env=environment))
    # All that the package's binaries link lies in it, but for what belongs to the system.
    system = (
        "linux-vdso",
        "ld-linux",
        "libc.",
        "libm.",
        "libdl.",
        "libpthread.",
        "libgcc_s.",
        "libstdc++.",
        "libOpenCL.",
    )
    for binary in [package / "bin" / "clattn", *package.glob("lib/*.so*")]:
        for line in run("ldd", binary, env=environment).splitlines():
            if not any(name in line for name in (*system, str(package))):
                raise SystemExit(f"{binary.name} takes from outside of the wheel: {line.strip()}")
    return 0


sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
