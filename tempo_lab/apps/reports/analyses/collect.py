"""The numbers of every analysis as findings. No torch."""

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
from tempo_lab.apps.reports.analyses.agreement import (
    correlation_of_shared_first,
    cross_question_agreement,
)
from tempo_lab.apps.reports.analyses.findings import FIRST_ALONE, NAN, Finding, Findings
from tempo_lab.apps.reports.analyses.run import ReportResults
from tempo_lab.common.statistics import DIFFERENCE, SHARE, Estimate, bootstrap_mean


def collect(results: ReportResults, seed: int) -> Findings:
    """Return every number of the report.

    Args:
        results: the results of all analyses.
        seed: seed of the intervals.
    """
    rows = [
        *_relevance(results.relevance),
        *_by_layer(results.by_layer),
        *_prompts(results.prompts, seed),
        *_allocation(results, seed),
        *_strictness(results.strictness),
        *(
            row
            for condition, result in results.front_loading.items()
            for row in _front_loading(condition, result, seed)
        ),
        *_attention(results.attention),
        *_comparison(results.comparison, seed),
    ]
    return Findings(rows, seed)


@dataclass(frozen=True)
class _Variables:
    """Makes findings of a result's variables."""

    data: xr.Dataset
    analysis: str
    n: int

    def finding(self, quantity: str, name: str, **labels: Any) -> Finding:
        """Return the variable `name` at these labels, with NAME_low and NAME_high if they exist."""
        value, low, high = (
            float(self.data[end].sel(labels)) if end in self.data else NAN
            for end in (name, f"{name}_low", f"{name}_high")
        )
        unit = str(self.data[name].attrs.get("units", "1"))
        return Finding(self.analysis, quantity, value, low, high, unit, self.n)


def _estimated(analysis: str, quantity: str, estimate: Estimate, unit: str = "1") -> Finding:
    return Finding(
        analysis, quantity, estimate.value, estimate.low, estimate.high, unit, estimate.n
    )


def _relevance(result: Relevance) -> list[Finding]:
    data = result.data
    finding = _Variables(data, "relevance", int(data["ranked_questions"])).finding
    rows = [
        finding("AUC", "mean_auc"),
        finding("AUC, shuffled question", "mean_control_auc"),
        finding("AUC minus shuffled", "auc_gain"),
        finding("hit at 1", "mean_hit"),
        finding("hit at 1, shuffled question", "mean_control_hit"),
        finding("calibration error", "calibration_error"),
        finding("calibration error, shuffled question", "control_calibration_error"),
    ]
    for prefix, label in (("", ""), ("control_", ", shuffled question")):
        rows += [
            finding(f"recall at {k}{label}", f"mean_{prefix}recall", k=k)
            for k in data["k"].to_numpy()
        ]
    scores = data["score"].to_numpy()
    scores = scores[~np.isnan(scores)]
    certain = float(((scores < 0.1) | (scores > 0.9)).mean())
    rows.append(
        Finding("relevance", "scores below .1 or above .9", certain, n=data.sizes["question"])
    )
    for middle in data["bin"].to_numpy():
        for name in ("predicted", "observed", "count"):
            rows.append(finding(f"{name}, scores around {middle:.2f}", name, bin=middle))
    return rows


def _by_layer(result: RelevanceByLayer) -> list[Finding]:
    data, name = result.data, "relevance_by_layer"
    finding = _Variables(data, name, data.sizes["question"]).finding
    videos = data["video"].to_numpy()
    seed = int(result.provenance["seed"])
    rows = []
    for layer in data["layer"].to_numpy():
        rows.append(finding(f"AUC, layer {layer}", "mean_auc", layer=layer))
        same = data["agreement"].sel(layer=layer)
        estimate = bootstrap_mean(same, videos, seed=seed, bounds=SHARE)
        rows.append(_estimated(name, f"agreement with the last layer, layer {layer}", estimate))
    constant = bootstrap_mean(data["constant_agreement"], videos, seed=seed, bounds=SHARE)
    rows.append(_estimated(name, "agreement of one answer for all", constant))
    return rows


def _prompts(results: Sequence[PromptSensitivity], seed: int) -> list[Finding]:
    """Each result is about one video: intervals resample the results."""
    videos, rows = range(len(results)), []

    def add_mean(
        quantity: str, values: Sequence[float], bounds: tuple[float, float] | None = None
    ) -> None:
        estimate = bootstrap_mean(values, videos, seed=seed, bounds=bounds)
        rows.append(_estimated("prompt_sensitivity", quantity, estimate))

    add_mean(
        "memory distance, blank question",
        [float(result.data["question_distance"].mean()) for result in results],
    )
    for wording in map(str, results[0].data["wording"].to_numpy()):
        worded = [result.data.sel(wording=wording) for result in results]
        auc = np.array([float(data["auc"]) for data in worded])
        released = np.array([float(result.data["auc"][0]) for result in results])
        add_mean(f"AUC, {wording}", auc.tolist(), SHARE)
        add_mean(f"AUC minus released, {wording}", (auc - released).tolist(), DIFFERENCE)
        for name, label, bounds in (
            ("rank_agreement", "rank agreement with released", None),
            ("distance", "memory distance", None),
            ("answer_changed", "answer changed", SHARE),
            ("answer_changed_same_tokens", "answer changed at the same tokens", SHARE),
        ):
            add_mean(f"{label}, {wording}", [float(data[name].mean()) for data in worded], bounds)
    return rows


def _allocation(results: ReportResults, seed: int) -> list[Finding]:
    """Each strategy on the scores of section 1, own and shuffled; no model is needed."""
    data, rows = results.relevance.data, []
    videos = data["video"].to_numpy()
    studies: dict[str, list[xr.Dataset]] = {"": [], ", shuffled question": []}
    for question in range(data.sizes["question"]):
        row = data.isel(question=question)
        valid = slice(int(row["segments"]))
        truth = row["truth"].to_numpy()[valid].astype(bool)
        for label, name in (("", "logit"), (", shuffled question", "control_logit")):
            score = np.exp(-np.logaddexp(0, -row[name].to_numpy()[valid]))
            study = allocation_study(
                score, truth=truth, budgets=[quarter(results.slots) * len(score)], seed=seed,
                min_tokens=results.min_tokens, max_tokens=results.slots,
            )  # fmt: skip
            studies[label].append(study.data.isel(budget=0))
    for strategy in map(str, studies[""][0]["strategy"].to_numpy()):
        shares = {
            label: np.array([float(study["on_evidence"].sel(strategy=strategy)) for study in those])
            for label, those in studies.items()
        }
        shares[" minus shuffled"] = shares[""] - shares[", shuffled question"]
        for label, values in shares.items():
            bounds = DIFFERENCE if label == " minus shuffled" else SHARE
            estimate = bootstrap_mean(values, videos, seed=seed, bounds=bounds)
            rows.append(_estimated("allocation", f"on evidence{label}, {strategy}", estimate))
        for name in ("used", "outlier", "faded", "moved_by_noise"):
            own = [float(study[name].sel(strategy=strategy)) for study in studies[""]]
            unit = studies[""][0][name].attrs["units"]
            estimate = bootstrap_mean(own, videos, seed=seed)
            rows.append(_estimated("allocation", f"{name}, {strategy}", estimate, unit))
    return rows


def _strictness(result: AllocatorVariants) -> list[Finding]:
    rows = []
    for kind in result.data["kind"].to_numpy():
        n = int(result.data["questions"].sel(kind=kind))
        finding = _Variables(result.data, "strictness", n).finding
        for number, arm in enumerate(result.data["arm"].to_numpy()):
            at = {"arm": arm, "kind": kind}
            mean, low, high = (float(result.data[e].sel(at)) for e in ("mean", "low", "high"))
            rows.append(Finding("strictness", f"score, {arm}, {kind}", mean, low, high, n=n))
            if number:
                rows.append(finding(f"gain over the first arm, {arm}, {kind}", "gain", **at))
            rows.append(finding(f"tokens, {arm}, {kind}", "tokens", **at))
    return rows


def _front_loading(condition: str, result: FrontLoading, seed: int) -> list[Finding]:
    data, analysis = result.data, f"front_loading, {condition}"
    n = data.sizes["question"]
    finding = _Variables(data, analysis, n).finding
    arms, rows = [str(arm) for arm in data["arm"].to_numpy()], []
    for measure, (unit, _) in MEASURES.items():
        for arm in arms:
            rows += [
                finding(f"{measure}, {arm}, k={k}", measure, arm=arm, k=k)
                for k in data["k"].to_numpy()
            ]
            if arm != HEAD:
                lead = result.lead(measure, arm, seed=seed)
                rows += [
                    Finding(
                        analysis, f"lead in {measure} over {arm}, k={row.k}",
                        row.lead, row.low, row.high, unit, n,
                    )
                    for row in lead.itertuples()
                ]  # fmt: skip
        rows.append(finding(f"area between head and tail, {measure}", f"{measure}_area"))
        rows.append(finding(f"knee of the head, {measure}", f"{measure}_knee"))
    rows += [
        finding(f"attention share, slot {slot}", "attention_share", slot=slot)
        for slot in data["slot"].to_numpy()
    ]
    return rows


def _attention(result: AttentionGroups) -> list[Finding]:
    data = result.data
    finding = _Variables(data, "attention", data.sizes["question"]).finding
    rows = []
    for row in data["row"].to_numpy():
        for name, label in (
            ("mass", ""), ("control", ", random weights"), ("gain", " minus random")
        ):  # fmt: skip
            rows += [
                finding(f"{row} on {group}{label}", name, row=row, group=group)
                for group in data["group"].to_numpy()
            ]
        for name, label in (("evidence", ""), ("control_evidence", ", random weights")):
            rows.append(finding(f"{row} on evidence minus elsewhere{label}", name, row=row))
    return rows


def _comparison(result: Comparison, seed: int) -> list[Finding]:
    data = result.data
    n = len(result.provenance["questions"])
    rows = []
    for pair in map(str, data["pair"].to_numpy()):
        row = data.sel(pair=pair)
        value, low, high = (float(row[name]) for name in ("correlation", "low", "high"))
        rows.append(Finding("compare", f"rank correlation, {pair}", value, low, high, n=n))
        same = float(row["same_first"])
        rows.append(Finding("compare", f"same first segment, {pair}", same, n=n))
    sizes = np.unique(data["trace"].to_numpy(), return_counts=True)[1]
    alone = float(np.mean([correlation_of_shared_first(size) for size in sizes]))
    rows.append(Finding("compare", FIRST_ALONE, alone, n=n))
    for quantity, estimate in cross_question_agreement(result, seed).items():
        rows.append(_estimated("compare", quantity, estimate))
    return rows
