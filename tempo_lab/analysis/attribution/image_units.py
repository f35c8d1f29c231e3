"""Units that are parts of the frames of one segment: frame pairs and patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tempo_lab.analysis.attribution.masked_forward import MaskedForward, MaskedOutput
from tempo_lab.analysis.attribution.units import EmbeddedUnits, UnitCoordinate, mask_tokens

if TYPE_CHECKING:
    import torch

GRAY = 128
"""Of 255: the pixel value that is closest to zero after normalization."""


class ImageUnits(EmbeddedUnits):
    """Parts of the frames of one segment; the SVLM reads the segment again without them."""

    baselines: ClassVar = {
        "gray": "pixels become gray",
        "mean": "visual features become their mean over the segment",
        "blur": "pixels are blurred over an eighth of the picture",
        "zero": "visual features become zero",
    }
    reads = ("relevance", "answer")
    path_baselines = ("mean", "zero", "gray", "blur")

    def __init__(self, forward: MaskedForward, baseline: str, reads: str) -> None:
        import torch

        self.forward, self.baseline, self.target_reads = forward, baseline, reads
        segment_input = forward.segment_input
        where = segment_input.video.positions("vision")
        video = segment_input.video
        # pair, row and column of each visual token, which merges merge x merge patches
        self.at = np.stack([axis[where] for axis in (video.index, video.row, video.column)])
        self.merged = segment_input.grid.merge**2
        self.patches = segment_input.patches
        gray = torch.full_like(self.patches, GRAY)
        self.replacement = segment_input.blurred if baseline == "blur" else gray
        self._ends: tuple[torch.Tensor, torch.Tensor] | None = None

    def ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._ends is None:
            whole = self.forward.encode_vision(self.patches[None])
            if self.baseline in ("gray", "blur"):
                none = self.forward.encode_vision(self.replacement[None])
            else:
                mean = whole.mean(dim=1, keepdim=True).expand_as(whole)
                none = mean if self.baseline == "mean" else 0 * whole
            self._ends = whole, none
        return self._ends

    def output(self, masks: torch.Tensor) -> MaskedOutput:
        alive = mask_tokens(masks.cpu(), self.groups)
        if self.baseline in ("gray", "blur"):
            pixels = alive.repeat_interleave(self.merged, dim=1)[..., None]
            return self.output_of(
                self.forward.encode_vision(self.patches.where(pixels, self.replacement))
            )
        whole, none = self.ends()
        return self.output_of(whole.where(alive[..., None, None].to(whole.device), none))

    def output_of(self, embeddings: torch.Tensor) -> MaskedOutput:
        import torch

        states = self.forward.prefill(embeddings)
        if self.target_reads == "relevance":
            return MaskedOutput(self.forward, torch.stack([state.logit for state in states]))
        memory = self.forward.memory_tokens(states)
        return MaskedOutput(self.forward, None, memory, [self.forward.trace.question] * len(memory))


class PairUnits(ImageUnits):
    """Frame pairs of one segment: two frames are one temporal patch."""

    def __init__(self, forward: MaskedForward, baseline: str, reads: str) -> None:
        import torch

        super().__init__(forward, baseline, reads)
        self.groups = torch.from_numpy(self.at[0])
        seconds = forward.segment_input.seconds
        self.labels = [f"pair {pair}" for pair in range(len(seconds))]
        self.coordinates = {
            "pair": UnitCoordinate(np.arange(len(seconds)), "1", "number of the frame pair"),
            "start": UnitCoordinate(seconds[:, 0], "s", "on the sampled clock"),
            "end": UnitCoordinate(seconds[:, 1], "s", "on the sampled clock"),
        }


class PatchUnits(ImageUnits):
    """Merged patches of one segment: frame pair x row x column, as the SVLM's text model reads."""

    def __init__(self, forward: MaskedForward, baseline: str, reads: str) -> None:
        import torch

        super().__init__(forward, baseline, reads)
        self.groups = torch.arange(self.at.shape[1])
        self.labels = [f"pair {p}, row {r}, column {c}" for p, r, c in self.at.T]
        self.coordinates = {
            name: UnitCoordinate(values, "1", f"number of the {name.replace('_', ' ')}")
            for name, values in zip(("pair", "patch_row", "patch_column"), self.at, strict=True)
        }
