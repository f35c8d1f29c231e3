"""Targets: the number of the model's output that is explained. Register your own:

@register_target("answer_length", reads="answer", units="nat")
def end_now(output):
    \"\"\"Log-probability of an empty answer.\"\"\"
    return output.logprobs("")[:, 0, output.ids("")[0]]
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
"""What a target may read of a `MaskedOutput`: its `logit`, or `logprob` and `logprobs`."""


@dataclass(frozen=True)
class Target:
    """A number of the model's output.

    Attributes:
        name: its name in `TARGETS`.
        reads: "relevance" or "answer".
        units: the unit of the number.
        of: returns [mask] of a `MaskedOutput`.
    """

    name: str
    reads: str
    units: str
    of: Callable[[MaskedOutput], torch.Tensor]


TARGETS: dict[str, Target] = {}

Function = Callable[["MaskedOutput"], "torch.Tensor"]


def register_target(name: str, *, reads: str, units: str = "nat") -> Callable[[Function], Function]:
    """Return a decorator that registers a function of a `MaskedOutput` as a target.

    Args:
        name: its name in `attribution(..., target=name)`.
        reads: "relevance" (the segment's logit, before any memory token) or "answer".
        units: the unit of the number that it returns for each mask, float [mask].

    Raises:
        TraceError: `reads` is neither of the two.
    """
    if reads not in READS:
        raise TraceError(
            "a target cannot read this",
            asked=f"reads={reads!r}",
            found=", ".join(READS),
            fix=did_you_mean(reads, READS, "use one of these"),
        )

    def register(function: Function) -> Function:
        TARGETS[name] = Target(name, reads, units, function)
        return function

    return register


@register_target("yes_no_logit", reads="relevance")
def yes_no_logit(output: MaskedOutput) -> torch.Tensor:
    """Return the Yes-versus-No logit: is the segment relevant (docs/method.md section 3)."""
    assert output.logit is not None
    return output.logit


@register_target("answer_logprob", reads="answer")
def answer_logprob(output: MaskedOutput) -> torch.Tensor:
    """Return the log-probability of the answer and its end, summed over its tokens."""
    return output.logprob(output.answer)


@register_target("answer_margin", reads="answer")
def answer_margin(output: MaskedOutput) -> torch.Tensor:
    """Return the log-probability of the answer minus that of the answer to compare with.

    Without an answer to compare with, it is the log-probability of the first token minus that of
    the best other first token. Which token is best can change along the path to a baseline, so
    Integrated Gradients need more steps.
    """
    if output.against is not None:
        return output.logprob(output.answer) - output.logprob(output.against)
    first = output.logprobs(output.answer)[:, 0]
    own = first[:, output.ids(output.answer)[0]]
    others = first.clone()
    others[:, output.ids(output.answer)[0]] = float("-inf")
    return own - others.amax(dim=1)
