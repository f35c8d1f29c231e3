"""Relevance, wording and allocation in words and figures. No torch.

Every sentence about a result is chosen by an interval, and its numbers are filled in.
"""

from __future__ import annotations

from tempo_lab import plots
from tempo_lab.allocation.arms import quarter
from tempo_lab.analysis.prompt_sensitivity import LEFT_OUT, RELEASED
from tempo_lab.apps.reports.analyses.findings import Findings
from tempo_lab.apps.reports.analyses.format import figure, table
from tempo_lab.apps.reports.analyses.run import ABSENCE, MOST, NEEDLES, Measured
from tempo_lab.apps.reports.html import Section

NEARLY_ALL = 0.9
"""Share of scores from which on the model is called nearly always sure."""


def relevance(measured: Measured, told: Findings) -> Section:
    """Routing and calibration, and at which depth the decision is there."""
    auc, gain = told("relevance", "AUC"), told("relevance", "AUC less shuffled")
    error = told("relevance", "calibration error").value
    shuffled = told("relevance", "calibration error, shuffled question").value
    sure = told("relevance", "scores below .1 or above .9").value
    layers = measured.by_layer.data["layer"].to_numpy()
    depth, signs = (
        ", ".join(f"{told('relevance_by_layer', f'{what}, layer {n}')} (layer {n})" for n in layers)
        for what in ("AUC", "agreement with the last layer")
    )
    alone = told("relevance_by_layer", "agreement of one answer for all")
    return Section(
        "1. Relevance: routing and calibration",
        [
            f"Done: {auc.n} questions about one segment, each asked about its own video. AUC is the"
            " chance that a segment with the evidence scores above one without. Control: a question"
            " of another video is asked in its place, and measured against the evidence of the"
            " original one. The embedded models are trained to answer Yes or No to this very"
            " sentence: their relevance is not zero-shot.",
            f"Came out: AUC {auc}, shuffled {told('relevance', 'AUC, shuffled question')}; the"
            f" difference is {gain}. "
            + gain.reading(
                "The answer Yes or No finds the segments that hold the answer, and it reads the"
                " question to do so.",
                "It ranks segments worse than with another question: the opposite of the claim.",
                "It cannot be told from the ranking for another question: a prior is not seen"
                " here.",
            ),
            f"As a probability: expected calibration error {error:.3f} (shuffled question:"
            f" {shuffled:.3f}). {sure:.0%} of all scores lie below .1 or above .9"
            + (", so that little can be said of what lies between." if sure > NEARLY_ALL else "."),
            f"Depth: AUC read from each layer with the last layer's norm and rows (logit lens) is"
            f" {depth}. The sign agrees with the last layer's in this share of segments: {signs};"
            f" control: saying the same of every segment would agree in {alone}.",
        ],
        [
            figure(
                "relevance",
                "Above, one question; below, all of them, shuffled ones in grey",
                plots.relevance(measured.relevance),
            ),
            figure(
                "relevance_by_layer",
                "The decision, read from each layer",
                plots.relevance_by_layer(measured.by_layer),
            ),
        ],
        {
            "Ranking and calibration": table(told, "relevance"),
            "By layer": table(told, "relevance_by_layer"),
        },
    )


def prompts(measured: Measured, told: Findings) -> Section:
    """Whether the words that ask matter."""
    name = "prompt_sensitivity"
    wordings = [str(w) for w in measured.prompts[0].data["wording"].to_numpy() if w != RELEASED]
    blank = told(name, "memory distance, blank question")
    stored = told(name, f"memory distance, {LEFT_OUT}")
    changed = told(name, f"answer changed at the same tokens, {LEFT_OUT}")
    routing = [
        f"“{wording}”: AUC {told(name, f'AUC, {wording}')}, "
        + told(name, f"AUC less released, {wording}").reading(
            "higher than released", "lower than released", "no different from released by interval"
        )
        for wording in wordings
    ]
    return Section(
        "2. Prompt sensitivity",
        [
            f"Done: for one question about each video ({len(measured.prompts)}), relevance is asked"
            " for in other words, the other way round, and not at all. The AUC is always that of"
            " Yes over No: a model that reads an inverted wording ranks the evidence last, with an"
            " AUC near 0. Scale: the memory for a blank question.",
            f"Came out, of routing: AUC {told(name, f'AUC, {RELEASED}')} with the released"
            f" sentence; {'; '.join(routing)}.",
            f"Of what is stored: with the sentence left out, memory moves by {stored} of its"
            f" length; a blank question moves it by {blank}. At the same numbers of tokens this"
            f" share of answers changes: {changed}. "
            + changed.reading(
                "Asking for relevance changes what is compressed, and that reaches the answer.",
                "",
                "That the change reaches the answer cannot be seen.",
            ),
        ],
        [
            figure(
                name,
                "One of the questions in every wording",
                plots.prompt_sensitivity(measured.prompts[0]),
            )
        ],
        {"By wording": table(told, name)},
    )


def allocation(measured: Measured, told: Findings) -> Section:
    """Where tokens go, what strategies are sensitive to, and what strictness is worth."""
    name = "allocation"
    gain = told(name, "on evidence less shuffled, head")
    outliers = ", ".join(
        f"{strategy} {told(name, f'outlier, {strategy}')}"
        for strategy in ("head", "abstain", "floor", "threshold", "temperature")
    )
    kinds = map(str, measured.strictness.data["kind"].to_numpy())
    return Section(
        "3. Allocation and strictness",
        [
            f"Done, without a model: the scores of section 1 share {quarter(measured.slots)}"
            " tokens per segment by each strategy. Controls: the scores for the shuffled question,"
            " and uniform sharing.",
            f"Came out: ATA puts {told(name, 'on evidence, head')} of its tokens on the evidence;"
            f" by shuffled scores {told(name, 'on evidence, shuffled question, head')}, uniform"
            f" {told(name, 'on evidence, uniform')}. Own less shuffled: {gain}. "
            + gain.reading(
                "Relevance sends tokens where the answer is.",
                "Relevance sends tokens away from where the answer is.",
                "That relevance sends tokens to the answer cannot be seen.",
            )
            + " Where the least relevant segment suddenly seems certain, the others lose this"
            f" share of their tokens: {outliers}.",
            f"Done, with answers: of each video {ABSENCE} questions about absent things, {MOST}"
            f" about the whole video and {NEEDLES} about one segment (fewer where there are none),"
            " under allocators of other strictness. Control: the released rule, the first, with"
            " which the others are paired.",
            *(_strictness(measured, told, kind) for kind in kinds),
        ],
        [
            figure(
                "strictness",
                "Score, gain over the released rule, tokens used",
                plots.allocator_variants(measured.strictness),
            )
        ],
        {"By strategy": table(told, name), "By arm and kind": table(told, "strictness")},
    )


def _strictness(measured: Measured, told: Findings, kind: str) -> str:
    first, *others = map(str, measured.strictness.data["arm"].to_numpy())
    gains = {arm: told("strictness", f"gain over the first arm, {arm}, {kind}") for arm in others}
    apart = [
        f"{arm} gains {gain}" if gain.value > 0 else f"{arm} loses: {gain}"
        for arm, gain in gains.items()
        if gain.reading("yes", "yes", "") == "yes"
    ]
    tokens = ", ".join(
        f"{arm} {told('strictness', f'tokens, {arm}, {kind}').value:.1f}"
        for arm in (first, *others)
    )
    score = told("strictness", f"score, {first}, {kind}")
    return (
        f"Questions, {kind} ({score.n}): {first} scores {score}. "
        + ("; ".join(apart) or "No other arm can be told from it by its interval")
        + f". Tokens per segment: {tokens}."
    )
