"""Units that are parts of the pictures of one segment: frame pairs, and patches."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tempo_lab.analysis.attribution.masked_forward import MaskedOutput, Passes
from tempo_lab.analysis.attribution.units import Embedded, Place, stays

if TYPE_CHECKING:
    import torch

GRAY = 128
"""Of 255: normalised, it is as near to nothing as a pixel can be."""


class Visual(Embedded):
    """Parts of the pictures of one segment; the SVLM reads it again without them."""

    baselines: ClassVar = {
        "gray": "pixels become gray",
        "mean": "visual features become their mean over the segment",
        "blur": "pixels are blurred over an eighth of the picture",
        "zero": "visual features become zero",
    }
    reads = ("relevance", "answer")
    smooth = ("mean", "zero", "gray", "blur")

    def __init__(self, passes: Passes, baseline: str, reads: str) -> None:
        import torch

        self.passes, self.baseline, self.target_reads = passes, baseline, reads
        picture = passes.picture
        where = picture.video.positions("vision")
        # pair, row and column of each visual token, which stands for merge x merge patches
        self.at = np.stack(
            [getattr(picture.video, axis)[where] for axis in ("index", "row", "column")]
        )
        self.merged = picture.grid.merge**2
        self.patches = picture.patches
        self.other = picture.blurred if baseline == "blur" else torch.full_like(self.patches, GRAY)
        self._ends: tuple[torch.Tensor, torch.Tensor] | None = None

    def ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        if self._ends is None:
            whole = self.passes.see(self.patches[None])
            if self.baseline in ("gray", "blur"):
                none = self.passes.see(self.other[None])
            else:
                mean = whole.mean(dim=1, keepdim=True).expand_as(whole)
                none = mean if self.baseline == "mean" else 0 * whole
            self._ends = whole, none
        return self._ends

    def outcome(self, masks: torch.Tensor) -> MaskedOutput:
        alive = stays(masks.cpu(), self.groups)
        if self.baseline in ("gray", "blur"):
            pixels = alive.repeat_interleave(self.merged, dim=1)[..., None]
            return self.outcome_of(self.passes.see(self.patches.where(pixels, self.other)))
        whole, none = self.ends()
        return self.outcome_of(whole.where(alive[..., None, None].to(whole.device), none))

    def outcome_of(self, embeddings: torch.Tensor) -> MaskedOutput:
        import torch

        states = self.passes.read(embeddings)
        if self.target_reads == "relevance":
            return MaskedOutput(self.passes, torch.stack([state.logit for state in states]))
        memory = self.passes.write(states)
        return MaskedOutput(self.passes, None, memory, [self.passes.trace.question] * len(memory))


class Pairs(Visual):
    """Frame pairs of one segment: two frames are one temporal patch."""

    def __init__(self, passes: Passes, baseline: str, reads: str) -> None:
        import torch

        super().__init__(passes, baseline, reads)
        self.groups = torch.from_numpy(self.at[0])
        seconds = passes.picture.seconds
        self.labels = [f"pair {pair}" for pair in range(len(seconds))]
        self.places = {
            "pair": Place(np.arange(len(seconds)), "1", "number of the frame pair"),
            "start": Place(seconds[:, 0], "s", "on the sampled clock"),
            "end": Place(seconds[:, 1], "s", "on the sampled clock"),
        }


class Patches(Visual):
    """Merged patches of one segment: frame pair x row x column, as the SVLM's text model reads."""

    def __init__(self, passes: Passes, baseline: str, reads: str) -> None:
        import torch

        super().__init__(passes, baseline, reads)
        self.groups = torch.arange(self.at.shape[1])
        self.labels = [f"pair {p}, row {r}, column {c}" for p, r, c in self.at.T]
        self.places = {
            name: Place(values, "1", f"number of the {name.replace('_', ' ')}")
            for name, values in zip(("pair", "patch_row", "patch_column"), self.at, strict=True)
        }
