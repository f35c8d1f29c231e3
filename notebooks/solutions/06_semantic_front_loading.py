"""Solutions of notebook 06; run it in the folder of the notebooks."""

import numpy as np

from tempo_lab import course

# %% Exercise 1
kept_slots = list(range(16 - 5, 16))
course.check_tail_slots(kept_slots)

# %% Exercise 2
area = np.trapezoid([0.4, 0.4, 0.2, 0.0], [1, 2, 4, 8]) / 7 / 0.8
course.check_area(area)


# %% Exercise 3
def enough(ks, right):
    return next(k for k, share in zip(ks, right, strict=True) if share >= 0.9 * right[-1])


course.check_enough(enough)


# %% Exercise 4
def knee(ks, curve):
    x, y = np.array(ks, dtype=float), np.array(curve, dtype=float)
    above = (y - y[0]) / (y[-1] - y[0]) - (x - x[0]) / (x[-1] - x[0])
    return ks[above.argmax()]


course.check_knee(knee)
