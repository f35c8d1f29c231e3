"""Facility location: rank segments by how well they stand for the whole video. numpy only.

A baseline that reads the frames but not the question. The value of a set of segments is the sum,
over all segments of the video, of the similarity to the most similar segment of the set. Adding the
best segment again and again gives at least 1 - 1/e of the best value that a set of that size can
have (Nemhauser, Wolsey and Fisher 1978, "An analysis of approximations for maximizing submodular
set functions").
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def facility_location(features: npt.ArrayLike) -> np.ndarray:
    """Return the segments in the order in which the greedy algorithm adds them, int [segment].

    Args:
        features: [segment, hidden], one vector per segment; similarity is their cosine.

    >>> facility_location([[1, 0], [1, 0.1], [0, 1]]).tolist()
    [1, 2, 0]
    """
    vectors = np.asarray(features, float)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
    similarity = unit @ unit.T  # [segment, candidate]
    best = np.full(len(unit), -1.0)  # each segment's similarity to the set; -1 is the lowest cosine
    left, order = list(range(len(unit))), []
    while left:
        gains = np.maximum(similarity[:, left], best[:, None]).sum(axis=0)
        chosen = left.pop(int(gains.argmax()))
        best = np.maximum(best, similarity[:, chosen])
        order.append(chosen)
    return np.array(order, dtype=np.int64)
