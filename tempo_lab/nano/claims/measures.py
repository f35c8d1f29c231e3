"""What is measured of the embedded model: a mean or a difference with its interval, by name."""

from __future__ import annotations

from dataclasses import asdict

import pandas as pd

from tempo_lab.allocation.arms import ALL, NOISY, PRIOR, ata, quarter
from tempo_lab.common.statistics import Estimate
from tempo_lab.evaluation.tables import contrast, estimate, paired_difference
from tempo_lab.nano.claims.plan import BEFORE, LOADED_KINDS, MAIN, PLAIN
from tempo_lab.nano.claims.tables import NEEDLES

FRONT_LOADING_SEGMENTS = 8
FIRST_SHARE = 0.8
"""Share of the score with all tokens that the score with the first token is compared with."""

GROUPS = {
    "needle": NEEDLES,
    "multi": LOADED_KINDS[0],
    "time": "time",
    "order": "order",
    "absence": "absence",
    "place": "most",
    "count": "count",
    "two_hop": "two_hop",
}
"""Groups of questions that claims are about, by what they are called in the names of measures."""

ARMS = {
    "uniform_head": "uniform head",
    "uniform_tome": "uniform ToMe",
    "sparse_frames": "sparse frames",
    "facility_location": "facility location",
    "shuffled": "shuffled scores",
    "top_k": "top-k",
    "hard_router": "hard router",
    "oracle": "oracle routing",
    "all": ALL.family,
}
"""Families of arms that ATA is compared with, by what they are called in the names of measures."""


def measure(frame: pd.DataFrame, slots: int) -> dict[str, Estimate]:
    """Return every measure by its name in `claims.csv`; NaN where no question was asked.

    Args:
        frame: of `to_frame`.
        slots: K, memory tokens per segment.
    """
    main = frame[frame["model"] == MAIN]
    needles = main[main["group"] == NEEDLES]
    own, names = ata(slots).name, arm_names(slots)

    def at(part: pd.DataFrame, segments: int, arm: str) -> pd.DataFrame:
        return part[(part["segments"] == segments) & (part["arm"] == arm)]

    estimates: dict[str, Estimate] = {}
    for n in (8, 32):
        estimates[f"auc_{n}"] = estimate(at(needles, n, PRIOR), "auc")
        estimates[f"auc_{n}_control"] = estimate(at(needles, n, PRIOR), "control_auc")
    before = frame[(frame["model"] == BEFORE) & (frame["group"] == NEEDLES)]
    if len(before):
        estimates |= {f"before_auc_{n}": estimate(at(before, n, PRIOR), "auc") for n in (8, 32)}
    for name, group in GROUPS.items():
        asked = main[(main["group"] == group) & (main["segments"] == 32)]
        estimates[f"{name}_32_ata"] = estimate(asked[asked["arm"] == own])
        for other, arm in names.items():
            estimates[f"{name}_32_{other}"] = estimate(asked[asked["arm"] == arm])
            estimates[f"{name}_32_ata_minus_{other}"] = paired_difference(asked, own, arm)
    at_32 = needles[needles["segments"] == 32]
    tokens = estimate(at(needles, 32, own), "tokens")
    estimates["tokens_32_ata"] = tokens
    estimates["budget_share_32_ata"] = _divided(tokens, quarter(slots))
    halfway = {names["shuffled"]: 1, names["uniform_head"]: -0.5, own: -0.5}
    estimates["needle_32_shuffled_minus_halfway"] = contrast(at_32, halfway)
    for n, others in ((64, ("all",)), (128, ("uniform_head", "top_k", "shuffled", "all"))):
        asked = needles[needles["segments"] == n]
        estimates[f"needle_{n}_ata"] = estimate(asked[asked["arm"] == own])
        for other in others:
            arm = names[other]
            estimates[f"needle_{n}_{other}"] = estimate(asked[asked["arm"] == arm])
            estimates[f"needle_{n}_ata_minus_{other}"] = paired_difference(asked, own, arm)
    estimates |= _front_loading(main, slots)
    plain = _front_loading(frame[frame["model"] == PLAIN], slots)
    estimates |= {f"plain_{name}": value for name, value in plain.items()}
    return estimates | _dose_response(at_32, slots)


def arm_names(slots: int) -> dict[str, str]:
    """Return the names of the arms of `ARMS` at the budget of the claims, a quarter of K.

    Args:
        slots: K, memory tokens per segment.
    """
    return {
        short: family if family == ALL.family else f"{family} {quarter(slots)}"
        for short, family in ARMS.items()
    }


def _divided(value: Estimate, by: float) -> Estimate:
    return Estimate(value.value / by, value.low / by, value.high / by, value.n, value.videos)


def _front_loading(answers: pd.DataFrame, slots: int) -> dict[str, Estimate]:
    """Multi-part questions, with the same k tokens kept of every segment."""
    multi = answers[answers["kind"].isin(LOADED_KINDS)]
    some = multi[multi["segments"] == FRONT_LOADING_SEGMENTS]
    k = quarter(slots)
    arms = {
        "head": f"first tokens {k}",
        "tail": f"last tokens {k}",
        "random": f"random tokens {k}",
        "first": "first tokens 1",
        "all": f"first tokens {slots}",
    }
    estimates = {f"frontload_{name}": estimate(some[some["arm"] == a]) for name, a in arms.items()}
    for other in ("tail", "random"):
        name = f"frontload_head_minus_{other}"
        estimates[name] = paired_difference(some, arms["head"], arms[other])
    few = {arms["first"]: 1, arms["all"]: -FIRST_SHARE}
    estimates["frontload_first_minus_share"] = contrast(some, few)
    return estimates


def _dose_response(needles: pd.DataFrame, slots: int) -> dict[str, Estimate]:
    """Needles with noise on the logits of relevance; `lost` is against ATA without noise."""
    own, budget = ata(slots).name, quarter(slots)
    uniform = arm_names(slots)["uniform_head"]
    estimates: dict[str, Estimate] = {}
    for noise in sorted({noise for _, noise in NOISY.values()}):
        noisy, top_k = (f"{name}, noise {noise:g} {budget}" for name in ("ATA", "top-k"))
        rows = needles[needles["arm"] == noisy]
        name = f"noise_{noise:g}"
        estimates[f"{name}_auc"] = estimate(rows, "auc")
        estimates[f"{name}_ata"] = estimate(rows)
        estimates[f"{name}_top_k"] = estimate(needles[needles["arm"] == top_k])
        estimates[f"{name}_ata_lost"] = paired_difference(needles, own, noisy)
        estimates[f"{name}_ata_minus_top_k"] = paired_difference(needles, noisy, top_k)
        estimates[f"{name}_ata_minus_uniform_head"] = paired_difference(needles, noisy, uniform)
    return estimates


def as_table(measured: dict[str, Estimate]) -> pd.DataFrame:
    """Return the rows of `claims.csv`: name, value, low, high, n (questions), videos."""
    return pd.DataFrame([{"name": name} | asdict(each) for name, each in measured.items()])
