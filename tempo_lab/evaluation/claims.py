"""The method's claims as numbers with fixed names, beside what was asked of the embedded model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from tempo_lab.evaluation.arms import MAIN_BUDGET, PRIOR, quarter
from tempo_lab.evaluation.metrics import NOTHING, Estimate
from tempo_lab.evaluation.plan import BEFORE, LOADED_KINDS, MAIN, PLAIN
from tempo_lab.evaluation.tables import ATA, NEEDLES, estimate, paired_difference

UNIFORM_HEAD, UNIFORM_TOME = f"uniform head {MAIN_BUDGET}", f"uniform ToMe {MAIN_BUDGET}"
SHUFFLED, ORACLE, ALL = (
    f"shuffled scores {MAIN_BUDGET}",
    f"oracle routing {MAIN_BUDGET}",
    "all tokens",
)
MULTI_RIVALS = {
    "uniform_head": UNIFORM_HEAD,
    "uniform_tome": UNIFORM_TOME,
    "top_k": f"top-k {MAIN_BUDGET}",
    "all": ALL,
    "shuffled": SHUFFLED,
}
"""Beside ATA on questions that need several tokens of one segment."""
FRONT_LOADING_SEGMENTS = 8
MEAN_TOKENS = 2.5
"""Tokens a segment that ATA is to use of its budget of four, to one decimal."""

KINDS_AT_32 = {"time": "time", "order": "order", "count": "count", "absence": "absence"}
KINDS_AT_32["place"] = "most"


def measure(frame: pd.DataFrame, slots: int) -> dict[str, Estimate]:
    """Every claim by its name in `claims.json`; NaN where nothing was asked.

    Args:
        frame: what `to_frame` gave.
        slots: K, memory tokens of a segment.
    """
    main = frame[frame["model"] == MAIN]
    needles = main[main["group"] == NEEDLES]

    def at(part: pd.DataFrame, segments: int, arm: str) -> pd.DataFrame:
        return part[(part["segments"] == segments) & (part["arm"] == arm)]

    before = frame[(frame["model"] == BEFORE) & (frame["group"] == NEEDLES)]
    found = {
        f"{whose}auc_{n}": estimate(at(part, n, PRIOR), "auc")
        for whose, part in (("", needles), ("before_", before))
        for n in (8, 32)
    }
    found["needle_32_ata"] = estimate(at(needles, 32, ATA))
    found["tokens_32_ata"] = estimate(at(needles, 32, ATA), "tokens")
    at_32 = needles[needles["segments"] == 32]
    for name, arm in (("uniform_head", UNIFORM_HEAD), ("uniform_tome", UNIFORM_TOME)):
        found[f"needle_32_{name}"] = estimate(at(needles, 32, arm))
        found[f"needle_32_ata_minus_{name}"] = paired_difference(at_32, ATA, arm)
    for name, arm in (("oracle", ORACLE), ("all", ALL), ("shuffled", SHUFFLED)):
        found[f"needle_32_{name}"] = estimate(at(needles, 32, arm))
        found[f"needle_32_ata_minus_{name}"] = paired_difference(at_32, ATA, arm)
    multi_32 = main[main["kind"].isin(LOADED_KINDS) & (main["segments"] == 32)]
    found["multi_32_ata"] = estimate(at(multi_32, 32, ATA))
    for name, arm in MULTI_RIVALS.items():
        found[f"multi_32_{name}"] = estimate(at(multi_32, 32, arm))
        found[f"multi_32_ata_minus_{name}"] = paired_difference(multi_32, ATA, arm)
    for n in (64, 128):
        found[f"needle_{n}_ata"] = estimate(at(needles, n, ATA))
    found["needle_64_all"] = estimate(at(needles, 64, ALL))
    at_64 = needles[needles["segments"] == 64]
    found["needle_64_ata_minus_all"] = paired_difference(at_64, ATA, ALL)
    found |= _front_loading(main, slots)
    plain = _front_loading(frame[frame["model"] == PLAIN], slots)
    found |= {f"plain_{name}": value for name, value in plain.items()}
    for name, kind in KINDS_AT_32.items():
        found[f"{name}_32"] = estimate(at(main[main["kind"] == kind], 32, ATA))
    return found


def _front_loading(answers: pd.DataFrame, slots: int) -> dict[str, Estimate]:
    """Multi-part questions, every segment of the video cut down to the same k tokens."""
    multi = answers[answers["kind"].isin(LOADED_KINDS)]
    some = multi[multi["segments"] == FRONT_LOADING_SEGMENTS]
    k = quarter(slots)
    arms = {
        "head": f"first tokens {k}",
        "tail": f"last tokens {k}",
        "first": "first tokens 1",
        "all": f"first tokens {slots}",
    }
    found = {f"frontload_{name}": estimate(some[some["arm"] == a]) for name, a in arms.items()}
    found["frontload_head_minus_tail"] = paired_difference(some, arms["head"], arms["tail"])
    return found


NAMES = (
    "auc_8", "auc_32", "before_auc_8", "before_auc_32", "needle_32_ata", "tokens_32_ata",
    "needle_32_uniform_head", "needle_32_uniform_head_low", "needle_32_uniform_head_high",
    "needle_32_uniform_tome", "needle_32_uniform_tome_low", "needle_32_uniform_tome_high",
    "needle_32_oracle", "needle_32_all", "needle_64_ata", "needle_64_all", "needle_32_shuffled",
    "frontload_head", "frontload_tail", "frontload_first", "frontload_all",
    "time_32", "order_32", "count_32", "absence_32", "place_32", "needle_128_ata",
    "multi_32_ata", "multi_32_uniform_head", "multi_32_uniform_head_low",
    "multi_32_uniform_head_high", "multi_32_uniform_tome", "multi_32_uniform_tome_low",
    "multi_32_uniform_tome_high", "multi_32_top_k", "multi_32_all", "multi_32_shuffled",
    "plain_frontload_head", "plain_frontload_tail", "plain_frontload_first", "plain_frontload_all",
)  # fmt: skip
"""The names in `claims.json`. `_low` and `_high` are the ends of the interval of ATA minus that,
`plain_` is what the ablation without prefix dropout reached, `before_` the model before compressor
training."""


def as_json(measured: dict[str, Estimate]) -> dict[str, float | None]:
    """The flat object of `claims.json`; None where there is no number."""
    values = {name: each.value for name, each in measured.items()}
    for lead in ("needle_32", "multi_32"):
        for rival in ("uniform_head", "uniform_tome"):
            difference = measured[f"{lead}_ata_minus_{rival}"]
            values[f"{lead}_{rival}_low"] = difference.low
            values[f"{lead}_{rival}_high"] = difference.high
    return {name: None if math.isnan(values[name]) else round(values[name], 4) for name in NAMES}


def as_table(measured: dict[str, Estimate]) -> pd.DataFrame:
    """The rows of `claims.csv`: name, value, low, high, questions, videos."""
    return pd.DataFrame(
        [
            {"name": name, "value": e.value, "low": e.low, "high": e.high, "n": e.n}
            | {"videos": e.videos}
            for name, e in measured.items()
        ]
    )


@dataclass(frozen=True)
class Verdict:
    """One line of the table of claims.

    Attributes:
        claim: what is measured.
        asked: what was to be reached.
        measured: what was found, with its 95 % interval.
        reached: whether it was; None where there is no number.
    """

    claim: str
    asked: str
    measured: str
    reached: bool | None


def verdicts(measured: dict[str, Estimate]) -> list[Verdict]:
    """What was asked for, measured, and reached or not, in the order of the issue's table."""

    def value(name: str) -> float:
        return measured.get(name, NOTHING).value

    def line(
        claim: str, asked: str, names: str, reached: Callable[[], bool], more: str = ""
    ) -> Verdict:
        each = [measured.get(name, NOTHING) for name in names.split()]
        missing = any(math.isnan(e.value) for e in each)
        told = "not measured" if missing else ", ".join(_told(e) for e in each[:1])
        told += "" if missing else more
        return Verdict(claim, asked, told, None if missing else bool(reached()))

    def least(claim: str, name: str, bound: float, more: str = "") -> Verdict:
        return line(claim, f"at least {bound:.2f}", name, lambda: value(name) >= bound, more)

    def margin(claim: str, rival: str, bound: float) -> Verdict:
        name = f"needle_32_ata_minus_{rival}"
        found = measured.get(name, NOTHING)
        asked = f"at least {bound:+.2f}, interval above 0"
        return line(claim, asked, name, lambda: found.value >= bound and found.low > 0)

    half = (value("needle_32_uniform_head") + value("needle_32_ata")) / 2
    share = value("frontload_first") / value("frontload_all") if value("frontload_all") else 1.0
    difference = "frontload_head_minus_tail"
    return [
        least("AUC of relevance, 8 segments", "auc_8", 0.98),
        least("AUC of relevance, 32 segments", "auc_32", 0.96),
        least("needles, 32 segments, ATA head", "needle_32_ata", 0.90),
        line(
            "tokens a segment that it used",
            f"{MEAN_TOKENS} of a budget of {MAIN_BUDGET}",
            "tokens_32_ata",
            lambda: round(value("tokens_32_ata"), 1) <= MEAN_TOKENS,
        ),
        margin("... minus uniform head", "uniform_head", 0.30),
        margin("... minus uniform ToMe", "uniform_tome", 0.15),
        line(
            "... minus oracle routing",
            "at least -0.07",
            "needle_32_ata_minus_oracle",
            lambda: value("needle_32_ata_minus_oracle") >= -0.07,
        ),
        line(
            "... minus all tokens, 32 segments",
            "not worse: interval reaches 0",
            "needle_32_ata_minus_all",
            lambda: measured["needle_32_ata_minus_all"].high >= 0,
        ),
        line(
            "ATA minus all tokens, needles, 64 segments",
            "better: above 0",
            "needle_64_ata_minus_all",
            lambda: value("needle_64_ata_minus_all") > 0,
        ),
        line(
            "needles, 32 segments, shuffled scores (control)",
            "at most half-way from uniform head to ATA",
            "needle_32_shuffled needle_32_uniform_head needle_32_ata",
            lambda: value("needle_32_shuffled") <= half,
            f", half-way {half:.3f}",
        ),
        line(
            "multi-part, head minus tail at K/4 tokens",
            "at least +0.15",
            difference,
            lambda: value(difference) >= 0.15,
        ),
        line(
            "multi-part, the first token alone",
            "at most 0.80 of all tokens",
            "frontload_first frontload_all",
            lambda: share <= 0.8,
            f", {share:.2f} of all",
        ),
        least("time, 32 segments, ATA head", "time_32", 0.75),
        least("order, 32 segments, ATA head", "order_32", 0.85),
        least("count, 32 segments, ATA head", "count_32", 0.75),
        least("absence, 32 segments, ATA head", "absence_32", 0.85),
        least("global place, 32 segments, ATA head", "place_32", 0.95),
        least("needles, 64 segments, ATA head", "needle_64_ata", 0.85),
        least("needles, 128 segments, ATA head", "needle_128_ata", 0.80),
    ]


def _told(found: Estimate) -> str:
    if math.isnan(found.low):
        return f"{found.value:.3f} (one video, no interval)"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
