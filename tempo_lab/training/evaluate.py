"""How well a trained model answers, through the real pipeline: files, decoder, ATA, answer.

`python -m tempo_lab.training.evaluate --model nano --segments 8 --videos 40`
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

import tempo_lab as tl
from tempo_lab.world.files import write_video
from tempo_lab.world.questions import KINDS, Question
from tempo_lab.world.scenes import Scene, draw_scene

HELD_OUT = 1_000_000
"""First seed of evaluation videos; training draws its segments from other generators."""

LOCAL = ("color", "motion", "digit", "place", "shape")


def auc(scores: npt.ArrayLike, relevant: npt.ArrayLike) -> float:
    """Chance that a relevant segment scores above an irrelevant one, ties counting half.

    Args:
        scores: [segment].
        relevant: bool [segment], both kinds present.
    """
    values, flags = np.asarray(scores), np.asarray(relevant, bool)
    above = values[flags][:, None] - values[~flags][None]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


@dataclass
class Report:
    """Answers counted by kind.

    Attributes:
        right: for each kind, whether each answer was right.
        auc: for each video and local question, the AUC of its relevance scores.
        used: memory tokens that each answer used.
    """

    right: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    auc: list[float] = field(default_factory=list)
    used: list[int] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Accuracies with their standard errors, mean AUC, mean tokens."""
        kinds = {}
        for kind, values in self.right.items():
            mean, n = float(np.mean(values)), len(values)
            kinds[kind] = {
                "accuracy": round(mean, 3),
                "standard_error": round(float(np.sqrt(mean * (1 - mean) / n)), 3),
                "n": n,
            }
        return {
            "kinds": kinds,
            "auc": round(float(np.mean(self.auc)), 3) if self.auc else None,
            "mean_tokens_used": round(float(np.mean(self.used)), 1),
        }


def pick(scene: Scene, rng: np.random.Generator, kinds: tuple[str, ...]) -> list[Question]:
    """At most one question of each kind, two of colours."""
    chosen: list[Question] = []
    for kind in kinds:
        options = KINDS[kind](scene)
        count = min(len(options), 2 if kind == "color" else 1)
        chosen += [options[i] for i in rng.permutation(len(options))[:count]]
    return chosen


def evaluate(
    tempo: tl.Tempo,
    *,
    videos: int,
    segments: int,
    budget: int,
    seed: int = 0,
    strategy: str = "head",
    kinds: tuple[str, ...] = tuple(KINDS),
) -> Report:
    """Ask questions about held-out videos, written as H.264 and decoded again.

    Args:
        tempo: the loaded model.
        videos: how many.
        segments: length of each.
        budget: memory tokens a segment.
        seed: of the videos.
        strategy: of the allocation.
        kinds: kinds of questions.
    """
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        for number in tqdm(range(videos), desc=f"{segments} segments", mininterval=5):
            scene = draw_scene(HELD_OUT + 1000 * seed + number, segments)
            rng = np.random.default_rng([seed, number])
            path = write_video(scene, Path(folder) / f"{number}.mp4")
            with tempo.open(path, progress=False) as session:
                for question in pick(scene, rng, kinds):
                    trace = session.ask(
                        question.text,
                        budget=budget * segments,
                        strategy=strategy,
                        max_new_tokens=12,
                    )
                    report.right[question.kind].append(trace.answer.strip() == question.answer)
                    report.used.append(int(trace.data["tokens"].sum()))
                    if question.kind in LOCAL and segments > 1:
                        flags = np.isin(np.arange(segments), question.evidence)
                        report.auc.append(auc(trace.data["relevance"].values, flags))
            path.unlink()
    return report


def main() -> None:
    """Print a report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--segments", type=int, nargs="+", default=[8])
    parser.add_argument("--videos", type=int, default=40)
    parser.add_argument("--budget", type=int, default=8, help="memory tokens a segment")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strategy", default="head")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    asked = parser.parse_args()
    tempo = tl.load(asked.model)
    for segments in asked.segments:
        report = evaluate(
            tempo,
            videos=asked.videos,
            segments=segments,
            budget=asked.budget,
            seed=asked.seed,
            strategy=asked.strategy,
            kinds=tuple(asked.kinds),
        )
        row = {"model": asked.model, "segments": segments, "budget": asked.budget * segments}
        print(json.dumps({**row, "strategy": asked.strategy, **report.to_dict()}))


if __name__ == "__main__":
    main()
