"""Whether a video looks like what a model was trained on.

A model of one small world answers about any video, and nothing in the answer says that it never saw
the like. Its checkpoint may therefore hold what the visual features of its training frames were:
their mean, their spread in all directions, and how far they went.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from tempo_lab.common.errors import UnfamiliarVideoWarning

EDGE = 0.999
"""Share of the training frames within each limit. A whole video is judged by its middle frame: 0.7
of the limit for videos of nano's world, 1.2 and more for photographs."""

THINNEST = 1e-4
"""Directions that vary less than this, of the one that varies most, count as if they varied so
much: what is left there in bfloat16 is rounding."""


class FeatureStatistics(nn.Module):
    """What is known of the frames that a model was trained on.

    Frames come in pairs, as the vision tower sees them. Of a pair's visual tokens the mean counts,
    and how much they differ: a black picture may have the mean of a starry sky, and no stars.

    Args:
        width: of the visual features.
    """

    mean: Tensor
    whiten: Tensor
    limits: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("whiten", torch.eye(width))
        self.register_buffer(
            "limits", torch.tensor([1.0, 0.0])
        )  # distance at most, spread at least

    @classmethod
    def of(cls, features: Tensor) -> FeatureStatistics:
        """Learn from the features of training frames [pair, token, width]."""
        features = features.float()
        familiar = cls(features.shape[-1])
        pooled = features.mean(1)
        values, vectors = torch.linalg.eigh(torch.cov(pooled.T))
        familiar.mean = pooled.mean(0)
        familiar.whiten = vectors / values.clamp(min=THINNEST * float(values.max())).sqrt()
        distance, spread = familiar._measure(features)
        furthest, least = torch.quantile(distance, EDGE), torch.quantile(spread, 1 - EDGE)
        familiar.limits = torch.stack([furthest, least])
        return familiar

    def _measure(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Distance from the training frames in standard deviations, and spread of the tokens."""
        away = (features.mean(1) - self.mean.float()) @ self.whiten.float()
        return away.square().mean(-1).sqrt(), features.std(1).mean(-1)

    def ood_score(self, features: Tensor) -> Tensor:
        """How unlike the training frames each pair of frames is [pair]; above 1 unlike all of them.

        Args:
            features: visual features [pair, token, width].
        """
        distance, spread = self._measure(features.float())
        furthest, least = self.limits.float()
        return torch.maximum(distance / furthest, least / spread.clamp(min=1e-6))


class OODMonitor:
    """A video's strangeness, gathered while it is read.

    Args:
        familiar: of the model; None where its checkpoint says nothing about its training frames.
    """

    def __init__(self, familiar: FeatureStatistics | None) -> None:
        self.familiar = familiar
        self._seen: dict[int, Tensor] = {}
        self._warned = False

    def add(self, segment: int, merged: Tensor, pairs: int) -> None:
        """Look at some segments once.

        Args:
            segment: number of the first.
            merged: visual features [segment, token, width].
            pairs: pairs of frames in a segment.
        """
        if self.familiar is not None and segment not in self._seen:
            features = merged.unflatten(1, (pairs, -1)).flatten(0, 1)
            self._seen[segment] = self.familiar.ood_score(features).cpu()

    @property
    def ood_score(self) -> float | None:
        """Of the middle one of all pairs of frames seen so far; None where nothing is known."""
        if not self._seen:
            return None
        return round(float(torch.cat(list(self._seen.values())).median()), 3)

    @property
    def provenance(self) -> dict[str, float]:
        """The strangeness, for a trace's provenance."""
        found = self.ood_score
        return {} if found is None else {"strangeness": found}

    def warnings(self, model: str, path: str | Path) -> list[str]:
        """What to say about a video that is unlike the training frames; nothing about others.

        Args:
            model: name or folder of the model.
            path: of the video. Only the last part of either is named: traces are passed on.
        """
        strangeness = self.ood_score
        if strangeness is None or strangeness <= 1:
            return []
        return [
            f"{Path(path).name} does not look like the videos that {Path(model).name} was trained "
            f"on (strangeness {strangeness:.2f}; up to 1.00 is usual): the model's answers mean "
            "nothing here. Make a video of its world with `tempo-lab world make`, or load a larger "
            "model."
        ]

    def warn(self, model: str, path: str | Path, stacklevel: int = 2) -> None:
        """Give these warnings as Python's, once per video; each answer's trace has them.

        Args:
            model, path: as of `warnings`.
            stacklevel: as of `warnings.warn`, seen from the caller.
        """
        said = self.warnings(model, path)
        if not self._warned:
            for text in said:
                warnings.warn(text, UnfamiliarVideoWarning, stacklevel=stacklevel + 1)
        self._warned |= bool(said)
