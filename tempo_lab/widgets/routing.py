"""Allocations of the same scores with another budget, strategy or minimum; no model runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ipywidgets as ipw
from ipywidgets import Layout

from tempo_lab.allocation import (
    STRATEGIES,
    Abstain,
    Allocation,
    Floor,
    Pair,
    Strategy,
    Temperature,
    Threshold,
    allocate,
)
from tempo_lab.common.deprecation import warn_renamed
from tempo_lab.trace.trace import Trace
from tempo_lab.widgets.base import WIDE, Explorer, sized
from tempo_lab.widgets.tables import ledger, table
from tempo_lab.widgets.validation import check_trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.session.session import Session

MINMAX = "min-max"
SHARES = {
    MINMAX: "head", "abstain": "abstain", "floor": "floor", "threshold": "threshold",
    "temperature": "temperature", "topk": "topk", "uniform": "uniform", "none": "none",
}  # fmt: skip
"""Allocators: names in the menu, and the strategies that allocate in this way."""
ALLOCATORS_HELP = """How the budget is allocated to segments.
min-max: the released rule; between minimum and maximum by relevance, relative to other segments
abstain: min-max if a segment reaches the threshold; otherwise the minimum for every segment
floor: a fraction of the budget (coverage) is shared evenly; min-max allocates the rest
threshold: the minimum below the threshold; above it by relevance
temperature: by sigmoid(logit / temperature), for each segment independently of the others
topk: the less relevant half gets nothing; the other segments share evenly
uniform: the same number of tokens for every segment
none: all tokens of every segment"""
KEEPS = ("head", "tail", "random", "tome")
"""Which memory tokens of a segment can be kept."""
KEEPS_HELP = """Which memory tokens of a segment are kept.
head: the first k, as released
tail: the last k
random: k at random, in their order
tome: the most similar ones are averaged until k are left"""
DIALS = {
    "abstain": (Abstain, "threshold", 0.0, 1.0),
    "floor": (Floor, "coverage", 0.0, 1.0),
    "threshold": (Threshold, "threshold", 0.0, 1.0),
    "temperature": (Temperature, "temperature", 0.1, 8.0),
}
"""Allocators with a parameter: the strategy, the parameter's name, its minimum and maximum."""
DIALS_HELP = {
    "threshold": "Relevance from which a segment counts as relevant.",
    "coverage": "Fraction of the budget that is shared evenly first: 0 is min-max, 1 is uniform.",
    "temperature": "1 leaves relevance as it is; more softens it, less pushes it to 0 and 1.",
}


class RoutingExplorer(Explorer):
    """Set budget, minimum and strategy; the allocation and its ledger follow immediately.

    Args:
        session: the video of the trace, opened, to answer again with the allocation that is shown.
            Without it, `RoutingExplorer(trace=trace)`, there is no button to answer again.
        trace: its scores are allocated.

    Attributes:
        budget, min_tokens, shares, keeps, dial: the controls.
        allocation: the allocation that is shown.
        answered: the trace of the last answer with another allocation; None before the first.

    Raises:
        TraceError: `trace` is not a trace, or the session's video has another number of segments.
    """

    def __init__(self, session: Session | None = None, trace: Trace | None = None) -> None:
        if isinstance(session, Trace):  # the order of the last version
            warn_renamed("RoutingExplorer(trace, session)", "RoutingExplorer(session, trace)")
            session, trace = trace, session  # type: ignore[assignment]
        trace = check_trace(session, trace)
        self.trace, self.session = trace, session
        self.allocation: Allocation | None = None
        self.answered: Trace | None = None
        attrs, n = trace.data.attrs, trace.data.sizes["segment"]
        slots = attrs["memory_slots"]
        shares, keeps, value = _halves(attrs["strategy"])
        self.budget = ipw.IntSlider(
            min(max(attrs["budget"], 1), n * slots), 1, n * slots, description="budget",
            tooltip="memory tokens for the whole video", **sized(27),
        )  # fmt: skip
        self.min_tokens = ipw.IntSlider(
            min(attrs["min_tokens"], slots), 0, slots, description="minimum",
            tooltip="memory tokens that each segment gets at least", **sized(27),
        )  # fmt: skip
        self.shares = ipw.Dropdown(
            options=list(dict.fromkeys([*SHARES, shares])), value=shares, description="allocator",
            tooltip=ALLOCATORS_HELP, **sized(17),
        )  # fmt: skip
        self.keeps = ipw.Dropdown(
            options=KEEPS, value=keeps, description="strategy",
            tooltip=KEEPS_HELP, **sized(17),
        )  # fmt: skip
        self.dial = ipw.FloatSlider(value=value or 0.0, max=8.0, step=0.05, **sized(27))
        self.again = ipw.Button(
            description="Answer with this allocation", icon="play", layout=Layout(width="18em"),
            tooltip="runs the model with the allocation that is shown",
        )  # fmt: skip
        self.ledger = ipw.HTML(layout=Layout(max_height="26em", overflow="auto", width="100%"))
        self.answers = ipw.HTML()
        buttons = [] if session is None else [self.again]
        super().__init__(
            [self.budget, self.min_tokens, self.shares, self.keeps, self.dial, *buttons],
            [self.answers, self.ledger],
        )
        self.holds(self.again)
        self._show_dial({} if value is None else None)
        self.shares.observe(self._show_dial, names="value")
        self.finally_(lambda: self.shares.unobserve(self._show_dial, names="value"))
        self.watch(self.budget, self.min_tokens, self.shares, self.keeps, self.dial)
        self.clicked(self.again, self._answer)
        self.redraw()

    def draw(self) -> Figure:
        from tempo_lab import plots

        attrs = self.trace.data.attrs
        self.allocation = allocate(
            self.trace.data["score"].to_numpy(), self.budget.value, strategy=self._strategy(),
            mode=attrs["mode"], min_tokens=self.min_tokens.value,
            max_tokens=attrs["memory_slots"], seed=attrs["seed"],
        )  # fmt: skip
        self.ledger.value = ledger(self.trace, self.allocation)
        return plots.routing(self.trace, self.allocation, width=WIDE)[0]

    def caption(self) -> str:
        allocation = self.allocation
        used = (
            "" if allocation is None else f", {allocation.used} of {allocation.budget} tokens given"
        )
        return f"Allocation by {self.shares.value}, {self.keeps.value}{used}"

    def _strategy(self) -> Strategy:
        """Return the strategy of the controls."""
        shares, keeps = self.shares.value, self.keeps.value
        rule = STRATEGIES[SHARES.get(shares, shares)]
        if shares in DIALS:
            kind, parameter, *_ = DIALS[shares]
            made = kind(**{parameter: self.dial.value})
            if made != rule:
                rule = made.named(f"{shares} {self.dial.value:g}")
        if shares == MINMAX:
            rule = STRATEGIES[keeps]
        return rule if keeps in ("head", rule.name) else Pair(rule, STRATEGIES[keeps])

    def _answer(self) -> None:
        assert self.session is not None
        trace = self.trace
        if self._stale:
            self.redraw()
        with _without_progress(self.session):
            self.answered = self.session.ask(
                trace.question, budget=self.budget.value, strategy=self._strategy(),
                mode=trace.data.attrs["mode"], min_tokens=self.min_tokens.value,
                seed=trace.data.attrs["seed"], scores=trace.data["score"].to_numpy(),
                history=[(q, a) for q, a in trace.provenance.get("history", ())],
            )  # fmt: skip
        self.say("\n".join(self.answered.warnings))
        self.answers.value = table(
            ["", "answer", "tokens", "strategy"],
            [
                [name, each.answer, each.data.attrs["used"], each.data.attrs["strategy"]]
                for name, each in (("the trace", trace), ("this allocation", self.answered))
            ],
        )

    def _show_dial(self, change: dict | None) -> None:
        """Let the dial show the allocator's parameter, at its default if the allocator is new."""
        display = "none"
        if (shares := self.shares.value) in DIALS:
            _, name, minimum, maximum = DIALS[shares]
            self.dial.description, display = name, "flex"
            self.dial.tooltip = DIALS_HELP[name]
            value = STRATEGIES[shares].parameters[name] if change is not None else self.dial.value
            # one message: a page that receives the limits alone would clip the value
            with self.dial.hold_sync(), self.dial.hold_trait_notifications():
                self.dial.min, self.dial.max, self.dial.value = minimum, maximum, value
        self.dial.layout.display = display


@contextmanager
def _without_progress(session: Session) -> Iterator[None]:
    """Turn off the session's progress bars, for which a panel has no room."""
    before, session.progress = session.progress, False
    try:
        yield
    finally:
        session.progress = before


def _halves(strategy: str) -> tuple[str, str, float | None]:
    """Return a strategy's allocator, the tokens it keeps, and its parameter if it has one."""
    rule = STRATEGIES.get(strategy)
    if rule is None:  # as this explorer names them: "temperature 3, tail"
        name, _, keeps = strategy.partition(", ")
        shares, _, value = name.partition(" ")
        if shares not in SHARES or keeps not in ("", *KEEPS):
            return MINMAX, "head", None
        return shares, keeps or "head", float(value) if shares in DIALS and value else None
    keeps = next((name for name in KEEPS[1:] if isinstance(rule, type(STRATEGIES[name]))), "head")
    for name, (kind, parameter, *_) in DIALS.items():
        if isinstance(rule, kind):
            return name, keeps, rule.parameters[parameter]
    for name in SHARES.keys() - DIALS.keys():
        if type(STRATEGIES[SHARES[name]]).allocate is type(rule).allocate:
            return name, keeps, None
    return strategy, keeps, None
