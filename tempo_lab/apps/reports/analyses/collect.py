"""The findings of every analysis. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from tempo_lab.allocation.arms import quarter
from tempo_lab.analysis.allocation_study import allocation_study
from tempo_lab.analysis.allocator_variants import AllocatorVariants
from tempo_lab.analysis.attention_groups import AttentionGroups
from tempo_lab.analysis.compare import Comparison
from tempo_lab.analysis.front_loading.result import HEAD, MEASURES, FrontLoading
from tempo_lab.analysis.prompt_sensitivity import PromptSensitivity
from tempo_lab.analysis.relevance import Relevance
from tempo_lab.analysis.relevance_by_layer import RelevanceByLayer
from tempo_lab.apps.reports.analyses.agreement import mismatched, of_the_first_alone
from tempo_lab.apps.reports.analyses.findings import FIRST_ALONE, NAN, Finding, Findings
from tempo_lab.apps.reports.analyses.run import Measured
from tempo_lab.common.statistics import DIFFERENCE, SHARE, Estimate, bootstrap_mean


def collect(measured: Measured, seed: int) -> Findings:
    """Everything that the report says in numbers."""
    rows = [
        *_relevance(measured.relevance),
        *_by_layer(measured.by_layer),
        *_prompts(measured.prompts, seed),
        *_allocation(measured, seed),
        *_strictness(measured.strictness),
        *(row for name, each in measured.front_loading.items() for row in _front(name, each, seed)),
        *_attention(measured.attention),
        *_comparison(measured.comparison, seed),
    ]
    return Findings(rows, seed)


@dataclass(frozen=True)
class _Reader:
    """Findings of a result's variables."""

    data: xr.Dataset
    analysis: str
    n: int

    def __call__(self, quantity: str, name: str, **where: Any) -> Finding:
        """The variable `name` at these labels, with NAME_low and NAME_high where they are there."""
        value, low, high = (
            float(self.data[end].sel(where)) if end in self.data else NAN
            for end in (name, f"{name}_low", f"{name}_high")
        )
        unit = str(self.data[name].attrs.get("units", "1"))
        return Finding(self.analysis, quantity, value, low, high, unit, self.n)


def _estimated(analysis: str, quantity: str, found: Estimate, unit: str = "1") -> Finding:
    return Finding(analysis, quantity, found.value, found.low, found.high, unit, found.n)


def _relevance(result: Relevance) -> list[Finding]:
    data = result.data
    read = _Reader(data, "relevance", int(data["ranked_questions"]))
    rows = [
        read("AUC", "mean_auc"),
        read("AUC, shuffled question", "mean_control_auc"),
        read("AUC less shuffled", "auc_gain"),
        read("hit at 1", "mean_hit"),
        read("hit at 1, shuffled question", "mean_control_hit"),
        read("calibration error", "calibration_error"),
        read("calibration error, shuffled question", "control_calibration_error"),
    ]
    for prefix, told in (("", ""), ("control_", ", shuffled question")):
        rows += [
            read(f"recall at {k}{told}", f"mean_{prefix}recall", k=k) for k in data["k"].to_numpy()
        ]
    score = data["score"].to_numpy()[~np.isnan(data["score"].to_numpy())]
    sure = float(((score < 0.1) | (score > 0.9)).mean())
    rows.append(Finding("relevance", "scores below .1 or above .9", sure, n=data.sizes["question"]))
    for middle in data["bin"].to_numpy():
        for name in ("predicted", "observed", "count"):
            rows.append(read(f"{name}, scores around {middle:.2f}", name, bin=middle))
    return rows


def _by_layer(result: RelevanceByLayer) -> list[Finding]:
    data, name = result.data, "relevance_by_layer"
    n = data.sizes["question"]
    read = _Reader(data, name, n)
    videos = data["video"].to_numpy()
    seed = int(result.provenance["seed"])
    rows = []
    for layer in data["layer"].to_numpy():
        rows.append(read(f"AUC, layer {layer}", "mean_auc", layer=layer))
        agreed = bootstrap_mean(data["agreement"].sel(layer=layer), videos, seed=seed, bounds=SHARE)
        rows.append(_estimated(name, f"agreement with the last layer, layer {layer}", agreed))
    alone = bootstrap_mean(data["constant_agreement"], videos, seed=seed, bounds=SHARE)
    rows.append(_estimated(name, "agreement of one answer for all", alone))
    return rows


def _prompts(results: Sequence[PromptSensitivity], seed: int) -> list[Finding]:
    """Each result is about another video: the interval resamples them."""
    videos, rows = range(len(results)), []

    def mean(
        quantity: str, values: Sequence[float], bounds: tuple[float, float] | None = None
    ) -> None:
        found = bootstrap_mean(values, videos, seed=seed, bounds=bounds)
        rows.append(_estimated("prompt_sensitivity", quantity, found))

    mean(
        "memory distance, blank question",
        [float(each.data["question_distance"].mean()) for each in results],
    )
    for wording in map(str, results[0].data["wording"].to_numpy()):
        some = [each.data.sel(wording=wording) for each in results]
        auc = np.array([float(one["auc"]) for one in some])
        released = np.array([float(each.data["auc"][0]) for each in results])
        mean(f"AUC, {wording}", auc.tolist(), SHARE)
        mean(f"AUC less released, {wording}", (auc - released).tolist(), DIFFERENCE)
        for name, told, bounds in (
            ("rank_agreement", "rank agreement with released", None),
            ("distance", "memory distance", None),
            ("answer_changed", "answer changed", SHARE),
            ("answer_changed_same_tokens", "answer changed at the same tokens", SHARE),
        ):
            mean(f"{told}, {wording}", [float(one[name].mean()) for one in some], bounds)
    return rows


def _allocation(measured: Measured, seed: int) -> list[Finding]:
    """What strategies make of the scores, and of those of the shuffled questions; no model."""
    data, rows = measured.relevance.data, []
    videos = data["video"].to_numpy()
    studies: dict[str, list[xr.Dataset]] = {"": [], ", shuffled question": []}
    for question in range(data.sizes["question"]):
        one = data.isel(question=question)
        there = slice(int(one["segments"]))
        truth = one["truth"].to_numpy()[there].astype(bool)
        for told, name in (("", "logit"), (", shuffled question", "control_logit")):
            score = np.exp(-np.logaddexp(0, -one[name].to_numpy()[there]))
            study = allocation_study(
                score, truth=truth, budgets=[quarter(measured.slots) * len(score)], seed=seed,
                min_tokens=measured.min_tokens, max_tokens=measured.slots,
            )  # fmt: skip
            studies[told].append(study.data.isel(budget=0))
    for strategy in map(str, studies[""][0]["strategy"].to_numpy()):
        shares = {
            told: np.array([float(each["on_evidence"].sel(strategy=strategy)) for each in some])
            for told, some in studies.items()
        }
        shares[" less shuffled"] = shares[""] - shares[", shuffled question"]
        for told, values in shares.items():
            bounds = DIFFERENCE if told == " less shuffled" else SHARE
            found = bootstrap_mean(values, videos, seed=seed, bounds=bounds)
            rows.append(_estimated("allocation", f"on evidence{told}, {strategy}", found))
        for name in ("used", "outlier", "faded", "tremble"):
            each = [float(study[name].sel(strategy=strategy)) for study in studies[""]]
            unit = studies[""][0][name].attrs["units"]
            found = bootstrap_mean(each, videos, seed=seed)
            rows.append(_estimated("allocation", f"{name}, {strategy}", found, unit))
    return rows


def _strictness(result: AllocatorVariants) -> list[Finding]:
    rows = []
    for kind in result.data["kind"].to_numpy():
        n = int(result.data["questions"].sel(kind=kind))
        read = _Reader(result.data, "strictness", n)
        for number, arm in enumerate(result.data["arm"].to_numpy()):
            at = {"arm": arm, "kind": kind}
            mean, low, high = (float(result.data[e].sel(at)) for e in ("mean", "low", "high"))
            rows.append(Finding("strictness", f"score, {arm}, {kind}", mean, low, high, n=n))
            if number:
                rows.append(read(f"gain over the first arm, {arm}, {kind}", "gain", **at))
            rows.append(read(f"tokens, {arm}, {kind}", "tokens", **at))
    return rows


def _front(of: str, result: FrontLoading, seed: int) -> list[Finding]:
    data, analysis = result.data, f"front_loading, {of}"
    n = data.sizes["question"]
    read = _Reader(data, analysis, n)
    arms, rows = [str(arm) for arm in data["arm"].to_numpy()], []
    for measure, (unit, _) in MEASURES.items():
        for arm in arms:
            rows += [
                read(f"{measure}, {arm}, k={k}", measure, arm=arm, k=k)
                for k in data["k"].to_numpy()
            ]
            if arm != HEAD:
                lead = result.lead(measure, arm, seed=seed)
                rows += [
                    Finding(
                        analysis, f"lead in {measure} over {arm}, k={one.k}",
                        one.lead, one.low, one.high, unit, n,
                    )
                    for one in lead.itertuples()
                ]  # fmt: skip
        rows.append(read(f"area between head and tail, {measure}", f"{measure}_area"))
        rows.append(read(f"knee of the head, {measure}", f"{measure}_knee"))
    rows += [
        read(f"attention share, slot {slot}", "attention_share", slot=slot)
        for slot in data["slot"].to_numpy()
    ]
    return rows


def _attention(result: AttentionGroups) -> list[Finding]:
    data = result.data
    read = _Reader(data, "attention", data.sizes["question"])
    rows = []
    for row in data["row"].to_numpy():
        for name, told in (("mass", ""), ("control", ", random weights"), ("gain", " less random")):
            rows += [
                read(f"{row} on {group}{told}", name, row=row, group=group)
                for group in data["group"].to_numpy()
            ]
        for name, told in (("evidence", ""), ("control_evidence", ", random weights")):
            rows.append(read(f"{row} on evidence less elsewhere{told}", name, row=row))
    return rows


def _comparison(result: Comparison, seed: int) -> list[Finding]:
    data = result.data
    n = len(result.provenance["questions"])
    rows = []
    for pair in map(str, data["pair"].to_numpy()):
        at = data.sel(pair=pair)
        rho, low, high = (float(at[name]) for name in ("correlation", "low", "high"))
        rows.append(Finding("compare", f"rank correlation, {pair}", rho, low, high, n=n))
        same = float(at["same_first"])
        rows.append(Finding("compare", f"same first segment, {pair}", same, n=n))
    sizes = np.unique(data["trace"].to_numpy(), return_counts=True)[1]
    alone = float(np.mean([of_the_first_alone(size) for size in sizes]))
    rows.append(Finding("compare", FIRST_ALONE, alone, n=n))
    for quantity, found in mismatched(result, seed).items():
        rows.append(_estimated("compare", quantity, found))
    return rows
