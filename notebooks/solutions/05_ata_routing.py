"""Solutions of notebook 05; run it in the folder of the notebooks."""

import numpy as np

import tempo_lab as tl
from tempo_lab import course

tempo = course.start()
session = tempo.open(course.clip("voyage"), progress=False)

# %% Exercise 1
wants = [2 + int(14 * z) for z in (0, 0.5, 0, 1, 0.25, 0)]
course.check_wanted(wants)

# %% Exercise 2
after_outlier = (0.25 - 0.05) / (0.85 - 0.05)
course.check_outlier(after_outlier)

# %% Exercise 3
name = "abstain"
course.check_absence(name)


# %% Exercise 4
def share_by(scores, budget):
    part = scores / scores.sum()
    return 1 + np.floor(part * (budget - len(scores))).astype(int)


course.check_sharing(share_by)

# %% Exercise 5
fewest = 3  # the object, its place, its color
give = tl.Intervention.allocate
enough = session.ask("What color is the star?", budget=64, interventions=give({8: fewest}))
short = session.ask("What color is the star?", budget=64, interventions=give({8: fewest - 1}))
course.check_fewest_tokens(fewest, enough, short)

session.close()
