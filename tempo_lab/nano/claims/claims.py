"""The method's claims as numbers with fixed names, and what is required of the embedded model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from tempo_lab.allocation.arms import ALL, PRIOR, ata, quarter
from tempo_lab.common.statistics import NOTHING, Estimate
from tempo_lab.evaluation.tables import contrast, estimate, paired_difference
from tempo_lab.nano.claims.plan import BEFORE, LOADED_KINDS, MAIN, PLAIN
from tempo_lab.nano.claims.tables import NEEDLES

NEEDLE_BASELINES = ("uniform_head", "uniform_tome", "oracle", "all", "shuffled")
MULTI_BASELINES = ("uniform_head", "uniform_tome", "top_k", "all", "shuffled")
KIND_BASELINES = ("uniform_head", "all", "shuffled", "oracle")
"""Arms that ATA is compared with: on needles, on questions of several parts, on each other kind."""
FRONT_LOADING_SEGMENTS = 8
MEAN_SHARE = 0.625
"""Share of its budget that ATA is to use at most: 2.5 of 4 tokens per segment."""
FIRST_SHARE = 0.8
"""Share of the score with all tokens that the first token alone is to reach at most."""

KINDS_AT_32 = {
    "time": "time",
    "order": "order",
    "count": "count",
    "absence": "absence",
    "place": "most",
    "two_hop": "two_hop",
}


def measure(frame: pd.DataFrame, slots: int) -> dict[str, Estimate]:
    """Return every claim by its name in `claims.json`; NaN where no question was asked.

    Args:
        frame: of `to_frame`.
        slots: K, memory tokens per segment.
    """
    main = frame[frame["model"] == MAIN]
    needles = main[main["group"] == NEEDLES]
    own, baselines = ata(slots).name, _baselines(slots)

    def at(part: pd.DataFrame, segments: int, arm: str) -> pd.DataFrame:
        return part[(part["segments"] == segments) & (part["arm"] == arm)]

    estimates = {f"auc_{n}": estimate(at(needles, n, PRIOR), "auc") for n in (8, 32)}
    before = frame[(frame["model"] == BEFORE) & (frame["group"] == NEEDLES)]
    if len(before):
        estimates |= {f"before_auc_{n}": estimate(at(before, n, PRIOR), "auc") for n in (8, 32)}
    estimates["needle_32_ata"] = estimate(at(needles, 32, own))
    estimates["tokens_32_ata"] = estimate(at(needles, 32, own), "tokens")
    at_32 = needles[needles["segments"] == 32]
    for name in NEEDLE_BASELINES:
        estimates[f"needle_32_{name}"] = estimate(at(needles, 32, baselines[name]))
        estimates[f"needle_32_ata_minus_{name}"] = paired_difference(at_32, own, baselines[name])
    halfway = {baselines["shuffled"]: 1, baselines["uniform_head"]: -0.5, own: -0.5}
    estimates["needle_32_shuffled_minus_halfway"] = contrast(at_32, halfway)
    multi_32 = main[main["kind"].isin(LOADED_KINDS) & (main["segments"] == 32)]
    estimates["multi_32_ata"] = estimate(at(multi_32, 32, own))
    for name in MULTI_BASELINES:
        estimates[f"multi_32_{name}"] = estimate(at(multi_32, 32, baselines[name]))
        estimates[f"multi_32_ata_minus_{name}"] = paired_difference(multi_32, own, baselines[name])
    for n in (64, 128):
        estimates[f"needle_{n}_ata"] = estimate(at(needles, n, own))
        estimates[f"needle_{n}_all"] = estimate(at(needles, n, ALL.name))
    at_64 = needles[needles["segments"] == 64]
    estimates["needle_64_ata_minus_all"] = paired_difference(at_64, own, ALL.name)
    estimates |= _front_loading(main, slots)
    plain = _front_loading(frame[frame["model"] == PLAIN], slots)
    estimates |= {f"plain_{name}": value for name, value in plain.items()}
    for name, kind in KINDS_AT_32.items():
        estimates |= _against_baselines(
            f"{name}_32", main[(main["kind"] == kind) & (main["segments"] == 32)], slots
        )
    return estimates


def _baselines(slots: int) -> dict[str, str]:
    """Names of arms by what they are called in claims."""
    budget = quarter(slots)
    return {
        "uniform_head": f"uniform head {budget}",
        "uniform_tome": f"uniform ToMe {budget}",
        "top_k": f"top-k {budget}",
        "oracle": f"oracle routing {budget}",
        "shuffled": f"shuffled scores {budget}",
        "all": ALL.name,
    }


def _against_baselines(name: str, some: pd.DataFrame, slots: int) -> dict[str, Estimate]:
    """ATA on all questions of a kind, and each arm on those that every arm answered.

    "shared" is ATA on the latter: what the other arms can be compared with.
    """
    own, baselines = ata(slots).name, _baselines(slots)
    estimates = {name: estimate(some[some["arm"] == own])}
    answered = some[some["arm"] == ALL.name].set_index(["video", "item"]).index
    shared = some[some.set_index(["video", "item"]).index.isin(answered)]
    estimates[f"{name}_shared"] = estimate(shared[shared["arm"] == own])
    for baseline in KIND_BASELINES:
        estimates[f"{name}_{baseline}"] = estimate(shared[shared["arm"] == baselines[baseline]])
        estimates[f"{name}_ata_minus_{baseline}"] = paired_difference(
            shared, own, baselines[baseline]
        )
    return estimates


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


NAMES = (
    "auc_8", "auc_32", "needle_32_ata", "tokens_32_ata",
    "needle_32_uniform_head", "needle_32_uniform_head_low", "needle_32_uniform_head_high",
    "needle_32_uniform_tome", "needle_32_uniform_tome_low", "needle_32_uniform_tome_high",
    "needle_32_oracle", "needle_32_all", "needle_64_ata", "needle_64_all", "needle_32_shuffled",
    "frontload_head", "frontload_tail", "frontload_random", "frontload_first", "frontload_all",
    "needle_128_ata",
    "multi_32_ata", "multi_32_uniform_head", "multi_32_uniform_head_low",
    "multi_32_uniform_head_high", "multi_32_uniform_tome", "multi_32_uniform_tome_low",
    "multi_32_uniform_tome_high", "multi_32_top_k", "multi_32_all", "multi_32_shuffled",
    "plain_frontload_head", "plain_frontload_tail", "plain_frontload_random",
    "plain_frontload_first", "plain_frontload_all",
    *(
        f"{kind}_32{end}"
        for kind in KINDS_AT_32
        for end in ("", "_shared", *(f"_{baseline}" for baseline in KIND_BASELINES))
    ),
)  # fmt: skip
"""The names in `claims.json`. `_low` and `_high` are the ends of the interval of ATA minus the arm;
`plain_` is what the ablation without prefix dropout reached. `_shared` is ATA on the questions that
all arms were asked; the arms named after it were asked the same questions."""


def as_json(measured: dict[str, Estimate]) -> dict[str, float | None]:
    """Return the flat object of `claims.json`; None where there is no number."""
    values = {name: each.value for name, each in measured.items()}
    for lead in ("needle_32", "multi_32"):
        for baseline in ("uniform_head", "uniform_tome"):
            difference = measured[f"{lead}_ata_minus_{baseline}"]
            values[f"{lead}_{baseline}_low"] = difference.low
            values[f"{lead}_{baseline}_high"] = difference.high
    return {name: None if math.isnan(values[name]) else round(values[name], 4) for name in NAMES}


def as_table(measured: dict[str, Estimate]) -> pd.DataFrame:
    """Return the rows of `claims.csv`: name, value, low, high, questions, videos."""
    return pd.DataFrame(
        [
            {"name": name, "value": e.value, "low": e.low, "high": e.high, "n": e.n}
            | {"videos": e.videos}
            for name, e in measured.items()
        ]
    )


Reached = Literal["reached", "open", "not reached", "no number"]


@dataclass(frozen=True)
class ClaimVerdict:
    """One line of the table of claims.

    Attributes:
        claim: what is measured.
        asked: what is required.
        measured: the estimate, with its 95 % interval.
        reached: what the interval says: "open" where the required value lies inside it.
    """

    claim: str
    asked: str
    measured: str
    reached: Reached


def verdicts(measured: dict[str, Estimate], slots: int) -> list[ClaimVerdict]:
    """Return what is required, what was measured, and whether its interval reaches it.

    Args:
        measured: of `measure`.
        slots: K, memory tokens per segment.
    """

    def line(
        claim: str, asked: str, name: str, aim: float, *, at_most: bool = False
    ) -> ClaimVerdict:
        estimate = measured.get(name, NOTHING)
        return ClaimVerdict(claim, asked, _format(estimate), _reached(estimate, aim, at_most))

    def least(claim: str, name: str, aim: float) -> ClaimVerdict:
        return line(claim, f"at least {aim:.2f}", name, aim)

    def lead(claim: str, name: str, aim: float) -> ClaimVerdict:
        return line(claim, f"at least {aim:+.2f}" if aim else "at least 0", name, aim)

    tokens = MEAN_SHARE * quarter(slots)
    return [
        least("AUC of relevance, 8 segments", "auc_8", 0.98),
        least("AUC of relevance, 32 segments", "auc_32", 0.96),
        least("needles, 32 segments, ATA head", "needle_32_ata", 0.90),
        line(
            "... tokens used per segment",
            f"at most {tokens:g} of a budget of {quarter(slots)}",
            "tokens_32_ata",
            tokens,
            at_most=True,
        ),
        lead("... minus uniform head", "needle_32_ata_minus_uniform_head", 0.30),
        lead("... minus uniform ToMe", "needle_32_ata_minus_uniform_tome", 0.15),
        lead("... minus oracle routing", "needle_32_ata_minus_oracle", -0.07),
        lead("... minus all tokens, 32 segments", "needle_32_ata_minus_all", 0),
        lead("... minus all tokens, 64 segments", "needle_64_ata_minus_all", 0),
        line(
            "needles, 32 segments: shuffled scores (control) minus the middle of uniform head"
            " and ATA",
            "at most 0",
            "needle_32_shuffled_minus_halfway",
            0,
            at_most=True,
        ),
        lead("multi-part, head minus tail at K/4 tokens", "frontload_head_minus_tail", 0.15),
        line(
            f"multi-part, the first token alone minus {FIRST_SHARE:.2f} of all tokens",
            "at most 0",
            "frontload_first_minus_share",
            0,
            at_most=True,
        ),
        least("time, 32 segments, ATA head", "time_32", 0.75),
        least("order, 32 segments, ATA head", "order_32", 0.85),
        least("count, 32 segments, ATA head", "count_32", 0.75),
        least("absence, 32 segments, ATA head", "absence_32", 0.85),
        least("place shown most, 32 segments, ATA head", "place_32", 0.95),
        least("needles, 64 segments, ATA head", "needle_64_ata", 0.85),
        least("needles, 128 segments, ATA head", "needle_128_ata", 0.80),
    ]


def _reached(estimate: Estimate, aim: float, at_most: bool) -> Reached:
    """Whether all of the interval, or none of it, lies on the right side of the aim."""
    if math.isnan(estimate.value):
        return "no number"
    if estimate.high <= aim if at_most else estimate.low >= aim:
        return "reached"
    if estimate.low > aim if at_most else estimate.high < aim:
        return "not reached"
    return "open"  # also without an interval


def _format(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "not measured"
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f} (one video, no interval)"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}] (n={estimate.n})"
