"""Three questions about a video, answered by the model and compared with the ground truth."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from rich.text import Text

from tempo_lab.apps.output_paths import save_figure
from tempo_lab.apps.terminal import console, print_error, print_table
from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import shipped
from tempo_lab.common.text import one_line

VIDEO = "data/clips/voyage.mp4"
"""The included clip; its ground truth is in a JSON file of the same name."""


def load_questions(video: Path) -> list[dict[str, Any]]:
    """Return the questions that come with the video: text, answer, evidence (segments).

    Raises:
        TempoLabError: the JSON file of the video is missing, or has no such questions.
    """
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
            fix="make a video with `tempo-lab world make`, or leave out the video",
        ) from None


def demonstrate(
    video: Path | None = None,
    *,
    model: str = "nano",
    budget: int = 64,
    out: Path = Path("results"),
) -> int:
    """Ask the questions, compare the answers, and print and draw the allocations.

    Args:
        video: a video with its ground truth next to it; by default the included clip.
        model: a name for `tempo_lab.load`.
        budget: memory tokens for the whole video.
        out: folder for a trace and a figure of each question.

    Returns:
        the number of wrong answers.

    Raises:
        TempoLabError: the video has no ground truth, or a file cannot be written.
    """
    import tempo_lab as tl
    from tempo_lab.trace import tables

    video = shipped(VIDEO) if video is None else video
    questions = load_questions(video)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TempoLabError(
            "the folder for the results cannot be created",
            asked=out,
            found=error.strerror or type(error).__name__,
            fix="use --out with a writable folder",
        ) from None
    terminal, tempo, wrong = console(), tl.load(model), 0
    with tempo.open(video) as session:
        size = f"{len(session)} segments of {session.video.window} frames"
        terminal.print(f"{tempo!r}\n{video.name}: {session.video.info.duration:.0f} s, {size}")
        terminal.print("A star marks the segments with the evidence.")
        for number, question in enumerate(questions, start=1):
            start = time.perf_counter()
            trace = session.ask(question["text"], budget=budget, max_new_tokens=16)
            seconds = time.perf_counter() - start
            right = trace.answer.strip().lower() == question["answer"].strip().lower()
            wrong += not right
            terminal.print()
            terminal.print(Text(f"{number}. {one_line(trace.question)}", style="bold"))
            terminal.print(
                Text.assemble(
                    "   answer: ",
                    (one_line(trace.answer, 200), "bold green" if right else "bold red"),
                    f"   expected: {question['answer']}   ({seconds:.1f} s)",
                )
            )
            print_table(tables.ledger(trace, marked=question["evidence"]))
            terminal.print(tables.totals(trace))
            for warning in trace.warnings:
                print_error(f"warning: {one_line(warning)}")
            figure = out / f"demo_{number}.png"
            save_figure(trace, figure)
            trace.save(figure.with_suffix(".nc"))
            terminal.print(f"allocation: {figure}")
    terminal.print(f"\n{len(questions) - wrong} of {len(questions)} answers are right.")
    return wrong
