"""What a verification found."""

from __future__ import annotations

import html
from dataclasses import dataclass

from ._devices import Device, html_table

_HEAD: list[object] = ["output", "error", "bound", "elements", "worst at", ""]


@dataclass(frozen=True)
class Verdict:
    """One output of a verified call, or one gradient. Errors are absolute, in the output's unit."""

    name: str
    """ "output", "weights", "scores", "lse", "column_sums", "argmax" or "entropy"; "grad.query", "grad.params.v"."""
    error: float
    """The largest |device - reference|; infinity where only one of them is NaN or infinite. Of an argmax: by how much
    the score of the key that is named falls short of the largest one."""
    bound: float
    """What the error may be, derived from a plain pass in the same precision (docs/numerics.md)."""
    worst: tuple[int, ...] | None
    """The index of the element with the largest error; None where nothing was compared."""
    checked: int
    """Elements compared."""
    left_out: int
    """Elements at which plain code in the same precision overflows: nothing is asked of a device."""
    ok: bool


@dataclass(frozen=True)
class Report:
    """What clattn.verify() or clattn.verify_backward() found; true where all is well."""

    ok: bool
    device: Device
    variant: str
    seconds: float
    """Of the run on the device, with what comes with it: transfers, and building on a first run."""
    rows: int
    """Rows of queries that were checked."""
    verdicts: tuple[Verdict, ...]

    @property
    def errors(self) -> dict[str, float]:
        """The largest error of each output, by its name."""
        return {v.name: v.error for v in self.verdicts}

    @property
    def bounds(self) -> dict[str, float]:
        """The bound of each output's error, by its name."""
        return {v.name: v.bound for v in self.verdicts}

    def __bool__(self) -> bool:
        return self.ok

    def _rows(self) -> list[list[object]]:
        return [
            [v.name, f"{v.error:.3g}", f"{v.bound:.3g}", v.checked, v.worst, "ok" if v.ok else "FAILED"]
            for v in self.verdicts
        ]

    def __str__(self) -> str:
        title = f"{'verified' if self.ok else 'FAILED'}: {self.variant} on {self.device.name}, {self.rows} rows"
        lines = [list(map(str, row)) for row in [_HEAD, *self._rows()]]
        widths = [max(map(len, column)) for column in zip(*lines)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
        return "\n".join([title, *table])

    def _repr_html_(self) -> str:
        found = html.escape(f"{self.variant} on {self.device.name}")
        title = f"<b>{'verified' if self.ok else 'FAILED'}</b>: {found}"
        return f"<p>{title}</p>" + html_table(_HEAD, self._rows())
