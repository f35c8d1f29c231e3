"""Solutions of notebook 08; run it in the folder of the notebooks."""

import numpy as np

import tempo_lab as tl
from tempo_lab import course

tempo = course.start()

# %% Exercise 1
each = 1 / 3
course.check_three_witnesses(each)


# %% Exercise 2
def shapley(value, n):
    from itertools import permutations

    orders = list(permutations(range(n)))
    found = np.zeros(n)
    for order in orders:
        for place, unit in enumerate(order):
            before = set(order[:place])
            found[unit] += value(before | {unit}) - value(before)
    return found / len(orders)


course.check_shapley(shapley)


# %% Exercise 3
def integrated(gradient, x, base, steps):
    shares = (np.arange(steps) + 0.5) / steps
    slopes = [gradient(base + share * (x - base)) for share in shares]
    return (x - base) * np.mean(slopes, axis=0)


course.check_integrated(integrated)

# %% Exercise 4
segments = 3 / 0.1 - 1
course.check_shared_first(round(segments))

# %% Exercise 5
session = tempo.open(course.clip("voyage"), progress=False)
plain = session.ask("What color is the star?", budget=64)
predicted = 1  # the segment with the star
drops = [tl.Intervention.drop(segment) for segment in range(len(session))]
runs = [session.ask("What color is the star?", budget=64, interventions=drop) for drop in drops]
course.check_dropped_one_by_one(predicted, runs, plain)

session.close()
