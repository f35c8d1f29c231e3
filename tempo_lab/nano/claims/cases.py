"""Cases about held-out videos of the procedural world."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.progress import progress_bar
from tempo_lab.evaluation.cases import Case
from tempo_lab.nano import world
from tempo_lab.nano.claims.tables import NEEDLES
from tempo_lab.nano.world import NEEDLE, draw_questions, draw_scene, reworded
from tempo_lab.nano.world.seeds import NOTEBOOKS, Purpose

if TYPE_CHECKING:
    from tempo_lab.nano.world import Question, Scene
    from tempo_lab.session.session import Session
    from tempo_lab.session.tempo import Tempo


def case_of(session: Session, question: Question, video: str = "") -> Case:
    """Return a question of the world as a case; kinds about one segment are one group."""
    evidence = np.isin(np.arange(len(session)), question.evidence)
    kind, score = question.kind, question.score
    group = NEEDLES if kind in NEEDLE else kind
    return Case(session, question.text, question.answer, evidence, kind, video, score, group)


@dataclass(frozen=True, eq=False)
class WorldVideo:
    """An opened held-out video of the procedural world, and its scene.

    Attributes:
        session: opened with a model.
        scene: what the video shows.
        seed: of the scene, and of the questions about it.
    """

    session: Session
    scene: Scene
    seed: int

    def cases(self, questions: int, kinds: Sequence[str] | None = None) -> list[Case]:
        """Return different questions about it, each in a random wording of its kind.

        The last wording of a kind is never shown in training.

        Args:
            questions: how many; fewer if the scene does not have so many.
            kinds: of questions (`tempo_lab.nano.world.KINDS`); by default those about one segment.
        """
        segments = len(self.scene.segments)
        rng = np.random.default_rng([self.seed, segments])
        drawn = draw_questions(self.scene, rng, 4 * questions, tuple(kinds or NEEDLE))
        chosen = {question.text: question for question in drawn}
        name = f"world {self.seed}, {segments} segments"
        return [
            case_of(self.session, reworded(question, rng), name)
            for question in list(chosen.values())[:questions]
        ]


@contextmanager
def world_videos(
    tempo: Tempo,
    *,
    seed: int = 0,
    videos: int = 4,
    segments: int = 8,
    progress: bool = False,
    purpose: Purpose | None = None,
) -> Iterator[list[WorldVideo]]:
    """Make and open held-out videos of the procedural world; remove them at the end.

    Args:
        tempo: the model.
        seed: of the videos; each seed has its own.
        videos: how many.
        segments: length of each.
        progress: show a progress bar.
        purpose: what they are for, by default `NOTEBOOKS`; see `tempo_lab.nano.world.seeds`.

    Raises:
        TempoLabError: there is no such seed, or it has fewer videos.
    """
    scenes = (purpose or NOTEBOOKS).seeds(seed)
    if not 1 <= videos <= len(scenes):
        raise TempoLabError(
            "one seed has fewer videos",
            asked=f"videos={videos}",
            found=f"1 to {len(scenes)}",
            fix="use several seeds",
        )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        opened: list[WorldVideo] = []
        for number in progress_bar(scenes[:videos], desc="videos", disable=not progress):
            scene = draw_scene(number, segments, held_out=True)
            path = world.write_video(scene, folder / f"world-{number}.mp4")
            session = stack.enter_context(tempo.open(path, progress=False))
            opened.append(WorldVideo(session, scene, number))
        yield opened


@contextmanager
def world_cases(
    tempo: Tempo,
    *,
    seed: int = 0,
    videos: int = 4,
    segments: int = 8,
    questions: int = 4,
    kinds: Sequence[str] | None = None,
) -> Iterator[list[Case]]:
    """Make cases about held-out videos of the procedural world; remove the videos at the end.

    Args:
        tempo: the model.
        seed: of the videos and questions.
        videos: how many.
        segments: length of each.
        questions: per video.
        kinds: of questions (`tempo_lab.nano.world.KINDS`); by default those about one segment.

    Yields:
        videos x questions cases at most; fewer if a scene does not have so many.
    """
    with world_videos(tempo, seed=seed, videos=videos, segments=segments) as opened:
        yield [case for video in opened for case in video.cases(questions, kinds)]
