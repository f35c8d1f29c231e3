"""Where the tokens would go under another budget, rule or minimum: no model runs for that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ipywidgets as ipw
from ipywidgets import Layout

from tempo_lab.allocation.absolute import Abstain, Floor, Temperature, Threshold
from tempo_lab.allocation.ata import STRATEGIES, Allocation, allocate
from tempo_lab.allocation.strategies_pair import Pair, known_as
from tempo_lab.widgets.base import WIDE, Explorer, sized
from tempo_lab.widgets.checks import check_trace, quiet
from tempo_lab.widgets.tables import ledger, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.session.session import Session
    from tempo_lab.trace.trace import Trace

MINMAX = "min-max"
SHARES = {
    MINMAX: "head", "abstain": "abstain", "floor": "floor", "threshold": "threshold",
    "temperature": "temperature", "topk": "topk", "uniform": "uniform", "none": "none",
}  # fmt: skip
"""How a budget can be shared: names here, and the strategies that do it."""
KEEPS = ("head", "tail", "random", "tome")
"""Which memory tokens can stay."""
DIALS = {
    "abstain": (Abstain, "threshold", 0.0, 1.0),
    "floor": (Floor, "coverage", 0.0, 1.0),
    "threshold": (Threshold, "threshold", 0.0, 1.0),
    "temperature": (Temperature, "temperature", 0.1, 8.0),
}
"""What has a parameter: the strategy, the parameter's name, its least and largest value."""


class RoutingExplorer(Explorer):
    """Budget, minimum and rule; the allocation and its ledger follow at once.

    Args:
        trace: whose scores share the budget.
        session: the video of that trace, to answer again with the allocation that is shown.

    Attributes:
        budget, min_tokens, shares, keeps, dial: the controls.
        allocation: what is shown.
        answered: the trace of the last answer with another allocation, None before.

    Raises:
        TraceError: the session's video has another number of segments.
    """

    def __init__(self, trace: Trace, session: Session | None = None) -> None:
        check_trace(trace, session)
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
            tooltip="how the budget is shared among segments", **sized(17),
        )  # fmt: skip
        self.keeps = ipw.Dropdown(
            options=KEEPS, value=keeps, description="strategy",
            tooltip="which memory tokens of a segment stay", **sized(17),
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
        with self._strategy() as strategy:
            self.allocation = allocate(
                self.trace.data["score"].to_numpy(), self.budget.value, strategy=strategy,
                mode=attrs["mode"], min_tokens=self.min_tokens.value,
                max_tokens=attrs["memory_slots"], seed=attrs["seed"],
            )  # fmt: skip
            self.ledger.value = ledger(self.trace, self.allocation)
        return plots.routing(self.trace, self.allocation, width=WIDE)[0]

    def caption(self) -> str:
        given = self.allocation
        used = "" if given is None else f", {given.used} of {given.budget} tokens given"
        return f"Allocation by {self.shares.value}, {self.keeps.value}{used}"

    @contextmanager
    def _strategy(self) -> Iterator[str]:
        """The name that `allocate` knows the controls' strategy by, for as long as it does."""
        shares, keeps = self.shares.value, self.keeps.value
        rule = STRATEGIES[SHARES.get(shares, shares)]
        name = shares
        if shares in DIALS:
            kind, parameter, *_ = DIALS[shares]
            made = kind(**{parameter: self.dial.value})
            if made != rule:
                rule, name = made, f"{shares} {self.dial.value:g}"
        if shares == MINMAX:
            yield keeps
        elif keeps == "head" and rule is STRATEGIES.get(name):
            yield name
        else:
            with known_as(
                name if keeps == "head" else f"{name}, {keeps}",
                rule if keeps == "head" else Pair(rule, STRATEGIES[keeps]),
            ) as name:
                yield name

    def _answer(self) -> None:
        assert self.session is not None
        told = self.trace
        if self._stale:
            self.redraw()
        with self._strategy() as strategy, quiet(self.session):
            self.answered = self.session.ask(
                told.question, budget=self.budget.value, strategy=strategy,
                mode=told.data.attrs["mode"], min_tokens=self.min_tokens.value,
                seed=told.data.attrs["seed"], scores=told.data["score"].to_numpy(),
                history=[(q, a) for q, a in told.provenance.get("history", ())],
            )  # fmt: skip
        self.say("\n".join(self.answered.warnings))
        self.answers.value = table(
            ["", "answer", "tokens", "strategy"],
            [
                [name, each.answer, each.data.attrs["used"], each.data.attrs["strategy"]]
                for name, each in (("as asked", told), ("with this", self.answered))
            ],
        )

    def _show_dial(self, change: dict | None) -> None:
        """Let the dial be the parameter of what shares the budget; at its default if it is new."""
        display = "none"
        if (shares := self.shares.value) in DIALS:
            _, name, least, most = DIALS[shares]
            self.dial.description, display = name, "flex"
            self.dial.tooltip = f"{name} of the allocator {shares}"
            value = STRATEGIES[shares].parameters[name] if change is not None else self.dial.value
            # one message: a page that hears of the limits alone moves the value into them
            with self.dial.hold_sync(), self.dial.hold_trait_notifications():
                self.dial.min, self.dial.max, self.dial.value = least, most, value
        self.dial.layout.display = display


def _halves(strategy: str) -> tuple[str, str, float | None]:
    """What shares and what keeps in a strategy of that name, and its parameter if it has one."""
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
