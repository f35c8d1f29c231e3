"""Front-loading, attention and agreement in words and figures. No torch.

Every sentence about a result is chosen by an interval, and its numbers are filled in.
"""

from __future__ import annotations

from tempo_lab import plots
from tempo_lab.allocation.arms import quarter
from tempo_lab.analysis.front_loading.result import CONTROL, HEAD, RANDOM, TAIL, TOME
from tempo_lab.apps.reports.analyses import run
from tempo_lab.apps.reports.analyses.findings import FIRST_ALONE, Findings
from tempo_lab.apps.reports.analyses.format import against_claim, figure, read_agreement, table
from tempo_lab.apps.reports.analyses.run import MULTI, NEEDLE, Measured
from tempo_lab.apps.reports.html import Section

RIVALS = {TAIL: "the last", RANDOM: "random ones", TOME: "all merged to as many"}


def front_loading(measured: Measured, told: Findings) -> Section:
    """What the first tokens carry, and whether the language model looks at them more."""
    curves = [
        figure(
            f"front_loading_{of.replace('-', '_')}",
            f"Questions: {of}. Bands: 95 % intervals",
            plots.front_loading(measured.front_loading[of]),
        )
        for of in (NEEDLE, MULTI)
    ]
    slots = figure(
        "front_loading_slots",
        f"What the slots are like; questions: {MULTI}",
        plots.front_loading_slots(measured.front_loading[MULTI]),
    )
    return Section(
        "4. Front-loading",
        [
            f"Done: every segment keeps the same k of its {measured.slots} memory tokens: the"
            " first, the last, random ones, or all merged to k (ToMe). Once for questions about"
            " one segment, once for questions of several parts. Controls: the first k that were"
            " compressed for another question about the same video, and a model with random"
            " weights. The claim is that the first tokens carry the most."
            " The recipe of the embedded models trains them to.",
            *_led(measured, told, NEEDLE),
            *_led(measured, told, MULTI),
            _by_chance(measured, told),
            _looked_at(measured, told),
        ],
        [*curves, slots],
        {
            f"Curves, leads, areas, attention by slot: {of}": table(told, f"front_loading, {of}")
            for of in measured.front_loading
        },
    )


def _led(measured: Measured, told: Findings, of: str) -> list[str]:
    """At a quarter of the tokens: accuracy of the head, and its leads, a paragraph each."""
    name, k, slots = f"front_loading, {of}", quarter(measured.slots), measured.slots
    every = told(name, f"accuracy, {HEAD}, k={slots}")
    lines = [
        f"Questions, {of} ({every.n}): the first {k} of {slots} tokens answer"
        f" {told(name, f'accuracy, {HEAD}, k={k}')} of them right, all {slots} answer {every}."
    ]
    for arm, words in RIVALS.items():
        right = told(name, f"accuracy, {arm}, k={k}")
        leads = [
            told(name, f"lead in {what} over {arm}, k={k}") for what in ("accuracy", "logprob")
        ]
        lines.append(
            f"— Against {words} ({right} right): the first lead by {leads[0]} in accuracy"
            f" ({against_claim(leads[0])}), and by {leads[1]} in the right answer's"
            f" log-probability ({against_claim(leads[1])})."
        )
    other = told(name, f"lead in accuracy over {CONTROL}, k={k}")
    lines.append(
        f"— Control, against the first {k} tokens for another question: by {other} in accuracy; "
        + other.reading(
            "what is stored depends on the question.",
            "memory for another question answers better.",
            "that what is stored depends on the question cannot be seen.",
        )
    )
    return lines


def _by_chance(measured: Measured, told: Findings) -> str:
    name, k = f"front_loading, {run.RANDOM}", quarter(measured.slots)
    lead = told(name, f"lead in logprob over {TAIL}, k={k}")
    right = told(name, f"accuracy, {HEAD}, k={measured.slots}")
    return (
        f"Control, one draw of random weights: all tokens answer {right} right; the first {k} lead"
        f" over the last by {lead} in log-probability (over questions; other draws of weights,"
        " other leads): "
        + lead.reading(
            "a lead of that size needs no training.",
            "without training the first tokens are behind.",
            "without training neither end is ahead.",
        )
    )


def _looked_at(measured: Measured, told: Findings) -> str:
    """Attention by slot, of the questions of several parts."""
    slots, some = measured.slots, quarter(measured.slots)
    name, equal = f"front_loading, {MULTI}", 1 / slots
    shares = [told(name, f"attention share, slot {slot}") for slot in range(slots)]
    values = [share.value for share in shares]
    above = sum(share.low > equal for share in shares[:some])
    below = sum(share.high < equal for share in shares[:some])
    if above == some:
        reading = "the first slots are looked at more than others, as front-loading suggests."
    elif below == some:
        reading = "the first slots are looked at less than others, against front-loading."
    else:
        reading = "the first slots do not stand out, as front-loading suggests that they do."
    return (
        f"Attention: of what the language model gives to memory tokens, the first {some} slots get"
        f" {sum(values[:some]):.1%} and the last {some} {sum(values[-some:]):.1%}; equal shares"
        f" are {some / slots:.1%}. Single slots get {min(values):.1%} (slot"
        f" {values.index(min(values))}) to {max(values):.1%} (slot {values.index(max(values))})."
        f" By their intervals {above} of the first {some} lie above an equal share, and {below}"
        f" below: {reading}"
    )


def attention(measured: Measured, told: Findings) -> Section:
    """Mass by key group."""
    name, n = "attention", measured.attention.data.sizes["question"]
    return Section(
        "5. Attention by key group",
        [
            f"Done: {n} questions about one segment; attention of the compressor's decision token"
            " and of all memory tokens, mean of segments, layers and heads, summed by what the keys"
            " are. Control: the same questions asked of a model with random weights, which shows"
            " what the number of keys alone gives. Attention says what was mixed, not what"
            " mattered: see section 6.",
            _looks(measured, told, "decision", "The token that says Yes or No"),
            _looks(measured, told, "memory", "Memory tokens"),
        ],
        [figure(name, "Mass by key group", plots.attention_groups(measured.attention))],
        {"By row and group": table(told, name)},
    )


def _looks(measured: Measured, told: Findings, row: str, what: str) -> str:
    """What one kind of row looks at, and what of it was learnt."""
    groups = [str(group) for group in measured.attention.data["group"].to_numpy()]
    mass = {group: told("attention", f"{row} on {group}") for group in groups}
    learnt = {group: told("attention", f"{row} on {group} less random") for group in groups}
    most = sorted(groups, key=lambda group: -mass[group].value)[:4]
    more = [f"{group} {gain}" for group, gain in learnt.items() if gain.low > 0]
    less = [f"{group} {gain}" for group, gain in learnt.items() if gain.high < 0]
    apart = told("attention", f"{row} on evidence less elsewhere")
    chance = told("attention", f"{row} on evidence less elsewhere, random weights")
    return (
        f"{what}: most goes to {', '.join(f'{group} {mass[group]}' for group in most)}. More than"
        f" with random weights: {', '.join(more) or 'nothing'}; less:"
        f" {', '.join(less) or 'nothing'}. On frames where the evidence is, less on"
        f" frames elsewhere: {apart} (random weights: {chance}), "
        + apart.reading(
            "so that evidence draws attention.",
            "so that frames get less of it where the evidence is.",
            "so that evidence draws no attention that can be seen.",
        )
    )


def agreement(measured: Measured, told: Findings) -> Section:
    """Relevance, attention and effect of segments in one table."""
    made = measured.comparison.provenance
    effect, n = made["effect"], len(made["questions"])
    return Section(
        "6. Agreement of relevance, attention and causal effect",
        [
            f"Done: of {n} questions about one segment, three rankings of the same segments: the"
            " compressor's relevance; the attention of the answer's tokens to each segment's"
            f" memory; and what {effect['target']} loses when a segment's memory is taken away"
            f" ({effect['method']}, baseline: {effect['baseline']}). Control: one of two rankings"
            " is that of another question about the same video.",
            *(_agree(told, pair) for pair in map(str, measured.comparison.data["pair"].to_numpy())),
        ],
        [figure("compare", "Ranks of all segments", plots.compare(measured.comparison))],
        {
            "Agreement": table(told, "compare"),
            "Segments that they disagree on": measured.comparison.disagreements(10),
        },
    )


def _agree(told: Findings, pair: str) -> str:
    rho = told("compare", f"rank correlation, {pair}")
    other = told("compare", f"rank correlation, other question, {pair}")
    gain = told("compare", f"rank correlation less other question, {pair}")
    same = told("compare", f"same first segment, {pair}").value
    alone = told("compare", FIRST_ALONE).value
    words = (
        "they agree about the question, on more than the first segment",
        "they agree about the question, on the first segment and no more that can be seen",
        "they agree less than with another question",
        "what they share is not about the question",
    )
    return (
        f"{pair.replace(', ', ' and ').capitalize()}: rank correlation {rho}, the same first"
        f" segment in {same:.0%} of questions; that alone, and no order of the others, would give"
        f" {alone:.2f}. With another question about the same video {other}; difference {gain}:"
        f" {read_agreement(told, pair, words)}."
    )
