"""Three questions about a video, answered by the embedded model and compared with the ground truth.

    python -m tempo_lab.apps.demo [VIDEO] [--model NAME] [--budget TOKENS] [--out FOLDER]

The ground truth is in a JSON file of the same name. Exits with 1 if an answer is wrong.
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
    """Run the demonstration and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tempo_lab.apps.demo", description=__doc__)
    parser.add_argument("video", nargs="?", type=Path, default=VIDEO)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--budget", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("results"))
    options = parser.parse_args(arguments)
    try:
        questions = load_questions(options.video)
        return demonstrate(options.video, questions, options.model, options.budget, options.out)
    except TempoLabError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def load_questions(video: Path) -> list[dict[str, Any]]:
    """Return the questions that come with the video: text, answer, evidence (segments)."""
    path = video.with_suffix(".json")
    try:
        return [
            {
                "text": str(question["text"]),
                "answer": str(question["answer"]),
                "evidence": [int(segment) for segment in question["evidence"]],
            }
            for question in json.loads(path.read_text(encoding="utf-8"))["demo"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TempoLabError(
            "the demonstration needs a video with its ground truth",
            asked=path,
            found=f"{type(error).__name__}: {error}",
            fix="run it in a clone of the repository, or make a video with `tempo-lab world make`",
        ) from None


def demonstrate(
    video: Path, questions: list[dict[str, Any]], model: str, budget: int, out: Path
) -> int:
    """Ask, compare, print the ledger and draw; return 1 if an answer is wrong."""
    import tempo_lab as tl
    from tempo_lab.apps.output_paths import save_figure
    from tempo_lab.trace import tables

    console = Console(highlight=False, markup=False)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TempoLabError(
            "the folder for the results cannot be created",
            asked=out,
            found=error.strerror or type(error).__name__,
            fix="use --out with a writable folder",
        ) from None
    tempo = tl.load(model)
    wrong = 0
    with tempo.open(video) as session:
        size = f"{len(session)} segments of {session.video.window} frames"
        console.print(f"{tempo!r}\n{video.name}: {session.video.info.duration:.0f} s, {size}")
        console.print("A star marks the segments with the evidence.")
        for number, question in enumerate(questions, start=1):
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
            for warning in trace.warnings:
                console.print(Text(f"warning: {one_line(warning)}"))
            figure = out / f"demo_{number}.png"
            save_figure(trace, figure)
            trace.save(figure.with_suffix(".nc"))
            console.print(f"allocation: {figure}")
    console.print(f"\n{len(questions) - wrong} of {len(questions)} answers are right.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
