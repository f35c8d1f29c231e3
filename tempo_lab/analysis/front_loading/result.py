"""What front-loading is measured by: curves over kept tokens, their knee, the area between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.common.errors import TraceError, did_you_mean
from tempo_lab.common.statistics import DIFFERENCE, bootstrap_mean

if TYPE_CHECKING:
    import pandas as pd

V = TypeVar("V", np.ndarray, xr.DataArray)
HEAD, TAIL, RANDOM, TOME, CONTROL = "head", "tail", "random", "tome", "other question"
MEASURES = {
    "accuracy": ("1", "how right the answer is"),
    "logprob": ("nat", "log-probability of the right answer"),
    "kl": ("nat", "KL divergence from the answer with all tokens, mean over its tokens"),
}
"""Of each: unit, meaning. More is better, but for "kl"."""
STAGES = ("memory", "projected")
"""Memory tokens as the SVLM writes them, and as the LLM reads them."""


def _curves() -> dict[str, Quantity]:
    found = {}
    for name, (units, meaning) in MEASURES.items():
        found[name] = Quantity(("arm", "k"), units, meaning)
        for end in ("low", "high"):
            found[f"{name}_{end}"] = Quantity(("arm", "k"), units, f"{end} end of {name}")
        found[f"{name}_each"] = Quantity(("question", "arm", "k"), units, meaning)
        found[f"{name}_knee"] = Quantity((), "token", f"tokens at the knee of the head's {name}")
        area = f"area between head and tail in {name}"
        found[f"{name}_area"] = Quantity((), "1", area)
        for end in ("low", "high"):
            found[f"{name}_area_{end}"] = Quantity((), "1", f"{end} end of the {area}")
    return found


@dataclass(frozen=True, eq=False, repr=False)
class FrontLoading(Result):
    """What k memory tokens of each segment carry, by which k they are. See `front_loading`.

    Curves [arm, k] for "accuracy", "logprob" and "kl", with `_low` and `_high`, the interval of
    the mean over questions when videos are resampled, and `_each` by question. (In the difference
    of two results the ends are differences too, and no interval; `lead` is right there as well.)
    Arms are "head", "tail", "random", "tome", and the control "other question". `numbers()` has of
    each:

    * `_knee`: where the head's curve is furthest above the chord from its first point to its last
      (Satopaa et al. 2011, without smoothing); NaN where it does not rise, or stays below.
    * `_area`: between head and tail, averaged over k, in units of what the worse of the two lacks
      at the smallest k, compared with all tokens. 0: both carry the same; 1: the head has
      everything at once, and the tail nothing before the end; negative: the tail carries more. NaN
      where more tokens are not better. The unit is held fixed in the interval.

    By slot: `attention_share` of the LLM, `norm`, `similarity`, and `effective_rank` of the slots
    up to it, at the stages "memory" (as written) and "projected" (as the LLM reads them).
    """

    QUANTITIES: ClassVar = {
        **_curves(),
        "text": Quantity(("question",), "", "the question"),
        "kind": Quantity(("question",), "", "its kind"),
        "video": Quantity(("question",), "", "its video"),
        "other": Quantity(("question",), "", "the question that the control compresses for"),
        "attention_share": Quantity(
            ("slot",), "1", "share of the LLM's attention to memory tokens"
        ),
        "attention_share_low": Quantity(("slot",), "1", "low end of attention_share"),
        "attention_share_high": Quantity(("slot",), "1", "high end of attention_share"),
        "attention_by_layer": Quantity(
            ("llm_layer", "slot"), "1", "share of one layer's attention to memory tokens"
        ),
        "attention_to_memory": Quantity((), "1", "attention that goes to memory tokens at all"),
        "norm": Quantity(("stage", "slot"), "1", "length of the memory token"),
        "similarity": Quantity(
            ("stage", "slot", "other_slot"), "1", "cosine of memory tokens of one segment"
        ),
        "effective_rank": Quantity(
            ("stage", "slot"), "dimension", "effective rank of the slots up to this one"
        ),
    }
    OPTIONAL: ClassVar = frozenset({"other"})
    TABLE: ClassVar = ("arm", "k")

    @property
    def slots(self) -> int:
        """K, memory tokens of a segment."""
        return self.data.sizes["slot"]

    def lead(self, measure: str = "accuracy", over: str = TAIL, *, seed: int = 0) -> pd.DataFrame:
        """How far the head is ahead of another arm: the paired difference, by k.

        Args:
            measure: "accuracy", "logprob", or "kl", of which less is better: there too a positive
                number is a lead.
            over: the other arm.
            seed: of the bootstrap.

        Returns:
            k, lead, low, high.

        Raises:
            TraceError: no such measure or arm.
        """
        check_name(measure, MEASURES, "measure")
        check_name(over, [str(arm) for arm in self.data["arm"].to_numpy()], "arm")
        each = better(measure, self.data[f"{measure}_each"])
        ahead = (each.sel(arm=HEAD) - each.sel(arm=over)).to_numpy()  # [question, k]
        ks = self.data["k"].to_numpy()
        means = []
        for k, one in zip(ks, ahead.T, strict=True):
            # all K tokens are the same ones in most arms: no chance is in that difference
            bounds = DIFFERENCE if measure == "accuracy" and k < self.slots else None
            means.append(bootstrap_mean(one, self.data["video"], seed=seed, bounds=bounds))
        return _frame(
            k=ks,
            lead=[mean.value for mean in means],
            low=[mean.low for mean in means],
            high=[mean.high for mean in means],
        )

    def by_slot(self) -> pd.DataFrame:
        """A row for each slot and stage; similarity is that to the slot before."""
        data, near = self.data, self.data["similarity"].to_numpy()
        before = np.full(near.shape[:2], np.nan)
        before[:, 1:] = np.diagonal(near, offset=1, axis1=1, axis2=2)
        names = ["norm", "effective_rank", "attention_share"]
        table = data[names].assign(similarity_to_last=(("stage", "slot"), before))
        return table.to_dataframe(dim_order=["stage", "slot"]).reset_index()


def _frame(**columns: object) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns)


def check_name(name: str, known: Iterable[str], what: str) -> None:
    """Refuse a name that is none.

    Raises:
        TraceError: it is not known; the nearest is named.
    """
    names = list(known)
    if name not in names:
        raise TraceError(
            f"there is no such {what}",
            asked=repr(name),
            found=", ".join(names),
            fix=did_you_mean(name, names, "use one of these"),
        )


def better(measure: str, values: V) -> V:
    """The values with a sign by which more is better."""
    return -values if measure == "kl" else values


def knee(k: np.ndarray, curve: np.ndarray) -> float:
    """Where a rising curve is furthest above its chord: Kneedle without smoothing.

    Both axes are brought to 0..1 by the first and the last point (Satopaa et al., "Finding a
    Kneedle in a haystack", 2011).

    Args:
        k: [point], ascending.
        curve: [point]; more is better.

    Returns:
        one of `k`; NaN for fewer than three points, a curve whose end is not above its start, and
        one that is nowhere above the chord.

    >>> knee(np.array([1, 2, 3, 4]), np.array([0.0, 0.9, 1.0, 1.0]))
    2.0
    """
    rise = curve[-1] - curve[0]
    if len(k) < 3 or not rise > 0:
        return float("nan")
    above = (curve - curve[0]) / rise - (k - k[0]) / (k[-1] - k[0])
    return float(k[above.argmax()]) if above.max() > 1e-12 else float("nan")


def area(
    k: np.ndarray, head: np.ndarray, tail: np.ndarray, video: np.ndarray, seed: int
) -> tuple[float, float, float]:
    """Area between two bundles of curves, and its interval when videos are resampled.

    Args:
        k: [point], ascending.
        head, tail: [question, point]; more is better, and the last points are the same.
        video: [question].
        seed: of the bootstrap.

    Returns:
        the area divided by the range of k and by what the worse start lacks of the end, in the mean
        over questions; NaN where both start above it.
    """
    span = head[:, -1].mean() - min(head[:, 0].mean(), tail[:, 0].mean())
    if not span > 0:
        return (float("nan"),) * 3
    between = np.trapezoid(head - tail, k, axis=1) / (k[-1] - k[0])
    mean = bootstrap_mean(between, video, seed=seed)
    return mean.value / span, mean.low / span, mean.high / span


def effective_rank(tokens: np.ndarray) -> np.ndarray:
    """Effective rank of the first 1, 2, ... tokens: exp of the entropy of their spectrum.

    The entropy is that of the squared singular values, divided by their sum. (Roy and Vetterli
    2007 take the singular values themselves; squared, each direction counts by its energy.)
    Nothing is centred. From 1 (all on one line) to the number of tokens (orthogonal, equally long).

    Args:
        tokens: [..., slot, hidden].

    Returns:
        float [..., slot]; NaN where all tokens up to there are zero.

    >>> effective_rank(np.eye(2)).round(3).tolist()
    [1.0, 2.0]
    """
    exact = np.asarray(tokens, np.float64)
    gram = exact @ exact.swapaxes(-1, -2)  # its eigenvalues are the squared singular values
    ranks = []
    for stop in range(1, gram.shape[-1] + 1):
        energy = np.linalg.eigvalsh(gram[..., :stop, :stop]).clip(0)
        total = energy.sum(axis=-1, keepdims=True)
        p = energy / np.where(total > 0, total, np.nan)
        entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)
        ranks.append(np.exp(entropy))
    return np.stack(ranks, axis=-1)


def cosines(tokens: np.ndarray) -> np.ndarray:
    """Cosine similarity of all pairs of tokens: [..., slot, hidden] -> [..., slot, other_slot]."""
    lengths = np.linalg.norm(tokens, axis=-1, keepdims=True)
    unit = tokens / np.maximum(lengths, 1e-12)
    return unit @ unit.swapaxes(-1, -2)
