"""Three questions about a video, answered by the embedded model, beside what is true.

    python -m tempo_lab.apps.demo [VIDEO] [--model NAME] [--budget TOKENS] [--out FOLDER]

The video's truth lies in a JSON file of the same name. Ends with 1 if an answer is wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.text import one_line

VIDEO = Path(__file__).parent.parent.parent / "data" / "clips" / "voyage.mp4"


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tempo_lab.apps.demo", description=__doc__)
    parser.add_argument("video", nargs="?", type=Path, default=VIDEO)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--budget", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("results"))
    options = parser.parse_args(arguments)
    try:
        asked = questions(options.video)
        return demonstrate(options.video, asked, options.model, options.budget, options.out)
    except TempoLabError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def questions(video: Path) -> list[dict[str, Any]]:
    """The questions that the video was made for: text, answer, evidence (segments)."""
    path = video.with_suffix(".json")
    try:
        asked = list(json.loads(path.read_text(encoding="utf-8"))["demo"])
        return [
            {
                "text": str(question["text"]),
                "answer": str(question["answer"]),
                "evidence": [int(segment) for segment in question["evidence"]],
            }
            for question in asked
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TempoLabError(
            "the demonstration needs a video with its truth beside it",
            asked=path,
            found=f"{type(error).__name__}: {error}",
            fix="run it in a clone of the repository, or name a video made by `tempo-lab world`",
        ) from None


def demonstrate(
    video: Path, asked: list[dict[str, Any]], model: str, budget: int, out: Path
) -> int:
    """Ask, compare, print the ledger, draw; 1 if an answer is not the expected one."""
    import tempo_lab as tl
    from tempo_lab.apps.cli import save_figure
    from tempo_lab.trace import tables

    console = Console(highlight=False, markup=False)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TempoLabError(
            "the folder for the results cannot be made",
            asked=out,
            found=error.strerror or type(error).__name__,
            fix="name a folder that can be written to with --out",
        ) from None
    tempo = tl.load(model)
    wrong = 0
    with tempo.open(video) as session:
        plural = f"{len(session)} segments of {session.video.window} frames"
        console.print(f"{tempo!r}\n{video.name}: {session.video.info.duration:.0f} s, {plural}")
        console.print("A star marks the segments that hold the answer.")
        for number, question in enumerate(asked, start=1):
            start = time.perf_counter()
            trace = session.ask(question["text"], budget=budget, max_new_tokens=16)
            seconds = time.perf_counter() - start
            right = trace.answer.strip().lower() == question["answer"].strip().lower()
            wrong += not right
            console.print()
            console.print(Text(f"{number}. {one_line(trace.question)}", style="bold"))
            console.print(
                Text.assemble(
                    "   answer: ",
                    (one_line(trace.answer, 200), "bold green" if right else "bold red"),
                    f"   expected: {question['answer']}   ({seconds:.1f} s)",
                )
            )
            console.print(tables.ledger(trace, marked=question["evidence"]))
            console.print(tables.totals(trace))
            for each in trace.warnings:
                console.print(Text(f"warning: {one_line(each)}"))
            picture = out / f"demo_{number}.png"
            save_figure(trace, picture)
            trace.save(picture.with_suffix(".nc"))
            console.print(f"allocation: {picture}")
    console.print(f"\n{len(asked) - wrong} of {len(asked)} answers are right.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
