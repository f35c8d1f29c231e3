"""Solutions of notebook 06; run it in the folder of the notebooks."""

import numpy as np

import tempo_lab as tl
from tempo_lab import course

tempo = course.start()
session = tempo.open(course.clip("voyage"), progress=False)

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
first_facts = [2, 3]
course.check_first_facts(first_facts)


# %% Exercise 5
def knee(ks, curve):
    x, y = np.array(ks, dtype=float), np.array(curve, dtype=float)
    above = (y - y[0]) / (y[-1] - y[0]) - (x - x[0]) / (x[-1] - x[0])
    return ks[above.argmax()]


course.check_knee(knee)

# %% Exercise 6
slot = 2  # after the object and its place
only = tl.Intervention.slots([slot])
run = session.ask("What color is the star?", budget=64, interventions=only)
course.check_color_slot(slot, run)

session.close()
