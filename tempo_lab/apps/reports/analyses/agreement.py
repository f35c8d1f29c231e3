"""The control of the agreement table: rankings of two questions about one video. No torch."""

from __future__ import annotations

import numpy as np

from tempo_lab.analysis.compare import Comparison
from tempo_lab.common.statistics import Estimate, bootstrap_mean, spearman


def of_the_first_alone(segments: int) -> float:
    """Rank correlation that is to be expected of two rankings with the same first, and no more.

    Of centred ranks, the first gives ((n - 1) / 2)^2, and the others, in any order, their mean
    -1/2 each: n (n - 1) / 4 of the n (n^2 - 1) / 12 that equal rankings have.

    >>> of_the_first_alone(2)
    1.0
    """
    return 3 / (segments + 1)


def mismatched(result: Comparison, seed: int = 0) -> dict[str, Estimate]:
    """How well one measure of a question agrees with the other measure of another question.

    What two measures have in common whatever is asked (places that stand out) is in this too; only
    what is left after it is taken away is about the question.

    Args:
        result: of several questions about each video.
        seed: of the intervals, which resample videos.

    Returns:
        by quantity: of each pair of measures "rank correlation, other question", and the paired
        difference, "rank correlation less other question". NaN where videos have one question.
    """
    data = result.data
    videos = np.array([str(made.get("video_digest", "")) for made in result.provenance["traces"]])
    trace = data["trace"].to_numpy()
    rows = [np.flatnonzero(trace == number) for number in range(len(videos))]
    found: dict[str, Estimate] = {}
    for pair in map(str, data["pair"].to_numpy()):
        one, other = (data[f"{name}_rank"].to_numpy() for name in pair.split(", "))
        own, control = np.full((2, len(videos)), np.nan)
        for number, here in enumerate(rows):
            own[number] = spearman(one[here], other[here])
            theirs = [
                float(spearman(one[here], other[rows[o]]))
                for o in np.flatnonzero(videos == videos[number])
                if o != number
            ]
            control[number] = np.mean(theirs) if theirs else np.nan
        for told, values in (("", control), (" less", own - control)):
            name = f"rank correlation{told or ','} other question, {pair}"
            found[name] = bootstrap_mean(values, videos, seed=seed)
    return found
