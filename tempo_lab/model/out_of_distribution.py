"""Detect videos that are out of distribution: unlike the videos that a model was trained on.

A small model answers questions about any video, and the answer does not show that the video is out
of distribution. Its checkpoint may therefore contain statistics of the visual features of its
training frames: their mean, their covariance, and limits.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from tempo_lab.common.errors import UnfamiliarVideoWarning

QUANTILE = 0.999
"""Share of the training frames within each limit. The score of a video is the median of its frames:
0.7 of the limit for videos of nano's world, 1.2 and more for photographs."""

MIN_VARIANCE = 1e-4
"""Lower bound on the variance of a direction, relative to the largest one: below it, features in
bfloat16 contain only rounding."""


class FeatureStatistics(nn.Module):
    """Statistics of the frames that a model was trained on.

    The vision tower encodes frames in pairs. Two values of a pair's visual tokens count: their mean
    and their standard deviation, because a black image may have the mean of a starry sky.

    Args:
        width: width of the visual features.
    """

    mean: Tensor
    whiten: Tensor
    limits: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("whiten", torch.eye(width))
        # maximum distance, minimum spread
        self.register_buffer("limits", torch.tensor([1.0, 0.0]))

    @classmethod
    def of(cls, features: Tensor) -> FeatureStatistics:
        """Return the statistics of the features of training frames [pair, token, width]."""
        features = features.float()
        statistics = cls(features.shape[-1])
        pooled = features.mean(1)
        values, vectors = torch.linalg.eigh(torch.cov(pooled.T))
        statistics.mean = pooled.mean(0)
        statistics.whiten = vectors / values.clamp(min=MIN_VARIANCE * float(values.max())).sqrt()
        distance, spread = statistics._measure(features)
        furthest, least = torch.quantile(distance, QUANTILE), torch.quantile(spread, 1 - QUANTILE)
        statistics.limits = torch.stack([furthest, least])
        return statistics

    def _measure(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance from the training frames in standard deviations, and the spread."""
        whitened = (features.mean(1) - self.mean.float()) @ self.whiten.float()
        return whitened.square().mean(-1).sqrt(), features.std(1).mean(-1)

    def ood_score(self, features: Tensor) -> Tensor:
        """Return the out-of-distribution score of each pair of frames [pair].

        A score above 1 is beyond the limits of the training frames.

        Args:
            features: visual features [pair, token, width].
        """
        distance, spread = self._measure(features.float())
        furthest, least = self.limits.float()
        return torch.maximum(distance / furthest, least / spread.clamp(min=1e-6))


class OODMonitor:
    """Computes a video's out-of-distribution score while the video is encoded.

    Args:
        statistics: statistics of the model's training frames; None if its checkpoint has none.

    Attributes:
        silent: whether `warn` does nothing, because the warnings of each trace are shown.
    """

    def __init__(self, statistics: FeatureStatistics | None) -> None:
        self.statistics, self.silent = statistics, False
        self._scores: dict[int, Tensor] = {}
        self._warned = False

    def add(self, segment: int, merged: Tensor, pairs: int) -> None:
        """Add the scores of some segments; segments that were added before are skipped.

        Args:
            segment: number of the first segment.
            merged: visual features [segment, token, width].
            pairs: pairs of frames per segment.
        """
        if self.statistics is not None and segment not in self._scores:
            features = merged.unflatten(1, (pairs, -1)).flatten(0, 1)
            self._scores[segment] = self.statistics.ood_score(features).cpu()

    @property
    def ood_score(self) -> float | None:
        """Median score of all pairs of frames so far; None without frames or statistics."""
        if not self._scores:
            return None
        return round(float(torch.cat(list(self._scores.values())).median()), 3)

    @property
    def provenance(self) -> dict[str, float]:
        """The score as a trace's provenance has it; the key is that of earlier versions."""
        score = self.ood_score
        return {} if score is None else {"strangeness": score}

    def warnings(self, model: str, path: str | Path) -> list[str]:
        """Return the warning about a video that is out of distribution; an empty list otherwise.

        Args:
            model: name or folder of the model.
            path: path of the video. Only the last part of both is named, because traces are shared.
        """
        score = self.ood_score
        if score is None or score <= 1:
            return []
        return [
            f"{Path(path).name} does not look like the videos that {Path(model).name} was trained "
            f"on (out-of-distribution score {score:.2f}; up to 1.00 is usual): the model's answers "
            "mean nothing here. Make a video of its world with `tempo-lab world make`, or load a "
            "larger model."
        ]

    def warn(self, model: str, path: str | Path, stacklevel: int = 2) -> None:
        """Issue these warnings once per video; the trace of each answer has them, too.

        Args:
            model, path: as in `warnings`.
            stacklevel: as in `warnings.warn`, relative to the caller.
        """
        texts = [] if self.silent else self.warnings(model, path)
        if not self._warned:
            for text in texts:
                warnings.warn(text, UnfamiliarVideoWarning, stacklevel=stacklevel + 1)
        self._warned |= bool(texts)
