"""Train one model on the shards of a table, two at a time: each process computes the gradient of its rows, a step averages them.

    everloop run examples/parallel/train.py --executor process --workers 2
    everloop run examples/parallel/train.py --executor ray

The same file runs on the processes of this machine and on the nodes of a Ray cluster. Every round is a node of the graph, so
that a training that was cut off goes on with the round it was in.
"""

import numpy as np

import everloop as el

ROUNDS = 20
SHARDS = 2
RATE = 2.0


@el.step
def rows(count: int, seed: int = 0) -> list[np.ndarray]:
    """Make rows of four columns and a label of 0 or 1, in as many parts as there are processes."""
    source = np.random.default_rng(seed)
    x = source.normal(size=(count, 4))
    chance = 1 / (1 + np.exp(-(x @ [1.5, -2.0, 0.5, 0.0] + 0.3)))
    label = source.random(count) < chance
    return np.array_split(np.column_stack([np.ones(count), x, label]), SHARDS)


@el.step
def start() -> np.ndarray:
    return np.zeros(5)


@el.step(cpus=1)
def gradient(shard: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """Return the summed gradient of the log loss over a shard, and the number of its rows."""
    x, label = shard[:, :-1], shard[:, -1]
    chance = 1 / (1 + np.exp(-(x @ weights)))
    return np.append(x.T @ (chance - label), len(label))


@el.step
def move(weights: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
    total = np.sum(gradients, axis=0)
    return weights - RATE * total[:-1] / total[-1]


@el.pipeline
def train(count: int = 20_000) -> np.ndarray:
    shards, weights = rows(count), start()
    for _ in range(ROUNDS):
        weights = move(weights, gradient.map(shards, weights=weights))
    return weights
