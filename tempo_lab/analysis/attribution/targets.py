"""Targets: which number of the model's output is explained. Register your own:

@register_target("answer_length", reads="answer", units="nat")
def end_now(outcome):
    \"\"\"Log-probability that nothing is said.\"\"\"
    return outcome.logprobs("")[:, 0, outcome.ids("")[0]]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tempo_lab.common.errors import TraceError, did_you_mean

if TYPE_CHECKING:
    import torch

    from tempo_lab.analysis.attribution.masked_forward import MaskedOutput

READS = ("relevance", "answer")
"""What a target may read of an `MaskedOutput`: its `logit`, or `logprob` and `logprobs`."""


@dataclass(frozen=True)
class Target:
    """A number of the model's output.

    Attributes:
        name: in `TARGETS`.
        reads: "relevance" or "answer".
        units: of the number.
        of: [mask] of an outcome.
    """

    name: str
    reads: str
    units: str
    of: Callable[[MaskedOutput], torch.Tensor]


TARGETS: dict[str, Target] = {}

Function = Callable[["MaskedOutput"], "torch.Tensor"]


def register_target(name: str, *, reads: str, units: str = "nat") -> Callable[[Function], Function]:
    """Decorator: make a function of an `MaskedOutput` known to `attribution` under `name`.

    Args:
        name: how it is asked for.
        reads: "relevance" (the segment's logit, before any memory token) or "answer".
        units: of the number that it gives for each mask, float [mask].

    Raises:
        TraceError: nothing of that name can be read.
    """
    if reads not in READS:
        raise TraceError(
            "a target cannot read that",
            asked=f"reads={reads!r}",
            found=", ".join(READS),
            fix=did_you_mean(reads, READS, "use one of these"),
        )

    def register(function: Function) -> Function:
        TARGETS[name] = Target(name, reads, units, function)
        return function

    return register


@register_target("yes_no_logit", reads="relevance")
def yes_no_logit(outcome: MaskedOutput) -> torch.Tensor:
    """Logit of Yes over No: whether the segment is relevant (METHOD section 3)."""
    assert outcome.logit is not None
    return outcome.logit


@register_target("answer_logprob", reads="answer")
def answer_logprob(outcome: MaskedOutput) -> torch.Tensor:
    """Log-probability of the answer and its end, summed over its tokens."""
    return outcome.logprob(outcome.answer)


@register_target("answer_margin", reads="answer")
def answer_margin(outcome: MaskedOutput) -> torch.Tensor:
    """Log-probability of the answer less that of the answer to compare with.

    Where none is given: of the first token, less that of the best other first token. Which one is
    best can change on the way to a baseline, so that Integrated Gradients need more steps.
    """
    if outcome.against is not None:
        return outcome.logprob(outcome.answer) - outcome.logprob(outcome.against)
    first = outcome.logprobs(outcome.answer)[:, 0]
    own = first[:, outcome.ids(outcome.answer)[0]]
    others = first.clone()
    others[:, outcome.ids(outcome.answer)[0]] = float("-inf")
    return own - others.amax(dim=1)
