"""Solutions of notebook 07; run it in the folder of the notebooks."""

import numpy as np

import tempo_lab as tl
from tempo_lab import course

tempo = course.start()
session = tempo.open(course.clip("voyage"), progress=False)
trace = session.ask("What color is the star?", budget=64)

# %% Exercise 1
best = int(trace.data["tokens"].to_numpy().argmax())
stamp = int(trace.data["timestamp_tokens"][best])
positions = trace.totals["text"] + int(trace.data["tokens"][best]) + stamp
course.check_prompt_left(positions, trace)


# %% Exercise 2
def sure(logprobs):
    return np.exp(np.sum(logprobs))


course.check_answer_probability(sure)

# %% Exercise 3
question_tokens = 12 * 15 + 40
first_and_second = [10 + 12 * 84 + question_tokens, question_tokens]
course.check_tokens_read(first_and_second)

# %% Exercise 4
kept_bytes = 28 * 8 * 128 * 2 * 2
course.check_kept_bytes(kept_bytes)

# %% Exercise 5
drop = tl.Intervention.drop(8)
plain = session.ask("What color is the star?", budget=64)
lost = int(plain.data["tokens"][8]) + int(plain.data["timestamp_tokens"][8])
predicted = plain.totals["prompt"] - lost
run = session.ask("What color is the star?", budget=64, interventions=drop)
course.check_prompt_after_drop(predicted, run)

session.close()
