"""Compare the runs of the study, with confidence intervals. No torch.

Every run answers the same questions about the same segments. The interval of one run resamples
segments. The interval over all seeds resamples seeds and segments independently, as every seed has
the same segments. All arms are resampled together, so differences between arms are paired.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tempo_lab.common.files import write_atomic
from tempo_lab.common.statistics import COVERAGE, spearman

ENDS = ("first", "last", "random")
"""Which memory tokens are kept."""

CONTROL = "none"
"""The arm in which training does not truncate memory."""

RESAMPLES = 4000
ALL = "all"
"""Used instead of a seed: all seeds for which every arm has been measured."""

BASE = (
    "A base whose relevance sentence was trained, whose SVLM wrote notes as text and whose LLM "
    "read them as text; no loss compared memory tokens with notes. The arms differ only in the cut."
)
"""Description of the base from which the runs start."""

Runs = Mapping[tuple[str, int], pd.DataFrame]
"""Tables of recall by (arm, seed)."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recall:
    """Recall of some facts in all runs, and its resamples.

    Attributes:
        runs: (arm, seed) of each run.
        names: names of the conditions.
        facts: number of facts.
        values: share right [run, condition].
        resampled: share right with resampled segments [resample, run, condition].
        seeds: seeds for which every arm has been measured.
        drawn: resampled seeds [resample, seed], as indices into `seeds`.
    """

    runs: list[tuple[str, int]]
    names: list[str]
    facts: int
    values: Floats
    resampled: Floats
    seeds: list[int]
    drawn: npt.NDArray[np.int64]

    def of(self, arm: str, seed: int | str, name: str) -> tuple[float, Floats]:
        """Return the share right and its resamples [resample], of a run or over all seeds."""
        column = self.names.index(name)
        if seed != ALL:
            run = self.runs.index((arm, int(seed)))
            return float(self.values[run, column]), self.resampled[:, run, column]
        at = [self.runs.index((arm, each)) for each in self.seeds]
        each = self.resampled[:, at, column]
        over_seeds = np.take_along_axis(each, self.drawn, axis=1).mean(1)
        return float(self.values[at, column].mean()), over_seeds

    def cut(self, arm: str, seed: int | str, end: str, count: int) -> tuple[float, Floats]:
        """Return the same as `of`, with ``count`` tokens from an end."""
        name = f"{end}_{count}"
        return self.of(arm, seed, name if name in self.names else "all")


def recall_of(runs: Runs, groups: list[str] | None = None, fact: str | None = None) -> Recall:
    """Return the recall of groups of questions or of a fact in all runs.

    Args:
        runs: tables of recall by (arm, seed), all of the same questions.
        groups: the groups of questions; all by default.
        fact: the fact; all by default.
    """
    tables = {}
    for run, table in runs.items():
        chosen = pd.Series(True, index=table.index)
        if groups is not None:
            chosen &= table["group"].isin(groups)
        if fact is not None:
            chosen &= table["fact"] == fact
        tables[run] = table[chosen]
    first = next(iter(tables.values()))
    names = [name for name in first.columns if name not in ("segment", "group", "fact")]
    segments, at = np.unique(first["segment"], return_inverse=True)
    counts = np.bincount(at).astype(float)
    sums = np.zeros((len(tables), len(names), len(segments)))
    for number, table in enumerate(tables.values()):
        for column, name in enumerate(names):
            sums[number, column] = np.bincount(at, table[name].to_numpy(float))
    rng = np.random.default_rng(0)
    chances = np.full(len(segments), 1 / len(segments))
    weights = rng.multinomial(len(segments), chances, RESAMPLES).astype(float)
    resampled = np.einsum("bs,rcs->brc", weights, sums, optimize=True)
    resampled /= (weights @ counts)[:, None, None]
    order = list(tables)
    arms = {arm for arm, _ in order}
    seeds = sorted({s for _, s in order if all((arm, s) in tables for arm in arms)})
    drawn = rng.integers(max(1, len(seeds)), size=(RESAMPLES, len(seeds)))
    values = sums.sum(-1) / counts.sum()
    return Recall(order, names, len(first), values, resampled, seeds, drawn)


def _columns(name: str, value: float, resampled: Floats) -> dict[str, float]:
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}


def counts_of(names: list[str], slots: int) -> list[int]:
    """Return the numbers of tokens that were kept, in ascending order, with ``slots`` last."""
    return [*sorted({int(n.rsplit("_", 1)[1]) for n in names if n != "all"}), slots]


def arm_table(runs: Runs, slots: int) -> pd.DataFrame:
    """Return the share right by arm, seed, group of questions and number of tokens.

    Columns ``first``, ``last`` and ``random`` are shares right with that many tokens from that end.
    ``first_minus_last`` is their difference. ``minus_none`` is this difference minus that in the
    arm without truncation, on the same seeds. All of them have 95 % intervals.
    """
    rows = []
    groups = list(dict.fromkeys(next(iter(runs.values()))["group"]))
    for group in groups:
        recall = recall_of(runs, [group])
        for arm, seed in _each(recall):
            for count in counts_of(recall.names, slots):
                cuts = {end: recall.cut(arm, seed, end, count) for end in ENDS}
                row: dict[str, Any] = {"arm": arm, "seed": seed, "questions": group}
                row |= {"tokens": count, "facts": recall.facts}
                for end, (value, resampled) in cuts.items():
                    row |= _columns(end, value, resampled)
                lead = _lead(recall, arm, seed, count)
                row |= _columns("first_minus_last", *lead)
                if (CONTROL, recall.seeds[0] if seed == ALL else seed) in recall.runs:
                    other = _lead(recall, CONTROL, seed, count)
                    row |= _columns("minus_none", lead[0] - other[0], lead[1] - other[1])
                rows.append(row)
    return pd.DataFrame(rows)


def _lead(recall: Recall, arm: str, seed: int | str, count: int) -> tuple[float, Floats]:
    """Return the share right of first minus last tokens, and its resamples."""
    first, last = (recall.cut(arm, seed, end, count) for end in ("first", "last"))
    return first[0] - last[0], first[1] - last[1]


def _each(recall: Recall) -> list[tuple[str, int | str]]:
    """Return every run, and every arm over all seeds."""
    arms = dict.fromkeys(arm for arm, _ in recall.runs)
    pooled: list[tuple[str, int | str]] = [(arm, ALL) for arm in arms] if recall.seeds else []
    return [*recall.runs, *pooled]


def fact_table(runs: Runs, slots: int, asked: Mapping[str, float]) -> pd.DataFrame:
    """Return the share right by arm, seed, fact and number of tokens, with intervals.

    ``asked`` is the fact's share of what training asks for. ``early`` is recall with first tokens
    divided by recall with all tokens, averaged over the numbers of first tokens. ``rank`` orders
    facts by ``early``; the fact with the largest value has rank 1.
    """
    rows = []
    for fact in sorted(set(next(iter(runs.values()))["fact"])):
        recall = recall_of(runs, fact=fact)
        counts = counts_of(recall.names, slots)
        for arm, seed in _each(recall):
            everything = recall.of(arm, seed, "all")[0]
            early = [recall.cut(arm, seed, "first", count)[0] for count in counts[:-1]]
            row: dict[str, Any] = {"arm": arm, "seed": seed, "fact": fact, "facts": recall.facts}
            row |= {"asked": asked[fact], "early": np.mean(early) / max(everything, 1e-9)}
            for count in counts:
                cuts: dict[str, float] = {"tokens": count}
                for end in ENDS:
                    cuts |= _columns(end, *recall.cut(arm, seed, end, count))
                rows.append(row | cuts)
    table = pd.DataFrame(rows)
    order = table.groupby(["arm", "seed", "tokens"])["early"].rank(ascending=False, method="min")
    table.insert(table.columns.get_loc("early") + 1, "rank", order.astype(int))
    return table


def summary(arms: pd.DataFrame, facts: pd.DataFrame, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings and the main results of both tables as plain JSON values.

    ``first_minus_last``: by arm and group of questions, with one token, over all seeds (or by seed,
    if no seed has every arm), the value, its interval, and the value of each seed. ``order``: facts
    by rank, with the rank correlation between ``early`` and ``asked``.
    """
    pooled = ALL in set(arms["seed"])
    leads: dict[str, Any] = {}
    one = arms[arms["tokens"] == arms["tokens"].min()]
    for (arm, group), part in one.groupby(["arm", "questions"], sort=False):
        by_seed = part[part["seed"] != ALL].set_index("seed")["first_minus_last"]
        entry: dict[str, Any] = {"seeds": {str(s): _round(v) for s, v in by_seed.items()}}
        if pooled:
            row = part[part["seed"] == ALL].iloc[0]
            keys = ("first_minus_last", "first_minus_last_low", "first_minus_last_high")
            entry["value"], *entry["interval"] = (_round(row[key]) for key in keys)
        leads.setdefault(str(arm), {})[str(group)] = entry
    orders: dict[str, Any] = {}
    every = facts[facts["tokens"] == facts["tokens"].min()]
    for (arm, seed), part in every.groupby(["arm", "seed"], sort=False):
        ranked = part.sort_values(["rank", "fact"])
        orders.setdefault(str(arm), {})[str(seed)] = {
            "facts": list(ranked["fact"]),
            "correlation_with_asked": _round(spearman(part["early"], part["asked"])),
        }
    return {**settings, "base": BASE, "first_minus_last": leads, "order": orders}


def _round(value: Any) -> float | None:
    number = round(float(value), 4)
    return number if np.isfinite(number) else None


def write_tables(
    runs: Runs, slots: int, asked: Mapping[str, float], settings: Mapping[str, Any], out: Path
) -> pd.DataFrame:
    """Write ``arms.csv``, ``facts.csv`` and ``summary.json``; return the table of arms."""
    arms, facts = arm_table(runs, slots), fact_table(runs, slots, asked)
    out.mkdir(parents=True, exist_ok=True)
    for name, table in (("arms", arms), ("facts", facts)):
        written = table.to_csv(index=False, float_format="%.4f", lineterminator="\n")
        write_atomic(out / f"{name}.csv", written.encode())
    text = json.dumps(summary(arms, facts, settings), indent=1, allow_nan=False) + "\n"
    write_atomic(out / "summary.json", text.encode())
    return arms
