"""Is it worth it? Against single-task baselines, over seeds, with intervals; and what it costs.

In the order of reading: `statistics` (intervals, pairs), `scores` (Δm, ranks, forgetting, negative transfer), `baselines` (each task
alone, with a rate of its own; a task held out), `cost` (parameters, arithmetic, time, memory).
"""

from minimtl.mtl.evaluation.baselines import Alone, held_out, single_task
from minimtl.mtl.evaluation.cost import Cost, arithmetic, cost
from minimtl.mtl.evaluation.scores import (
    NegativeTransfer,
    better_when_higher,
    delta_m,
    forgetting,
    mean_rank,
    negative_transfer,
)
from minimtl.mtl.evaluation.statistics import Interval, interval, paired
