"""Attribution: which parts of the input made the model answer as it did, by captum's methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.attribution.combinations import AttributionSetup, attribution_setup
from tempo_lab.analysis.attribution.methods import TargetFunction
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.validation import check_model, check_session
from tempo_lab.common.errors import TraceError
from tempo_lab.common.progress import progress_bar
from tempo_lab.common.validation import check_whole
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from tempo_lab.analysis.attribution.masked_forward import MaskedForward
    from tempo_lab.session.session import Session


COMPLETE = ("shapley_value_sampling", "kernel_shap", "integrated_gradients")
"""Methods whose values sum to the total effect, given enough samples."""
SVLM_INTERVENTIONS = ("question", "patch", "swap")
"""Interventions that change what the SVLM reads or writes, or where its memory is placed."""
TOLERANCE = 0.1
"""Share of the total effect by which the sum of the values may be wrong without a caution."""


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Result):
    """What each unit adds to the target.

    A positive value means that the target is higher with the unit. Units are labeled in
    `data.unit`; units with a time have `start` and `end` in seconds, and patches have `pair`,
    `patch_row`, `patch_column`. `provenance` names units, target, method, baseline and its meaning.

    Feature ablation is the effect of removing one unit from the full input. These effects do not
    need to sum to the total effect; `delta` is the difference. Shapley values sum to it in the
    limit of many samples, and Integrated Gradients in the limit of many steps. The output of a
    confident model changes within a short part of the path, so check `delta` before you trust a
    value.
    """

    QUANTITIES: ClassVar = {
        "value": Quantity(("unit",), "of the target", "what the unit adds to the target"),
        "all": Quantity((), "of the target", "the target with every unit"),
        "none": Quantity((), "of the target", "the target with every unit at the baseline"),
        "delta": Quantity((), "of the target", "sum of the values - (all - none)"),
    }
    TABLE: ClassVar = ("unit",)
    SAME: ClassVar = ("units", "target", "segment")

    def top(self, k: int = 5) -> pd.DataFrame:
        """Return the k units with the largest absolute values, largest first."""
        order = np.argsort(-np.abs(self.data["value"].to_numpy()), kind="stable")
        return self.to_pandas().iloc[order[:k]]

    @property
    def caution(self) -> str | None:
        """A warning for readers if values that should sum to the total effect do not."""
        numbers = self.numbers()
        whole = abs(numbers["all"] - numbers["none"])
        complete = self.provenance.get("method") in COMPLETE
        if not complete or abs(numbers["delta"]) <= TOLERANCE * whole:
            return None
        missed = f"{abs(numbers['delta']) / whole:.0%} of it" if whole else "a whole of 0"
        return f"the values miss the whole by {missed}: take more samples"


def attribution(
    session: Session,
    question: str | Trace,
    *,
    units: str = "segments",
    target: str = "answer_logprob",
    method: str = "feature_ablation",
    baseline: str | None = None,
    answer: str | None = None,
    against: str | None = None,
    segment: int | None = None,
    budget: int | None = None,
    seed: int = 0,
    samples: int | None = None,
    batch: int = 16,
    progress: bool = True,
) -> Attribution:
    """Run the model on a session with parts removed, and return what each part adds to a target.

    The question is asked first; its allocation is used for all changed inputs. The model and the
    session's cache do not change. An interrupted call raises `KeyboardInterrupt` and leaves both
    as they were.

    Args:
        session: the opened video.
        question: the question, or a trace of it, whose allocation and interventions are used. If
            segments were swapped in that run, segments are places in time.
        units: "segments" (their memory tokens in the LLM's prompt), "slots", "pairs" or "patches"
            (memory slots, frame pairs, merged patches of one segment), or "words" of the question.
        target: a name in `tempo_lab.analysis.TARGETS`: "yes_no_logit" (relevance of one segment),
            "answer_logprob", "answer_margin", or your own (`register_target`).
        method: "feature_ablation", "shapley_value_sampling" or "kernel_shap", on masks;
            "integrated_gradients" or "layer_gradient_x_activation", on embeddings.
        baseline: what replaces a unit that is removed; by default the first that the units have.
        answer: the answer whose probability is the target; by default the model's own.
        against: another answer, for "answer_margin".
        segment: the segment, for units or targets of one segment; by default the most relevant.
        budget: memory tokens for the whole video, as in `Session.ask`.
        seed: the seed of methods that draw samples.
        samples: permutations of Shapley sampling, masks of Kernel SHAP, steps of Integrated
            Gradients.
        batch: inputs per forward pass.
        progress: show a progress bar.

    Raises:
        TraceError: a name is unknown; the combination is impossible (the message lists what is
            possible); `segment` or `samples` is invalid; the trace is of another model or video,
            or the SVLM was changed in its run and the units are what the SVLM reads.
        QueryError: an answer has words that the model does not know.
    """
    import torch

    from tempo_lab.analysis.attribution.masked_forward import MaskedForward, frozen

    check_session(session)
    setup = attribution_setup(units, target, method, baseline)
    _check_numbers(samples, batch, seed, setup)
    _check_against(against, setup)
    trace = _trace_of(session, question, budget)
    _check_interventions(trace, setup)
    if segment is not None and not setup.of_segment:
        raise TraceError(
            "neither the units nor the target belong to one segment",
            asked=f"segment={segment}",
            found=f"units={units!r}, target={target!r}",
            fix="leave segment out",
        )
    if segment is None:
        segment = int(trace.data["logit"].to_numpy().argmax())
    segment = check_whole("segment", segment, 0, len(session) - 1, error=TraceError)
    target_answer = trace.answer if answer is None else answer
    forward = MaskedForward(session, trace, segment, target_answer, against)
    for text in (answer, against):
        if text is not None:
            forward.teacher_forced(trace.question, text)  # refuses what the model cannot write

    with frozen(session.checkpoint.model), torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = setup.unit_type(forward, setup.baseline, setup.target.reads)
        algorithm = setup.algorithm
        if samples is None:
            samples = algorithm.samples(parts.count)
        _check_enough(parts.count, samples, setup)
        total = 2 + algorithm.evaluations(parts.count, samples)
        with progress_bar(
            total=total, desc=method, unit="pass", delay=1, disable=not progress
        ) as bar:
            function = TargetFunction(parts, setup.target, batch, bar.update)
            with_all, with_none = function(torch.eye(2)[:, :1].expand(2, parts.count)).tolist()
            attributed = algorithm.run(function, samples).detach().float().cpu()
    by_unit = _by_unit(attributed, parts.groups) if algorithm.gradients else attributed[0]
    values = by_unit.numpy().astype(float)

    data = xr.Dataset(
        {
            "value": ("unit", values),
            "all": ((), with_all),
            "none": ((), with_none),
            "delta": ((), values.sum() - (with_all - with_none)),
        },
        {"unit": parts.labels},
    )
    for name, coordinate in parts.coordinates.items():
        attrs = {"units": coordinate.units, "long_name": coordinate.meaning}
        data = data.assign_coords({name: ("unit", np.asarray(coordinate.values), attrs)})
    return Attribution(data, _provenance(setup, forward, samples, seed))


def _by_unit(attributed: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Return [unit], sums of [1, token, ...] over the embeddings of each unit."""
    each = attributed[0].flatten(1).sum(dim=1)
    inside = groups.cpu() >= 0
    sums = each.new_zeros(int(groups.max()) + 1)
    return sums.index_add_(0, groups.cpu()[inside], each[inside])


def _trace_of(session: Session, question: str | Trace, budget: int | None) -> Trace:
    if not isinstance(question, Trace):
        return session.ask(question, budget=budget)
    check_model(question, session)
    question.check_answered()
    if budget is not None or question.provenance.get("history"):
        raise TraceError(
            "a trace has its own budget, and earlier turns are not supported",
            asked=f"budget={budget}",
            found=f"budget {question.data.attrs['budget']}, "
            f"{len(question.provenance.get('history') or ())} earlier turns",
            fix="pass the question instead of the trace",
        )
    return question


def _check_interventions(trace: Trace, setup: AttributionSetup) -> None:
    """Refuse to change what the SVLM reads where the run of the trace changed it, too."""
    kinds = {intervention["kind"] for intervention in trace.provenance.get("interventions", ())}
    if setup.units not in ("segments", "slots") and kinds & set(SVLM_INTERVENTIONS):
        raise TraceError(
            "what the SVLM read, or where its memory is placed, was changed in this run",
            asked=f"units={setup.units!r}",
            found="; ".join(trace.interventions),
            fix='use units="segments" or "slots", or a trace without these interventions',
        )


def _check_numbers(samples: int | None, batch: int, seed: int, setup: AttributionSetup) -> None:
    check_whole("batch", batch, 1, error=TraceError)
    check_whole("seed", seed, 0, error=TraceError)
    if samples is None:
        return
    if setup.algorithm.samples(1) == 0:
        raise TraceError(
            "this method takes no samples",
            asked=f"samples={samples}",
            found=setup.method,
            fix="leave samples out",
        )
    check_whole("samples", samples, 1, error=TraceError)


def _check_enough(count: int, samples: int, setup: AttributionSetup) -> None:
    if setup.method == "kernel_shap" and (count < 2 or samples < count + 2):
        raise TraceError(
            "Kernel SHAP is a regression on masks: it needs 2 units, and more masks than units",
            asked=f"{count} units, {samples} samples",
            fix=f"samples={4 * count + 64}" if count > 1 else 'method="feature_ablation"',
        )


def _check_against(against: str | None, setup: AttributionSetup) -> None:
    if against is not None and setup.target.reads != "answer":
        raise TraceError(
            "this target does not compare answers",
            asked=f"against={against!r}",
            found=setup.target.name,
            fix='target="answer_margin"',
        )


def _provenance(
    setup: AttributionSetup, forward: MaskedForward, samples: int, seed: int
) -> dict[str, Any]:
    trace = forward.trace
    answers = setup.target.reads == "answer"
    return {
        "question": trace.question,
        "answer": forward.answer if answers else None,
        "against": forward.against,
        "units": setup.units,
        "segment": forward.segment if setup.of_segment else None,
        "target": setup.target.name,
        "target_units": setup.target.units,
        "method": setup.method,
        "baseline": setup.baseline,
        "baseline_means": setup.meaning,
        "samples": samples,
        "seed": seed,
        "budget": trace.data.attrs["budget"],
        "strategy": trace.data.attrs["strategy"],
        "trace": trace.provenance,
    }
