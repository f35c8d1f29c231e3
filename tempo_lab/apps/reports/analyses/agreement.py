"""The control of the agreement table: rankings for two questions about one video. No torch."""

from __future__ import annotations

import numpy as np

from tempo_lab.analysis.compare import Comparison
from tempo_lab.common.statistics import Estimate, bootstrap_mean, spearman


def correlation_of_shared_first(segments: int) -> float:
    """Return the rank correlation expected of two rankings that share only their first segment.

    Of centered ranks, the first gives ((n - 1) / 2)^2, and the others, in any order, their mean
    -1/2 each: n (n - 1) / 4 of the n (n^2 - 1) / 12 that equal rankings have.

    >>> correlation_of_shared_first(2)
    1.0
    """
    return 3 / (segments + 1)


def cross_question_agreement(result: Comparison, seed: int = 0) -> dict[str, Estimate]:
    """Return how well one measure of a question agrees with another measure of another question.

    What two measures share for every question (segments that stand out) is part of this
    correlation. Only the rest of the correlation is about the question.

    Args:
        result: several questions about each video.
        seed: seed of the intervals, which resample videos.

    Returns:
        estimates by quantity: for each pair of measures "rank correlation, other question", and
        the paired difference, "rank correlation minus other question". NaN where videos have one
        question.
    """
    data = result.data
    videos = np.array([str(run.get("video_digest", "")) for run in result.provenance["traces"]])
    trace = data["trace"].to_numpy()
    rows = [np.flatnonzero(trace == number) for number in range(len(videos))]
    estimates: dict[str, Estimate] = {}
    for pair in map(str, data["pair"].to_numpy()):
        first, second = (data[f"{name}_rank"].to_numpy() for name in pair.split(", "))
        own, control = np.full((2, len(videos)), np.nan)
        for number, own_rows in enumerate(rows):
            own[number] = spearman(first[own_rows], second[own_rows])
            others = [
                float(spearman(first[own_rows], second[rows[other]]))
                for other in np.flatnonzero(videos == videos[number])
                if other != number
            ]
            control[number] = np.mean(others) if others else np.nan
        for joined, values in ((",", control), (" minus", own - control)):
            name = f"rank correlation{joined} other question, {pair}"
            estimates[name] = bootstrap_mean(values, videos, seed=seed)
    return estimates
