"""What is compiled once stays compiled, and a step program does not grow with the sequence."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import etp
from etp_ir.core import Node, Program
from tests.learner.setups import BATCH, LENGTH, Counting, learner
from tests.models import data

BACKENDS = ["numpy", pytest.param("jax", marks=pytest.mark.filterwarnings("error"))]


def counted(name: str, **options: Any) -> tuple[etp.Learner, Counting]:
    if name == "jax":
        pytest.importorskip("jax")
    backend = Counting(etp.backends.get(name))
    return learner("leaky", backend=backend, dtype="float32", **options), backend


def use(lr: etp.Learner, seed: int) -> None:
    """Call everything a learner does with data, at one size."""
    (x, y), mask = data(LENGTH, BATCH, seed), np.arange(LENGTH) > seed % 3
    lr.predict(x)
    lr.grad(x, y)
    lr.grad(x, y, mask, reduction="sum")
    lr.fit([(x, y), (x, y, mask)], etp.optim.adam(0.01), update="step")
    lr.fit([(x, y)], etp.optim.adam(0.01), update=3)
    lr.fit([(x, y)], etp.optim.adam(0.01), update="sequence", epochs=2)
    lr.params = {n: np.array(p) * 0.9 for n, p in lr.params.items()}
    for t in range(LENGTH):
        lr.step(x[t], y[t], mask=np.full(BATCH, mask[t]))
    lr.reset()


@pytest.mark.parametrize("name", BACKENDS)
def test_the_second_call_compiles_nothing(name: str) -> None:
    lr, backend = counted(name)
    use(lr, 1)
    programs = {run.program.name for run in backend.compiled}
    first, runs = len(backend.compiled), backend.runs
    assert first == 6, programs  # predict, grad, step, and three ways of fitting
    for seed in (2, 3):
        use(lr, seed)
    assert len(backend.compiled) == first
    assert backend.runs == 3 * runs
    if name == "jax":
        # XLA: once for each program, whatever array types it was given.
        assert [run.compilations for run in backend.compiled] == [1] * first


def test_a_new_size_compiles_and_the_old_one_stays() -> None:
    lr, backend = counted("numpy")
    for length, count in [(4, 1), (5, 2), (4, 2), (5, 2)]:
        lr.grad(*data(length, 2))
        assert len(backend.compiled) == count
    for batch, count in [(1, 3), (2, 3)]:
        lr.grad(*data(4, batch))
        assert len(backend.compiled) == count


def test_streaming_compiles_one_program_however_long_it_runs() -> None:
    lr, backend = counted("numpy")
    x, y = data(40, 2)
    for t in range(40):
        lr.step(x[t], y[t], optimizer=etp.optim.sgd(0.01))
    lr.load_state_dict(lr.state_dict())
    lr.step(x[0], y[0])
    assert len(backend.compiled) == 1
    assert backend.runs == 41


def test_equal_optimizers_share_a_program_and_others_do_not() -> None:
    lr, backend = counted("numpy")
    x, y = data(3, 2)
    for rate, count in [(0.1, 1), (0.1, 1), (0.2, 2), (0.1, 2)]:
        lr.fit([(x, y)], etp.optim.sgd(rate))
        assert len(backend.compiled) == count


# -- memory --------------------------------------------------------------------------------
STEPWISE = [
    ("leaky", "d_rtrl"),
    ("gru", "pp_prop"),
    ("rnn", "rtrl"),
    ("lif", "d_rtrl"),
    ("masked", "d_rtrl"),
]
# Every test uses lengths that are no extent of the models, so that they are recognised in a shape.
SHORT, LONG = 11, 31


def scheduled(model: str, rule: str, length: int) -> Program:
    lr = learner(model, rule, schedule="step")
    x, y = data(length, BATCH)
    lr.specialise(x[0, 0], y[0, 0], length=length)
    return lr.program.scheduled


def shapes(nodes: Any) -> Counter[str]:
    return Counter(f"{n.primitive.name} {v.type}" for n in nodes for v in n.outputs)


def loops(program: Program) -> list[Node]:
    return [n for n in program.nodes if n.primitive.name == "scan"]


@pytest.mark.parametrize(("model", "rule"), STEPWISE)
def test_a_step_program_holds_nothing_that_grows_with_the_sequence(model: str, rule: str) -> None:
    short, long = (scheduled(model, rule, n) for n in (SHORT, LONG))
    for program, length in ((short, SHORT), (long, LONG)):
        (loop,) = loops(program)
        assert loop.attrs["length"] == length
        body = loop.attrs["body"]
        assert body.nodes
        assert not any(length in v.type.shape for n in body.walk() for v in n.outputs)
        # Outside the loop only the sequences themselves are as long as the sequence.
        given = {p.value for p in program.inputs_of("input", "target", "weight")}
        reshaped = {"reshape", "permute"}
        for node in program.nodes:
            if node.primitive.name in reshaped and set(node.inputs) <= given:
                given.update(node.outputs)
                continue
            assert not any(length in v.type.shape for v in node.outputs), node.primitive.name
        assert all(length not in o.type.shape for o in program.outputs)
    assert shapes(loops(short)[0].attrs["body"].walk()) == shapes(
        loops(long)[0].attrs["body"].walk()
    )
    outside = [[n for n in p.nodes if n.primitive.name != "reshape"] for p in (short, long)]
    assert shapes(outside[0]) == shapes(outside[1])


@pytest.mark.parametrize("rule", ["d_rtrl", "pp_prop"])
def test_training_step_by_step_holds_nothing_that_grows(rule: str) -> None:
    found = []
    for length in (SHORT, LONG):
        backend = Counting(etp.backends.get("numpy"))
        lr = learner("gru", rule, backend=backend)
        lr.fit([data(length, BATCH)], etp.optim.adam(0.01), update="step")
        program = backend.compiled[0].program
        (loop,) = loops(program)
        assert loop.attrs["length"] == length
        bodies = [n for n in loop.attrs["body"].walk() if n.primitive.name != "scan"]
        assert not any(length in v.type.shape for n in bodies for v in n.outputs)
        assert {o.role.kind for o in program.outputs} == {"param", "state", "loss", "value"}
        assert all(length not in o.type.shape for o in program.outputs)
        found.append(shapes(bodies))
    assert found[0] == found[1]


def test_the_working_memory_of_a_step_program_does_not_grow() -> None:
    """The same measured: what XLA needs beside inputs and outputs."""
    pytest.importorskip("jax")
    used = []
    for length in (SHORT, 20 * SHORT):
        lr, backend = counted("jax", schedule="step")
        lr.grad(*data(length, BATCH))
        used.append(backend.compiled[0].memory().temporaries)
    chunk, backend = counted("jax", schedule="chunk")
    chunk.grad(*data(20 * SHORT, BATCH))
    assert used[1] <= 1.5 * used[0] + 4096
    assert backend.compiled[0].memory().temporaries > 2 * used[1]
