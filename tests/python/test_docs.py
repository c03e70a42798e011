"""The documents' Python and their shell, block after block as a reader would type it, print what the comments say."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_WORD_FOR_WORD = ("Counter(", "0: the OpenCL code", "the compiler's log")


def run_shell(block: str) -> None:
    """Where the program is built."""
    if "CLATTN_PROGRAM" in os.environ:
        folder = Path(os.environ["CLATTN_PROGRAM"]).parent
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(["bash", "-euc", block], env={**os.environ, "PATH": path}, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("document", ["README.md", "docs/python.md", "docs/training.md"])
def test_blocks(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("onnx", "matplotlib", "ml_dtypes"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(python|sh)\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    names: dict = {}
    compared = 0
    for language, block in blocks:
        if language == "sh":
            run_shell(block)
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, document, "exec"), names)
        for said in re.findall(r"^ *print\(.*\)  +# (.+)$", block, re.MULTILINE):
            if not said.startswith(NOT_WORD_FOR_WORD):
                assert said in printed.getvalue()
                compared += 1
    assert compared
