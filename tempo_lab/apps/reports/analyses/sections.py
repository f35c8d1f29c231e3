"""The sections about relevance, wording and allocation, in text and figures. No torch.

Every sentence about a result is chosen by an interval, and its numbers are filled in.
"""

from __future__ import annotations

from tempo_lab import plots
from tempo_lab.allocation.arms import quarter
from tempo_lab.analysis.prompt_sensitivity import LEFT_OUT, RELEASED
from tempo_lab.apps.reports.analyses.findings import Findings
from tempo_lab.apps.reports.analyses.format import findings_table, plot_picture
from tempo_lab.apps.reports.analyses.run import ABSENCE, MOST, NEEDLES, ReportResults
from tempo_lab.apps.reports.html import Section

NEARLY_ALL = 0.9
"""From this share of near-certain scores on, the page says that few scores lie between."""


def relevance(results: ReportResults, findings: Findings) -> Section:
    """Return the section on routing and calibration, and on the depth of the decision."""
    auc, gain = findings("relevance", "AUC"), findings("relevance", "AUC minus shuffled")
    error = findings("relevance", "calibration error").value
    shuffled = findings("relevance", "calibration error, shuffled question").value
    certain = findings("relevance", "scores below .1 or above .9").value
    layers = results.by_layer.data["layer"].to_numpy()
    auc_by_layer, agreement_by_layer = (
        ", ".join(
            f"{findings('relevance_by_layer', f'{quantity}, layer {n}')} (layer {n})"
            for n in layers
        )
        for quantity in ("AUC", "agreement with the last layer")
    )
    constant = findings("relevance_by_layer", "agreement of one answer for all")
    return Section(
        "1. Relevance: routing and calibration",
        [
            f"Method: {auc.n} questions about one segment, each asked about its own video. AUC is"
            " the probability that a segment with the evidence scores above one without."
            " Control: a question about another video is asked instead, and is measured against"
            " the evidence of the original question. The embedded models are trained to answer Yes"
            " or No to this very sentence: their relevance is not zero-shot.",
            f"Result: AUC {auc}, shuffled {findings('relevance', 'AUC, shuffled question')}; the"
            f" difference is {gain}. "
            + gain.interpret(
                "The Yes or No answer finds the segments with the evidence, and depends on the"
                " question.",
                "It ranks segments worse than with another question: the opposite of the claim.",
                "It cannot be distinguished from the ranking for another question: a relevance"
                " prior is not seen here.",
            ),
            f"As a probability: expected calibration error {error:.3f} (shuffled question:"
            f" {shuffled:.3f}). {certain:.0%} of all scores lie below .1 or above .9"
            + (", so little can be said about those between." if certain > NEARLY_ALL else "."),
            "Depth: the AUC read from each layer with the last layer's norm and output rows (logit"
            f" lens) is {auc_by_layer}. The share of segments in which the sign agrees with that of"
            f" the last layer: {agreement_by_layer}. Control: the same answer for every segment"
            f" would agree in {constant}.",
        ],
        [
            plot_picture(
                "relevance",
                "Above: one question. Below: all questions; shuffled ones are gray",
                plots.relevance(results.relevance),
            ),
            plot_picture(
                "relevance_by_layer",
                "The decision, read from each layer",
                plots.relevance_by_layer(results.by_layer),
            ),
        ],
        {
            "Ranking and calibration": findings_table(findings, "relevance"),
            "By layer": findings_table(findings, "relevance_by_layer"),
        },
    )


def prompts(results: ReportResults, findings: Findings) -> Section:
    """Return the section on whether the wording of the relevance prompt matters."""
    name = "prompt_sensitivity"
    wordings = [str(w) for w in results.prompts[0].data["wording"].to_numpy() if w != RELEASED]
    blank = findings(name, "memory distance, blank question")
    stored = findings(name, f"memory distance, {LEFT_OUT}")
    changed = findings(name, f"answer changed at the same tokens, {LEFT_OUT}")
    routing = [
        f"“{wording}”: AUC {findings(name, f'AUC, {wording}')}, "
        + findings(name, f"AUC minus released, {wording}").interpret(
            "higher than released",
            "lower than released",
            "not distinguishable from released by its interval",
        )
        for wording in wordings
    ]
    return Section(
        "2. Prompt sensitivity",
        [
            f"Method: for one question about each video ({len(results.prompts)}), the prompt asks"
            " for relevance in other words, inverted, and not at all. The AUC is always that of"
            " Yes over No: a model that reads an inverted wording ranks the evidence last, with an"
            " AUC near 0. Scale: the memory for a blank question.",
            f"Result, routing: AUC {findings(name, f'AUC, {RELEASED}')} with the released"
            f" sentence; {'; '.join(routing)}.",
            f"Result, stored content: without the sentence, memory moves by {stored} of its"
            f" length; a blank question moves it by {blank}. At the same numbers of tokens this"
            f" share of answers changes: {changed}. "
            + changed.interpret(
                "Asking for relevance changes what is compressed, and the change reaches the"
                " answer.",
                "",
                "It is not seen here that the change reaches the answer.",
            ),
        ],
        [
            plot_picture(
                name,
                "One of the questions in every wording",
                plots.prompt_sensitivity(results.prompts[0]),
            )
        ],
        {"By wording": findings_table(findings, name)},
    )


def allocation(results: ReportResults, findings: Findings) -> Section:
    """Return the section on where tokens go, and on what strictness is worth."""
    name = "allocation"
    gain = findings(name, "on evidence minus shuffled, head")
    outliers = ", ".join(
        f"{strategy} {findings(name, f'outlier, {strategy}')}"
        for strategy in ("head", "abstain", "floor", "threshold", "temperature")
    )
    kinds = map(str, results.strictness.data["kind"].to_numpy())
    return Section(
        "3. Allocation and strictness",
        [
            f"Method, without a model: each strategy allocates {quarter(results.slots)} tokens per"
            " segment by the scores of section 1. Controls: the scores for the shuffled question,"
            " and uniform allocation.",
            f"Result: ATA puts {findings(name, 'on evidence, head')} of its tokens on the evidence;"
            f" with shuffled scores {findings(name, 'on evidence, shuffled question, head')},"
            f" uniform {findings(name, 'on evidence, uniform')}. Own minus shuffled: {gain}. "
            + gain.interpret(
                "Relevance sends tokens to the evidence.",
                "Relevance sends tokens away from the evidence.",
                "It is not seen here that relevance sends tokens to the evidence.",
            )
            + " If the least relevant segment becomes certain, the others lose this share of"
            f" their tokens: {outliers}.",
            f"Method, with answers: for each video {ABSENCE} questions about absent objects, {MOST}"
            f" about the whole video and {NEEDLES} about one segment (fewer if the video does not"
            " have as many), under allocators of different strictness. Control: the released rule,"
            " which is the first and with which the others are paired.",
            *(_strictness(results, findings, kind) for kind in kinds),
        ],
        [
            plot_picture(
                "strictness",
                "Score, gain over the released rule, tokens used",
                plots.allocator_variants(results.strictness),
            )
        ],
        {
            "By strategy": findings_table(findings, name),
            "By arm and kind": findings_table(findings, "strictness"),
        },
    )


def _strictness(results: ReportResults, findings: Findings, kind: str) -> str:
    first, *others = map(str, results.strictness.data["arm"].to_numpy())
    gains = {
        arm: findings("strictness", f"gain over the first arm, {arm}, {kind}") for arm in others
    }
    distinct = [
        f"{arm} gains {gain}" if gain.value > 0 else f"{arm} loses: {gain}"
        for arm, gain in gains.items()
        if gain.interpret("yes", "yes", "") == "yes"
    ]
    tokens = ", ".join(
        f"{arm} {findings('strictness', f'tokens, {arm}, {kind}').value:.1f}"
        for arm in (first, *others)
    )
    score = findings("strictness", f"score, {first}, {kind}")
    return (
        f"Questions, {kind} ({score.n}): {first} scores {score}. "
        + ("; ".join(distinct) or "No other arm can be distinguished from it by its interval")
        + f". Tokens per segment: {tokens}."
    )
