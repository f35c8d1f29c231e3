"""Which parts of what the model was given made it answer so: attribution, by captum's methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.attribution.combinations import AttributionSetup, choose
from tempo_lab.analysis.attribution.methods import Measured
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.validation import check_count, check_model, check_session, nearest
from tempo_lab.common.errors import TraceError
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from tempo_lab.analysis.attribution.masked_forward import Passes
    from tempo_lab.session.session import Session


COMPLETE = ("shapley_value_sampling", "kernel_shap", "integrated_gradients")
"""Methods whose values sum to the whole, given enough samples."""
BEFORE_MEMORY = ("question", "patch", "swap")
"""Interventions that change what the SVLM reads and writes, or where that stands."""
MOST_MISSED = 0.1
"""Share of the whole by which their sum may be wrong without a word of caution."""


@dataclass(frozen=True, eq=False, repr=False)
class Attribution(Result):
    """What each unit adds to the target.

    Positive: with the unit, the target is higher. Units are labelled in `data.unit`; where they
    have seconds, `start` and `end` say them, and patches have `pair`, `patch_row`, `patch_column`.
    `provenance` names units, target, method, baseline and what it means.

    Feature ablation is the effect of taking one unit away from all; nothing makes the effects sum
    to the whole, and `delta` says by how much they do not. Shapley values do sum to it, in the
    limit of many samples, and Integrated Gradients in that of many steps: a sure model changes its
    mind within a short part of the path, so look at `delta` before believing a value.
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
        """The k units of the largest values, whatever their sign, largest first."""
        order = np.argsort(-np.abs(self.data["value"].to_numpy()), kind="stable")
        return self.to_pandas().iloc[order[:k]]

    @property
    def caution(self) -> str | None:
        """What a reader should know, if values that should sum to the whole do not."""
        numbers = self.numbers()
        whole = abs(numbers["all"] - numbers["none"])
        complete = self.provenance.get("method") in COMPLETE
        if not complete or abs(numbers["delta"]) <= MOST_MISSED * whole:
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
    """How much each unit of the input adds to a target.

    The question is asked first; how its tokens were shared then holds for all changed inputs.
    Nothing of the model or of what the session keeps is changed. An interrupted call raises
    `KeyboardInterrupt`, and leaves both as they were.

    Args:
        session: the opened video.
        question: the question; or a trace of it, whose allocation and interventions are taken.
            Of a run in which segments were swapped, segments are places in time.
        units: "segments" (their memory tokens in the LLM's prompt), "slots", "pairs" or "patches"
            (memory slots, frame pairs, merged patches of one segment), or "words" of the question.
        target: a name in `tempo_lab.analysis.TARGETS`: "yes_no_logit" (relevance of one segment),
            "answer_logprob", "answer_margin", or one of your own (`register_target`).
        method: "feature_ablation", "shapley_value_sampling", "kernel_shap", on masks;
            "integrated_gradients", "layer_gradient_x_activation", on embeddings.
        baseline: what stands for a unit that is taken away; the first of its kind by default.
        answer: whose probability is the target; the model's own by default.
        against: for "answer_margin": another answer.
        segment: for units or targets of one segment; the most relevant by default.
        budget: memory tokens for the whole video, as of `Session.ask`.
        seed: of methods that draw.
        samples: permutations of Shapley sampling, masks of Kernel SHAP, steps of Integrated
            Gradients.
        batch: inputs that the model takes at once.
        progress: show a bar.

    Raises:
        TraceError: unknown names; what does not go together (the message lists what does); a
            segment or a number of samples that has no meaning; a trace of another model or video,
            or of a run in which the SVLM was changed, for units that it reads.
        QueryError: an answer with words that the model does not know.
    """
    import torch
    from tqdm.auto import tqdm

    from tempo_lab.analysis.attribution.masked_forward import Passes, frozen

    check_session(session)
    choice = choose(units, target, method, baseline)
    _check_counts(samples, batch, choice)
    check_count("seed", seed, 0)
    _check_against(against, choice)
    trace = _asked(session, question, budget)
    _check_undone(trace, choice)
    if segment is not None and not choice.of_segment:
        raise TraceError(
            "no segment is asked about",
            asked=f"segment={segment}",
            found=f"units={units!r}, target={target!r}",
            fix="leave segment out",
        )
    which = _segment(segment, trace)
    given = trace.answer if answer is None else answer
    passes = Passes(session, trace, which, given, against)
    for text in (answer, against):
        if text is not None:
            passes.asked(trace.question, text)  # refuses what the model cannot write

    with frozen(session.checkpoint.model), torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        chosen = choice.kind(passes, choice.baseline, choice.target.reads)
        count, how = chosen.count, choice.how
        taken = how.samples(count) if samples is None else samples
        _check_enough(count, taken, choice)
        total = 2 + how.evaluations(count, taken)
        with tqdm(total=total, desc=method, unit="pass", delay=1, disable=not progress) as bar:
            measured = Measured(chosen, choice.target, batch, bar.update)
            with_all, with_none = measured(torch.eye(2)[:, :1].expand(2, count)).tolist()
            found = how.run(measured, taken).detach().float().cpu()
    values = (_by_unit(found, chosen.groups) if how.gradients else found[0]).numpy().astype(float)

    data = xr.Dataset(
        {
            "value": ("unit", values),
            "all": ((), with_all),
            "none": ((), with_none),
            "delta": ((), values.sum() - (with_all - with_none)),
        },
        {"unit": chosen.labels},
    )
    for name, place in chosen.places.items():
        attrs = {"units": place.units, "long_name": place.meaning}
        data = data.assign_coords({name: ("unit", np.asarray(place.values), attrs)})
    return Attribution(data, _provenance(choice, passes, taken, seed))


def _by_unit(found: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """[unit]: sums over the embeddings of each unit, of [1, token, ...]."""
    each = found[0].flatten(1).sum(dim=1)
    inside = groups.cpu() >= 0
    sums = each.new_zeros(int(groups.max()) + 1)
    return sums.index_add_(0, groups.cpu()[inside], each[inside])


def _asked(session: Session, question: str | Trace, budget: int | None) -> Trace:
    if not isinstance(question, Trace):
        return session.ask(question, budget=budget)
    check_model(question, session)
    if budget is not None or question.provenance.get("history"):
        raise TraceError(
            "a trace brings its own budget, and no earlier turns can be taken into account",
            asked=f"budget={budget}",
            found=f"budget {question.data.attrs['budget']}, "
            f"{len(question.provenance.get('history') or ())} earlier turns",
            fix="give the question instead of the trace",
        )
    return question


def _check_undone(trace: Trace, choice: AttributionSetup) -> None:
    """Memory is taken as the LLM read it; what the SVLM reads is changed here alone."""
    kinds = {one["kind"] for one in trace.provenance.get("interventions", ())}
    if choice.units not in ("segments", "slots") and kinds & set(BEFORE_MEMORY):
        raise TraceError(
            "what the SVLM read, or where its memory stands, was changed in this run",
            asked=f"units={choice.units!r}",
            found="; ".join(trace.interventions),
            fix='units="segments" or "slots", or a trace without these interventions',
        )


def _segment(segment: int | None, trace: Trace) -> int:
    count = trace.data.sizes["segment"]
    if segment is None:
        return int(trace.data["logit"].to_numpy().argmax())
    if isinstance(segment, str) or segment not in range(count):
        raise TraceError(
            "no such segment",
            asked=f"segment={segment}",
            found=f"{count} segments, 0 to {count - 1}",
            fix=nearest(segment, count),
        )
    return int(segment)


def _check_counts(samples: int | None, batch: int, choice: AttributionSetup) -> None:
    draws = choice.how.samples(1) > 0
    if samples is not None and not draws:
        raise TraceError(
            "this method takes no samples",
            asked=f"samples={samples}",
            found=choice.method,
            fix="leave samples out",
        )
    for name, number in (("samples", samples), ("batch", batch)):
        if number is not None:
            check_count(name, number)


def _check_enough(count: int, samples: int, choice: AttributionSetup) -> None:
    if choice.method == "kernel_shap" and (count < 2 or samples < count + 2):
        raise TraceError(
            "Kernel SHAP fits a line through masks: 2 units or more, and more masks than units",
            asked=f"{count} units, {samples} samples",
            fix=f"samples={4 * count + 64}" if count > 1 else 'method="feature_ablation"',
        )


def _check_against(against: str | None, choice: AttributionSetup) -> None:
    if against is not None and choice.target.reads != "answer":
        raise TraceError(
            "this target compares no answers",
            asked=f"against={against!r}",
            found=choice.target.name,
            fix='target="answer_margin"',
        )


def _provenance(
    choice: AttributionSetup, passes: Passes, samples: int, seed: int
) -> dict[str, Any]:
    trace = passes.trace
    answers = choice.target.reads == "answer"
    return {
        "question": trace.question,
        "answer": passes.answer if answers else None,
        "against": passes.against,
        "units": choice.units,
        "segment": passes.segment if choice.of_segment else None,
        "target": choice.target.name,
        "target_units": choice.target.units,
        "method": choice.method,
        "baseline": choice.baseline,
        "baseline_means": choice.meaning,
        "samples": samples,
        "seed": seed,
        "budget": trace.data.attrs["budget"],
        "strategy": trace.data.attrs["strategy"],
        "trace": trace.provenance,
    }
