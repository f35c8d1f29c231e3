"""The result of front-loading: curves over kept tokens, their knees and the area between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.result import Quantity, Result, with_interval
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
"""Unit and meaning by name. More is better, except for "kl"."""
STAGES = ("memory", "projected")
"""Memory tokens as the SVLM computes them, and after the projector, as the LLM reads them."""


def _curves() -> dict[str, Quantity]:
    quantities: dict[str, Quantity] = {}
    for name, (units, meaning) in MEASURES.items():
        quantities |= with_interval(name, ("arm", "k"), units, meaning)
        quantities[f"{name}_each"] = Quantity(("question", "arm", "k"), units, meaning)
        knee = f"tokens at the knee of the head's {name}"
        quantities[f"{name}_knee"] = Quantity((), "token", knee)
        area = f"area between head and tail in {name}"
        quantities |= with_interval(f"{name}_area", (), "1", area)
    return quantities


@dataclass(frozen=True, eq=False, repr=False)
class FrontLoading(Result):
    """What k memory tokens of each segment carry, for several choices of k. See `front_loading`.

    The curves "accuracy", "logprob" and "kl" are [arm, k]. `_low` and `_high` are the interval of
    the mean over questions when videos are resampled, and `_each` is the curve by question. (In the
    difference of two results, `_low` and `_high` are differences, too, and not an interval; `lead`
    is correct there as well.) Arms are "head", "tail", "random", "tome", and the control "other
    question". `numbers()` has, for each measure:

    * `_knee`: where the head's curve is furthest above the chord from its first point to its last
      (Satopaa et al. 2011, without smoothing); NaN if it does not rise, or is never above.
    * `_area`: the area between head and tail, averaged over k, divided by how far the worse of the
      two is, at the smallest k, below the value with all tokens. 0: both carry the same; 1: the
      head carries everything at the smallest k, and the tail nothing before the last k; negative:
      the tail carries more; NaN: more tokens are not better. The divisor is fixed in the interval.

    By slot: `attention_share` of the LLM, `norm`, `similarity`, and `effective_rank` of the slots
    up to it, at the stages "memory" (from the SVLM) and "projected" (as the LLM reads them).
    """

    QUANTITIES: ClassVar = {
        **_curves(),
        "text": Quantity(("question",), "", "the question"),
        "kind": Quantity(("question",), "", "its kind"),
        "video": Quantity(("question",), "", "its video"),
        "other": Quantity(("question",), "", "the question that the control compresses for"),
        **with_interval(
            "attention_share", ("slot",), "1", "share of the LLM's attention to memory tokens"
        ),
        "attention_by_layer": Quantity(
            ("llm_layer", "slot"), "1", "share of one layer's attention to memory tokens"
        ),
        "attention_to_memory": Quantity((), "1", "attention to all memory tokens"),
        "norm": Quantity(("stage", "slot"), "1", "norm of the memory token"),
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
        """K, the number of memory tokens per segment."""
        return self.data.sizes["slot"]

    def lead(self, measure: str = "accuracy", over: str = TAIL, *, seed: int = 0) -> pd.DataFrame:
        """Return by how much the head is better than another arm: the paired difference, by k.

        Args:
            measure: "accuracy", "logprob" or "kl". Less is better for "kl"; a positive number is a
                lead there, too.
            over: the other arm.
            seed: the seed of the bootstrap.

        Returns:
            a table with the columns k, lead, low, high.

        Raises:
            TraceError: there is no such measure or arm.
        """
        import pandas as pd

        check_name(measure, MEASURES, "measure")
        check_name(over, [str(arm) for arm in self.data["arm"].to_numpy()], "arm")
        each = better(measure, self.data[f"{measure}_each"])
        leads = (each.sel(arm=HEAD) - each.sel(arm=over)).to_numpy()  # [question, k]
        rows = []
        for k, values in zip(self.data["k"].to_numpy(), leads.T, strict=True):
            # most arms have the same tokens at k = K: that difference is not random
            bounds = DIFFERENCE if measure == "accuracy" and k < self.slots else None
            mean = bootstrap_mean(values, self.data["video"], seed=seed, bounds=bounds)
            rows.append((k, mean.value, mean.low, mean.high))
        return pd.DataFrame(rows, columns=["k", "lead", "low", "high"])

    def by_slot(self) -> pd.DataFrame:
        """Return a table of similarity to the previous slot, one row per slot and stage."""
        data, similarity = self.data, self.data["similarity"].to_numpy()
        before = np.full(similarity.shape[:2], np.nan)
        before[:, 1:] = np.diagonal(similarity, offset=1, axis1=1, axis2=2)
        names = ["norm", "effective_rank", "attention_share"]
        table = data[names].assign(similarity_to_last=(("stage", "slot"), before))
        return table.to_dataframe(dim_order=["stage", "slot"]).reset_index()


def check_name(name: str, known: Iterable[str], what: str) -> None:
    """Refuse an unknown name.

    Raises:
        TraceError: the name is unknown; the message suggests a similar one.
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
    """Return the values with the sign for which more is better."""
    return -values if measure == "kl" else values


def knee(k: np.ndarray, curve: np.ndarray) -> float:
    """Return where a rising curve is furthest above its chord: Kneedle without smoothing.

    Both axes are scaled to 0..1 by the first and the last point (Satopaa et al., "Finding a
    Kneedle in a haystack", 2011).

    Args:
        k: [point], ascending.
        curve: [point]; more is better.

    Returns:
        one of `k`; NaN for fewer than three points, for a curve whose end is not above its start,
        and for a curve that is nowhere above the chord.

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
    """Return the area between two sets of curves, and its interval when videos are resampled.

    Args:
        k: [point], ascending.
        head, tail: [question, point]; more is better, and the last points are the same.
        video: [question].
        seed: the seed of the bootstrap.

    Returns:
        the area divided by the range of k and by how far the worse start is below the end, mean
        over questions; NaN if both start above the end.
    """
    span = head[:, -1].mean() - min(head[:, 0].mean(), tail[:, 0].mean())
    if not span > 0:
        return (float("nan"),) * 3
    between = np.trapezoid(head - tail, k, axis=1) / (k[-1] - k[0])
    mean = bootstrap_mean(between, video, seed=seed)
    return mean.value / span, mean.low / span, mean.high / span


def effective_rank(tokens: np.ndarray) -> np.ndarray:
    """Return the effective rank of the first 1, 2, ... tokens: exp(entropy of their spectrum).

    The spectrum is the squared singular values divided by their sum. (Roy and Vetterli 2007 use
    the singular values themselves; squared, each direction counts by its energy.) Tokens are not
    centered. The rank is between 1 (all on one line) and the number of tokens (orthogonal, equally
    long).

    Args:
        tokens: [..., slot, hidden].

    Returns:
        float [..., slot]; NaN if all tokens up to the slot are zero.

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
    """Return cosine similarities, [..., slot, hidden] -> [..., slot, other_slot]."""
    lengths = np.linalg.norm(tokens, axis=-1, keepdims=True)
    unit = tokens / np.maximum(lengths, 1e-12)
    return unit @ unit.swapaxes(-1, -2)
