"""The sections about front-loading, attention and agreement, in text and figures. No torch.

Every sentence about a result is chosen by an interval, and its numbers are filled in.
"""

from __future__ import annotations

from tempo_lab import plots
from tempo_lab.allocation.arms import quarter
from tempo_lab.analysis.front_loading.result import CONTROL, HEAD, RANDOM, TAIL, TOME
from tempo_lab.apps.reports.analyses.findings import FIRST_ALONE, Findings
from tempo_lab.apps.reports.analyses.format import (
    compare_with_claim,
    findings_table,
    interpret_agreement,
    plot_picture,
)
from tempo_lab.apps.reports.analyses.run import MULTI, NEEDLE, RANDOM_WEIGHTS, ReportResults
from tempo_lab.apps.reports.html import Section

OTHER_ARMS = {TAIL: "the last", RANDOM: "random ones", TOME: "all merged to as many"}


def front_loading(results: ReportResults, findings: Findings) -> Section:
    """Return the section on what the first tokens carry and how much attention they get."""
    curves = [
        plot_picture(
            f"front_loading_{condition.replace('-', '_')}",
            f"Questions: {condition}. Bands: 95 % intervals",
            plots.front_loading(results.front_loading[condition]),
        )
        for condition in (NEEDLE, MULTI)
    ]
    slots = plot_picture(
        "front_loading_slots",
        f"Properties of the slots; questions: {MULTI}",
        plots.front_loading_slots(results.front_loading[MULTI]),
    )
    return Section(
        "4. Front-loading",
        [
            f"Method: every segment keeps the same k of its {results.slots} memory tokens: the"
            " first, the last, random ones, or all merged to k (ToMe). This is done for questions"
            " about one segment and for questions of several parts. Controls: the first k tokens"
            " that were compressed for another question about the same video, and a model with"
            " random weights. The claim is that the first tokens carry the most."
            " The recipe of the embedded models trains them to.",
            *_leads(results, findings, NEEDLE),
            *_leads(results, findings, MULTI),
            _random_weights(results, findings),
            _attention_by_slot(results, findings),
        ],
        [*curves, slots],
        {
            f"Curves, leads, areas, attention by slot: {condition}": findings_table(
                findings, f"front_loading, {condition}"
            )
            for condition in results.front_loading
        },
    )


def _leads(results: ReportResults, findings: Findings, condition: str) -> list[str]:
    """At a quarter of the tokens: the accuracy of the head, and a paragraph for each lead."""
    name, k, slots = f"front_loading, {condition}", quarter(results.slots), results.slots
    all_tokens = findings(name, f"accuracy, {HEAD}, k={slots}")
    paragraphs = [
        f"Questions, {condition} ({all_tokens.n}): the first {k} of {slots} tokens answer"
        f" {findings(name, f'accuracy, {HEAD}, k={k}')} of them correctly, all {slots} answer"
        f" {all_tokens}."
    ]
    for arm, label in OTHER_ARMS.items():
        accuracy = findings(name, f"accuracy, {arm}, k={k}")
        leads = [
            findings(name, f"lead in {measure} over {arm}, k={k}")
            for measure in ("accuracy", "logprob")
        ]
        paragraphs.append(
            f"— Compared with {label} ({accuracy} correct): the first lead by {leads[0]} in"
            f" accuracy ({compare_with_claim(leads[0])}), and by {leads[1]} in the"
            f" log-probability of the right answer ({compare_with_claim(leads[1])})."
        )
    other = findings(name, f"lead in accuracy over {CONTROL}, k={k}")
    paragraphs.append(
        f"— Control, compared with the first {k} tokens for another question: by {other} in"
        " accuracy; "
        + other.interpret(
            "what is stored depends on the question.",
            "memory for another question answers better.",
            "it is not seen here that what is stored depends on the question.",
        )
    )
    return paragraphs


def _random_weights(results: ReportResults, findings: Findings) -> str:
    name, k = f"front_loading, {RANDOM_WEIGHTS}", quarter(results.slots)
    lead = findings(name, f"lead in logprob over {TAIL}, k={k}")
    accuracy = findings(name, f"accuracy, {HEAD}, k={results.slots}")
    return (
        f"Control, one draw of random weights: all tokens answer {accuracy} correctly; the first"
        f" {k} lead over the last by {lead} in log-probability (interval over questions; another"
        " draw of weights has another lead): "
        + lead.interpret(
            "a lead of that size needs no training.",
            "without training the first tokens are behind.",
            "without training neither end is ahead.",
        )
    )


def _attention_by_slot(results: ReportResults, findings: Findings) -> str:
    """Attention to each slot, on the questions of several parts."""
    slots, k = results.slots, quarter(results.slots)
    name, equal = f"front_loading, {MULTI}", 1 / slots
    shares = [findings(name, f"attention share, slot {slot}") for slot in range(slots)]
    values = [share.value for share in shares]
    above = sum(share.low > equal for share in shares[:k])
    below = sum(share.high < equal for share in shares[:k])
    if above == k:
        reading = "the first slots get more attention than others, as front-loading suggests."
    elif below == k:
        reading = "the first slots get less attention than others, against front-loading."
    else:
        reading = "the first slots do not stand out, although front-loading suggests it."
    return (
        f"Attention: of what the language model gives to memory tokens, the first {k} slots get"
        f" {sum(values[:k]):.1%} and the last {k} get {sum(values[-k:]):.1%}; equal shares"
        f" are {k / slots:.1%}. Single slots get {min(values):.1%} (slot"
        f" {values.index(min(values))}) to {max(values):.1%} (slot {values.index(max(values))})."
        f" By their intervals {above} of the first {k} are above an equal share, and {below}"
        f" are below: {reading}"
    )


def attention(results: ReportResults, findings: Findings) -> Section:
    """Return the section on attention mass by key group."""
    name, n = "attention", results.attention.data.sizes["question"]
    return Section(
        "5. Attention by key group",
        [
            f"Method: {n} questions about one segment; attention of the compressor's decision token"
            " and of all memory tokens, averaged over segments, layers and heads, summed by group"
            " of keys. Control: the same questions asked of a model with random weights, which"
            " shows the effect of the number of keys alone. Attention shows what was mixed, not"
            " what mattered: see section 6.",
            _row_attention(results, findings, "decision", "The token that says Yes or No"),
            _row_attention(results, findings, "memory", "Memory tokens"),
        ],
        [plot_picture(name, "Mass by key group", plots.attention_groups(results.attention))],
        {"By row and group": findings_table(findings, name)},
    )


def _row_attention(results: ReportResults, findings: Findings, row: str, label: str) -> str:
    """Return what one kind of row attends to, and what of it was learned."""
    groups = [str(group) for group in results.attention.data["group"].to_numpy()]
    mass = {group: findings("attention", f"{row} on {group}") for group in groups}
    learned = {group: findings("attention", f"{row} on {group} minus random") for group in groups}
    largest = sorted(groups, key=lambda group: -mass[group].value)[:4]
    more = [f"{group} {gain}" for group, gain in learned.items() if gain.low > 0]
    less = [f"{group} {gain}" for group, gain in learned.items() if gain.high < 0]
    difference = findings("attention", f"{row} on evidence minus elsewhere")
    control = findings("attention", f"{row} on evidence minus elsewhere, random weights")
    shown = ", ".join(f"{group} {mass[group]}" for group in largest)
    return (
        f"{label}: the largest masses are {shown}. More than with random weights:"
        f" {', '.join(more) or 'nothing'}; less:"
        f" {', '.join(less) or 'nothing'}. On frames with the evidence minus on frames"
        f" elsewhere: {difference} (random weights: {control}), "
        + difference.interpret(
            "so evidence draws attention.",
            "so frames with the evidence get less of it.",
            "so it is not seen here that evidence draws attention.",
        )
    )


def agreement(results: ReportResults, findings: Findings) -> Section:
    """Return the section that compares relevance, attention and effect of segments."""
    provenance = results.comparison.provenance
    effect, n = provenance["effect"], len(provenance["questions"])
    pairs = map(str, results.comparison.data["pair"].to_numpy())
    return Section(
        "6. Agreement of relevance, attention and causal effect",
        [
            f"Method: for {n} questions about one segment, three rankings of the same segments: the"
            " compressor's relevance; the attention of the answer's tokens to each segment's"
            f" memory; and what {effect['target']} loses when a segment's memory is removed"
            f" ({effect['method']}, baseline: {effect['baseline']}). Control: one of two rankings"
            " is that of another question about the same video.",
            *(_pair_agreement(findings, pair) for pair in pairs),
        ],
        [plot_picture("compare", "Ranks of all segments", plots.compare(results.comparison))],
        {
            "Agreement": findings_table(findings, "compare"),
            "Segments that they disagree on": results.comparison.disagreements(10),
        },
    )


def _pair_agreement(findings: Findings, pair: str) -> str:
    correlation = findings("compare", f"rank correlation, {pair}")
    other = findings("compare", f"rank correlation, other question, {pair}")
    gain = findings("compare", f"rank correlation minus other question, {pair}")
    same_first = findings("compare", f"same first segment, {pair}").value
    first_alone = findings("compare", FIRST_ALONE).value
    texts = (
        "they agree about the question, on more than the first segment",
        "they agree about the question, on the first segment; more is not seen here",
        "they agree less than with another question",
        "what they share is not about the question",
    )
    return (
        f"{pair.replace(', ', ' and ').capitalize()}: rank correlation {correlation}, the same"
        f" first segment in {same_first:.0%} of questions; the same first segment with the others"
        f" in any order would give {first_alone:.2f}. With another question about the same video"
        f" {other}; difference {gain}: {interpret_agreement(findings, pair, texts)}."
    )
