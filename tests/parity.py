"""Compare Tempo Lab with recorded outputs of the released implementation, stage by stage.

    python tests/parity.py DIR

DIR is laid out like the record: `cases/*.json` + `.npz`, the checkpoints `tempo/` and
`tempo_linear/`, the base `svlm/qwen3-vl-tiny/`, and where they exist `alloc_cases.json`,
`sampling_cases.json` and `resize_cases.json`. Prints the worst absolute difference of each stage of
each case (of pixels, the share that differs) and exits 1 if one is beyond tolerance. What Tempo Lab
refuses by name is counted and listed: in a table it is no difference, in a case nothing after it
can be compared. Everything runs in float32 on the CPU, through the public classes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this file is run by its path

from tests.parity_cases import EXACT, ROUNDED, run_case
from tests.parity_tables import CHECKS, Refused

# from the record's own noise floor; ids and positions are exact
TOLERANCE = {
    "pixels": 0.0 if EXACT else ROUNDED,
    "ids": 0.0,
    "positions": 0.0,
    "vision": 3e-5,
    "scores": 5e-6,
    "memory": 3e-5,
    "allocation": 0.0,
    "projected": 3e-5,
    "embeddings": 3e-5,
    "logits": 5e-4,
    "generated": 0.0,
}
FAILED = "failed"  # the stage of a case that ended early; never within tolerance


def compare(root: Path) -> dict[str, dict[str, float]]:
    """Worst absolute difference of each stage of each case, {case: {stage: difference}}."""
    results: dict[str, dict[str, float]] = {}
    for path in sorted((root / "cases").glob("*.json")):
        stages = results.setdefault(path.stem, {})
        try:
            for stage, difference in run_case(root, path):
                stages[stage] = max(difference, stages.get(stage, 0.0))
            if not stages:
                raise ValueError("its record holds nothing that can be compared")
        except Exception as error:  # one odd case must not hide the others
            print(f"{path.stem}: {type(error).__name__}: {error}", file=sys.stderr)
            stages[FAILED] = float("inf")
    return results


def compare_table(check: Callable[[Path], Iterator[str]], path: Path) -> list[str]:
    """What differs in a table of cases and what is refused, the check's own end included."""
    told = []
    try:
        for name in check(path):
            told.append(name)
    except Exception as error:
        told.append(f"{type(error).__name__}: {error}")
    return told


def beyond(stages: dict[str, float]) -> list[str]:
    """Stages of a case that are beyond tolerance."""
    return [stage for stage, found in stages.items() if not found <= TOLERANCE.get(stage, 0.0)]


def main(root: Path) -> int:
    """Compare and print; 1 if anything is beyond tolerance."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    results = compare(root)
    table = Table("case", *TOLERANCE, title="worst absolute difference")
    for name, stages in results.items():
        cells = []
        for stage, limit in TOLERANCE.items():
            if stage not in stages:
                cells.append("-")
                continue
            text = (
                f"{stages[stage]:.1e}" if limit else ("equal" if not stages[stage] else "DIFFERS")
            )
            cells.append(f"[bold red]{text}" if stage in beyond(stages) else text)
        name = escape(name)
        table.add_row(f"[bold red]{name}: {FAILED}" if FAILED in stages else name, *cells)
    limits = (f"{limit:.0e}" if limit else "exact" for limit in TOLERANCE.values())
    table.add_row("tolerance", *limits, style="dim")
    console.print(table)
    failed = [name for name, stages in results.items() if beyond(stages)]
    if not results:
        console.print(f"no case in {root / 'cases'}")
        failed.append("cases")
    for file, check in CHECKS.items():
        if (root / file).is_file():
            told = compare_table(check, root / file)
            refused = [name for name in told if isinstance(name, Refused)]
            differing = [name for name in told if not isinstance(name, Refused)]
            failed += [f"{file}: {name}" for name in differing]
            console.print(escape(f"{file}: {', '.join(differing) or 'equal'}"))
            if refused:
                console.print(escape(f"{file}: {len(refused)} refused"))
            for name in refused:
                console.print(escape(f"  {name}"))
    console.print(
        escape(f"beyond tolerance: {', '.join(failed)}") if failed else "all within tolerance"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    sys.exit(main(Path(sys.argv[1])))
