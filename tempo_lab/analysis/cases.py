"""Cases: questions about opened videos, with what is known to be true."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.scoring import same_answer
from tempo_lab.analysis.validation import check_traces
from tempo_lab.common.errors import TempoLabError, TraceError
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.tables import NEEDLES
from tempo_lab.nano import world
from tempo_lab.nano.world import NEEDLE, draw_questions, draw_scene, reworded
from tempo_lab.nano.world.seeds import NOTEBOOKS, Purpose

if TYPE_CHECKING:
    from tempo_lab.nano.world import Question, Scene
    from tempo_lab.session.session import Session
    from tempo_lab.session.tempo import Tempo
    from tempo_lab.trace.trace import Trace


@dataclass(frozen=True, eq=False)
class Case:
    """One question about one opened video, and the truth.

    Attributes:
        session: the video, opened with a model.
        question: its words.
        answer: the right one.
        evidence: bool [segment], which segments hold what is needed to answer.
        kind: of question.
        video: a name; what is asked about one video is resampled together.
        score: how right an answer is, 0 to 1; by default 1 for the same answer (`same_answer`).
        group: of questions, for tables; by default their kind.

    Raises:
        TraceError: evidence that has not one entry a segment.
        QueryError: a question that is no text.
    """

    session: Session
    question: str
    answer: str
    evidence: np.ndarray
    kind: str = ""
    video: str = ""
    score: Callable[[str], float] | None = None
    group: str = ""

    def __post_init__(self) -> None:
        from tempo_lab.session.validation import check_texts

        check_texts(self.question, ())
        evidence = check_truth(self.evidence, len(self.session))
        object.__setattr__(self, "evidence", evidence)
        object.__setattr__(self, "group", self.group or self.kind)
        if not self.video:
            object.__setattr__(self, "video", str(self.session.video.info.path))

    def scored(self, given: str) -> float:
        """How right an answer is, 0 to 1."""
        return (self.score or same_answer(self.answer))(given)


def case_of(session: Session, question: Question, video: str = "") -> Case:
    """A question of the world as a case; kinds about one segment are one group."""
    evidence = np.isin(np.arange(len(session)), question.evidence)
    kind, score = question.kind, question.score
    group = NEEDLES if kind in NEEDLE else kind
    return Case(session, question.text, question.answer, evidence, kind, video, score, group)


@dataclass(frozen=True, eq=False)
class WorldVideo:
    """A held-out video of the procedural world, opened, and everything that is in it.

    Attributes:
        session: opened with a model.
        scene: what the video shows.
        seed: of the scene, and of the questions about it.
    """

    session: Session
    scene: Scene
    seed: int

    def cases(self, questions: int, kinds: Sequence[str] | None = None) -> list[Case]:
        """Questions about it, none twice. Each draws one of the wordings of its kind; of these, the
        last one is never shown in training.

        Args:
            questions: how many; fewer where it cannot be asked so much.
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
    purpose: Purpose = NOTEBOOKS,
) -> Iterator[list[WorldVideo]]:
    """Held-out videos of the procedural world, made, opened, and removed again.

    Args:
        tempo: the model.
        seed: of the videos; every seed has its own.
        videos: how many.
        segments: length of each.
        progress: show a progress bar.
        purpose: what they are for; see `tempo_lab.nano.world.seeds`.

    Raises:
        TempoLabError: no such seed, or more videos than a seed has.
    """
    from tqdm.auto import tqdm

    scenes = purpose.seeds(seed)
    if not 1 <= videos <= len(scenes):
        raise TempoLabError(
            "there are not so many videos of one seed",
            asked=f"videos={videos}",
            found=f"1 to {len(scenes)}",
            fix="several seeds",
        )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        opened: list[WorldVideo] = []
        for here in tqdm(scenes[:videos], desc="videos", disable=not progress):
            scene = draw_scene(here, segments, held_out=True)
            path = world.write_video(scene, folder / f"world-{here}.mp4")
            session = stack.enter_context(tempo.open(path, progress=False))
            opened.append(WorldVideo(session, scene, here))
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
    """Cases about held-out videos of the procedural world, made, opened, and removed again.

    Args:
        tempo: the model.
        seed: of the videos and questions.
        videos: how many.
        segments: length of each.
        questions: a video.
        kinds: of questions (`tempo_lab.nano.world.KINDS`); by default those about one segment.

    Yields:
        videos x questions cases at most; fewer where a video cannot be asked so much.
    """
    with world_videos(tempo, seed=seed, videos=videos, segments=segments) as opened:
        yield [case for video in opened for case in video.cases(questions, kinds)]


def check_truth(truth: Sequence[bool] | np.ndarray, segments: int) -> np.ndarray:
    """The truth as bool [segment].

    Raises:
        TraceError: not one entry a segment, or not true and false.
    """
    array = np.asarray(truth)
    if array.shape != (segments,) or not np.isin(array, (0, 1)).all():
        raise TraceError(
            "truth says of each segment whether it holds the evidence",
            asked=f"{segments} segments",
            found=f"{array.dtype} of shape {array.shape}",
            fix="bool [segment]; numpy.isin(range(n), numbers) makes it from numbers, "
            "tempo_lab.analysis.within(trace, spans) from seconds",
        )
    return array.astype(bool)


def within(trace: Trace, spans: Sequence[tuple[float, float]]) -> np.ndarray:
    """Which segments overlap spans of time, bool [segment]: LVBench's time references, say.

    Segments and spans are half-open: (8, 12) does not reach the segment that begins at 12. A moment
    (8, 8) is in the one segment that holds it.

    Args:
        trace: of the video.
        spans: (first, last) in seconds, on the clock of the trace's `start` and `end`.

    Raises:
        TraceError: something else than a trace or such pairs, an end before its beginning, or a
            span outside of the video.
    """
    check_traces(trace)
    start, end = trace.data["start"].to_numpy(), trace.data["end"].to_numpy()
    try:
        pairs = np.asarray(spans, dtype=float)
    except (TypeError, ValueError):
        pairs = np.empty(0)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise TraceError(
            "spans are pairs of seconds",
            asked=one_line(repr(spans), 120),
            fix="a list of (first, last), as [(32.0, 36.0)]",
        )
    truth = np.zeros(len(start), dtype=bool)
    for first, last in pairs:
        if not first <= last:
            raise TraceError("a span ends before it begins", asked=f"{first:g} to {last:g} s")
        here = (end > first) & ((start < last) | (start <= first))
        if not here.any():
            raise TraceError(
                "a span lies outside of the video",
                asked=f"{first:g} to {last:g} s",
                found=f"a video from {start[0]:g} to {end[-1]:g} s",
                fix="seconds from the beginning of the video",
            )
        truth |= here
    return truth
