"""Solutions of notebook 03; run it in the folder of the notebooks."""

import numpy as np

from tempo_lab import course

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
