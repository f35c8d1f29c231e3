"""Solutions of notebook 03; run it in the folder of the notebooks."""

import numpy as np

import tempo_lab as tl
from tempo_lab import course

tempo = course.start()
session = tempo.open(course.clip("voyage"), progress=False)

# %% Exercise 1
times_even = 0.15 / (72 / 120)
course.check_times_even(times_even)

# %% Exercise 2
text = "What color is the moon"
course.check_cut(text)


# %% Exercise 3
def roll(maps):
    product = np.eye(len(maps[0]))
    for layer in maps:
        product = 0.5 * product + 0.5 * layer @ product
    return product


course.check_rollout(roll)

# %% Exercise 4
capture = tl.Capture(hidden=["decision"], layers=[-1])
states = session.ask("What color is the star?", budget=64, capture=capture).data["hidden_state"]
state = states.isel(segment=8, layer=0, hidden_row=0).to_numpy()
copy = tl.Intervention.patch(-1, "decision", state, segments=3)
predicted = 16  # as many as segment 8: now both scores are the highest
run = session.ask("What color is the star?", budget=64, interventions=copy)
course.check_copied_decision(predicted, run)

session.close()
