"""What a network was trained with: which parameter got how much of its credit, and why.

A GRU learns to tell which side had more pulses, online with D-RTRL; its weights are kept along the
way. Then its gradients are held against back-propagation through time at each of those points, per
parameter and per lag, and once more with traces that follow every path.

    python examples/audit_training.py

A run of `etp train` keeps its weights by itself: `etp audit runs/NAME`.
"""

import numpy as np

import etp
from etp.study.audit import audit
from etp.tasks import Batches, load


class Net(etp.Module):
    """A GRU with a linear readout."""

    def __init__(self, task, n, rng):
        self.cell = etp.nn.GRUCell(task.n_in, n, rng=rng)
        self.readout = etp.nn.Linear(n, task.n_out, rng=rng)

    def __call__(self, x):
        return self.readout(self.cell(x))


def main(epochs=3, hidden=16):
    task = load("evidence")
    mask = task.mask(1)
    model = Net(task, hidden, np.random.default_rng(0))
    learner = etp.compile(model, "d_rtrl", task.loss, backend="numpy", batch_size=64)

    kept = {0: {name: p.value.copy() for name, p in model.named_params().items()}}
    for epoch in range(epochs):
        batches = Batches(task.train, mask, 64, seed=0, epoch=epoch)
        history = learner.fit(batches, etp.optim.adam(3e-3), update="sequence", progress=False)
        kept[epoch + 1] = {name: np.array(x) for name, x in learner.params.items()}
        print(f"epoch {epoch + 1}: loss {history.epochs[-1]['loss']:.3f}")

    xs, ys = task.test.batch(16)
    found = []
    for options in ({}, {"scope": "full"}):
        told = audit(model, "d_rtrl", task.loss, xs, ys, mask, checkpoints=kept, options=options,
                     title="GRU on evidence", lag_examples=2)  # fmt: skip
        told.print()
        told.plot(f"audit_{options.get('scope', 'diagonal')}.png")
        found.append(told)
    return found


if __name__ == "__main__":
    main()
