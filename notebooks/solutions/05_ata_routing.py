"""Solutions of notebook 05; run it in the folder of the notebooks."""

import numpy as np

from tempo_lab import course

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
