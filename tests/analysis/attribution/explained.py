"""One question and one answer, and their attribution."""

from tempo_lab.analysis import attribution

QUESTION = "What is in this?"
ANSWER = "a dog"


def explain(session, trace, **options):
    return attribution(session, trace, answer=ANSWER, progress=False, **options)
