"""What is saved is all there is: runs killed and resumed go on bit for bit."""

from __future__ import annotations

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import etp
from etp.checkpoint import CheckpointError
from tests.learner.setups import BATCH, LENGTH, arrays, learner, same
from tests.models import build, data

BATCHES = [data(LENGTH, BATCH, seed) for seed in range(4)]
BACKENDS = ["numpy", "jax"]


def adam() -> Any:
    return etp.optim.adam(etp.optim.cosine(0.05, 40), clip_norm=1.0)


def on(backend: str, model: str = "rnn", rule: str = "pp_prop", **options: Any) -> etp.Learner:
    if backend == "jax":
        pytest.importorskip("jax")
    return learner(model, rule, **{"backend": backend, "dtype": "float32", **options})


def stream(lr: etp.Learner, steps: range, optimizer: Any = None) -> list[float]:
    (x, y) = BATCHES[0]
    return [lr.step(x[t], y[t], optimizer=optimizer) for t in steps]


def through_file(state: Any, path: Path) -> Any:
    etp.checkpoint.save(path, state)
    return etp.checkpoint.load(path)[0]


# -- contents ------------------------------------------------------------------------------
def test_a_state_dict_is_plain_arrays_under_readable_names() -> None:
    lr = learner("leaky")
    stream(lr, range(3), etp.optim.adam(0.01))
    state = lr.state_dict()
    assert {k: v for k, v in state.items() if not isinstance(v, dict)} == {
        "format": 1, "rule": "d_rtrl", "window": 1, "scope": "diagonal", "tail": "diagonal"
    }  # fmt: skip
    names = ["cell.w", "cell.a", "readout.weight", "readout.bias"]
    assert list(state["params"]) == names
    assert set(state["stream"]) == {"cell.h", "e.cell.w.cell.h", "e.cell.a.cell.h"}
    assert set(state["optimizer"]) == {"step", *(f"{s}.{n}" for s in "mv" for n in names)}
    for part in ("params", "stream", "optimizer"):
        assert all(type(x) is np.ndarray for x in state[part].values())
    before = copy.deepcopy(state)
    stream(lr, range(3, 5), etp.optim.adam(0.01))
    assert same(state, before), "the state dict shares memory with the learner"


# -- resuming ------------------------------------------------------------------------------
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_stream_goes_on_bit_for_bit(backend: str, tmp_path: Path) -> None:
    whole, first = on(backend), on(backend)
    want = stream(whole, range(LENGTH), adam())
    got = stream(first, range(4), adam())
    state = first.state_dict()
    resumed = [on(backend), on(backend), pickle.loads(pickle.dumps(first)), copy.deepcopy(first)]
    resumed[0].load_state_dict(state)
    resumed[1].load_state_dict(through_file(state, tmp_path / "state"))
    for lr in resumed:
        assert got + stream(lr, range(4, LENGTH), adam()) == want
        assert same(lr.state_dict(), whole.state_dict())
        assert same(arrays(lr.gradients), arrays(whole.gradients))


@pytest.mark.parametrize("backend", BACKENDS)
def test_training_goes_on_bit_for_bit(backend: str, tmp_path: Path) -> None:
    whole, first = on(backend), on(backend)
    want = whole.fit(BATCHES, adam(), update=3).loss
    got = first.fit(BATCHES[:2], adam(), update=3).loss
    resumed = [on(backend), pickle.loads(pickle.dumps(first))]
    resumed[0].load_state_dict(through_file(first.state_dict(), tmp_path / "state"))
    for lr in resumed:
        # Made anew or remembered, the optimiser goes on with its moments and its count.
        optimizer = adam() if lr is resumed[0] else None
        assert got + lr.fit(BATCHES[2:], optimizer, update=3).loss == want
        assert same(lr.state_dict(), whole.state_dict())
    assert int(whole.optimizer_state["step"]) == 4 * 3


@pytest.mark.parametrize(
    ("model", "rule"),
    [("lif", "d_rtrl"), ("gru", "rtrl"), ("lstm", "d_rtrl"), ("masked", "pp_prop")],
)
def test_every_kind_of_memory_is_restored(model: str, rule: str) -> None:
    whole, first, last = (on("numpy", model, rule) for _ in range(3))
    want = stream(whole, range(LENGTH), "adam")
    got = stream(first, range(3), "adam")
    last.load_state_dict(first.state_dict())
    assert got + stream(last, range(3, LENGTH), "adam") == want
    assert same(last.state_dict(), whole.state_dict())


def test_narrow_traces_survive_a_file(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    first, last = (on("jax", "leaky", "d_rtrl", trace_dtype="bfloat16") for _ in range(2))
    stream(first, range(2))
    kept = first.state_dict()["stream"]["e.cell.w.cell.h"]
    assert kept.dtype.name == "bfloat16"
    assert np.any(kept)
    last.load_state_dict(through_file(first.state_dict(), tmp_path / "state"))
    assert stream(last, range(2, 4)) == stream(first, range(2, 4))
    assert same(last.state_dict(), first.state_dict())


KILLED = """
import sys
import etp
from tests.learner.test_checkpoint import BATCHES, adam, on

path = sys.argv[1]
lr = on("numpy")
def save(row):
    etp.checkpoint.save(path, lr.state_dict(), {"batch": row["batch"]})
    print(row["batch"], flush=True)
lr.fit(BATCHES * 10000, adam(), callback=save)
"""


def test_a_killed_process_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    """Killed while it is writing, as likely as not: it does little else."""
    path = tmp_path / "state"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert child.stdout is not None
    while int(child.stdout.readline()) < 2:
        pass
    time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    state, extra = etp.checkpoint.load(path)
    done = extra["batch"] + 1
    assert done >= 3
    resumed, whole = on("numpy"), on("numpy")
    resumed.load_state_dict(state)
    whole.fit([BATCHES[i % 4] for i in range(done + 2)], adam())
    resumed.fit([BATCHES[i % 4] for i in range(done, done + 2)], adam())
    assert same(resumed.state_dict(), whole.state_dict())


# -- the optimiser -------------------------------------------------------------------------
def trained(optimizer: Any) -> Any:
    lr = learner()
    lr.fit(BATCHES[:1], optimizer)
    return lr.state_dict()


def test_restored_moments_wait_for_their_optimizer() -> None:
    used = learner()
    used.fit(BATCHES[:1], etp.optim.sgd(0.1))
    used.load_state_dict(trained(adam()))
    used.fit(BATCHES[1:2], adam())
    assert int(used.optimizer_state["step"]) == 2 * LENGTH


def test_another_optimizer_by_name_starts_anew_and_by_default_it_is_refused() -> None:
    lr = learner()
    lr.load_state_dict(trained(etp.optim.sgd(0.1, momentum=0.9)))
    before = lr.state_dict()
    with pytest.raises(
        etp.ModelError, match=r"another optimiser than the default(.|\n)*pass optimizer="
    ):
        lr.fit(BATCHES[1:2])
    assert same(lr.state_dict(), before)
    lr.fit(BATCHES[1:2], etp.optim.rmsprop(0.01))
    assert int(lr.optimizer_state["step"]) == LENGTH


def test_a_state_without_training_can_be_loaded_into_a_trained_learner() -> None:
    lr, fresh = learner(), learner()
    lr.fit(BATCHES[:1], adam())
    lr.load_state_dict(fresh.state_dict())
    lr.fit(BATCHES[:1], adam())
    fresh.fit(BATCHES[:1], adam())
    assert same(lr.state_dict(), fresh.state_dict())


# -- pickles -------------------------------------------------------------------------------
def test_learners_pickle_with_everything_they_were_made_with() -> None:
    lr = learner("leaky", window=0, schedule="chunk(3)", check=True, loss="huber", batch_size=5)
    x, y = BATCHES[0]
    want = lr.grad(x, y)
    other = pickle.loads(pickle.dumps(lr))
    assert repr(other) == repr(lr)
    assert other.batch_size == 5
    assert other.options == lr.options
    assert same(other.grad(x, y)[0], want[0])
    assert str(other.report()) == str(lr.report())
    with pytest.raises(etp.DataError, match="holds nan"):
        other.predict(x * np.nan)
    other.params = {"readout.bias": [1.0, 1.0]}
    assert not same(arrays(other.params), arrays(lr.params))


def test_a_learner_on_a_backend_of_its_own_pickles_with_it() -> None:
    pytest.importorskip("jax")
    import etp_backends.jax as backend

    own = learner("leaky", backend=backend.JaxBackend(device="cpu:0"), dtype="float32")
    assert pickle.loads(pickle.dumps(own)).backend == own.backend
    usual = learner("leaky", backend="jax", dtype="float32")
    assert pickle.loads(pickle.dumps(usual)).backend is usual.backend is etp.backends.get("jax")


# -- what cannot be loaded -----------------------------------------------------------------
def wrong_states() -> dict[str, Any]:
    lr = learner("leaky")
    stream(lr, range(2), adam())
    state = lr.state_dict()

    def changed(part: str, **arrays: Any) -> Any:
        return {**state, part: {**state[part], **arrays}}

    lacking = {n: x for n, x in state["params"].items() if n != "cell.a"}
    return {
        "no dict": (None, "a state dict is a dict, got NoneType"),
        "empty": ({}, "'format' is missing"),
        "no stream": ({k: v for k, v in state.items() if k != "stream"}, "'stream' is missing"),
        "format": ({**state, "format": 99}, "format 99, this version reads 1"),
        "format of text": ({**state, "format": "x"}, "format 'x', this version reads 1"),
        "no arrays": ({**state, "params": 3}, "'params' holds no arrays by name"),
        "model": (learner("gru").state_dict(), "no parameter 'cell.r.w_in'"),
        "part": ({**state, "params": lacking}, "the state dict lacks cell.a"),
        "shape": (changed("params", **{"cell.a": np.ones(4)}), r"shape \(3,\), got \(4,\)"),
        "words": (changed("params", **{"cell.a": np.array(["a", "b", "c"])}), "holds <U1 elements"),
        "moments": (changed("optimizer", step="one"), "optimizer 'step' holds <U3 elements"),
        "rule": ({**state, "rule": "pp_prop"}, "by rule 'pp_prop', this learner uses 'd_rtrl'"),
        "states": (changed("stream", **{"cell.h": np.ones((3, 4))}), r"shape \(3, 4\) for state"),
    }  # fmt: skip


@pytest.mark.parametrize("case", list(wrong_states()))
def test_a_wrong_state_is_refused_and_changes_nothing(case: str) -> None:
    state, text = wrong_states()[case]
    lr = learner("leaky")
    stream(lr, range(1), "sgd")
    before = lr.state_dict()
    with pytest.raises(etp.ETPError, match=text) as caught:
        lr.load_state_dict(state)
    assert "test_checkpoint.py:" in str(caught.value)
    assert same(lr.state_dict(), before)


def test_a_stream_of_other_traces_is_refused_at_its_next_step() -> None:
    lr, other = learner("leaky"), learner("leaky")
    stream(other, range(1))
    state = other.state_dict()
    del state["stream"]["e.cell.a.cell.h"]
    lr.load_state_dict(state)
    with pytest.raises(etp.ModelError, match=r"other states and traces(.|\n)*reset\(\)"):
        stream(lr, range(1))
    lr.reset()
    stream(lr, range(1))


# -- files ---------------------------------------------------------------------------------
def test_plain_data_travels_with_the_arrays(tmp_path: Path) -> None:
    state = learner().state_dict()
    extra = {"epoch": 3, "name": "run", "loss": [0.5, 0.25], "options": {"seed": None}}
    etp.checkpoint.save(tmp_path / "run.ckpt", state, extra)
    loaded, got = etp.checkpoint.load(str(tmp_path / "run.ckpt"))
    assert got == extra
    assert same(loaded, state)
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]
    with pytest.raises(CheckpointError, match="extra holds what JSON cannot"):
        etp.checkpoint.save(tmp_path / "other", state, {"f": len})
    assert [p.name for p in tmp_path.iterdir()] == ["run.ckpt"]


def test_a_failed_save_leaves_the_file_before_it(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "state"
    lr = learner()
    before = lr.state_dict()
    etp.checkpoint.save(path, before)
    lr.fit(BATCHES[:1])

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(CheckpointError, match=r"cannot write .*: no space left on device"):
                etp.checkpoint.save(path, lr.state_dict())
        assert same(etp.checkpoint.load(path)[0], before)
        assert [p.name for p in tmp_path.iterdir()] == ["state"]
    with pytest.raises(CheckpointError, match="cannot write"):
        etp.checkpoint.save(tmp_path / "missing" / "state", before)


def corrupted(path: Path, case: str) -> None:
    whole = path.read_bytes()
    if case == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif case == "flipped":
        # In the middle of the data of an array: only a checksum can tell.
        at = whole.index(b"params/readout.weight.npy") + 200
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :])
    elif case == "text":
        path.write_text("not a checkpoint")
    elif case == "empty":
        path.write_bytes(b"")
    elif case == "arrays of another program":
        with path.open("wb") as file:
            np.savez(file, w=np.ones(3))
    elif case == "header":
        with path.open("wb") as file:
            np.savez(file, header=np.frombuffer(b"{", np.uint8))
    elif case == "parts":
        header = np.frombuffer(json.dumps({"format": 1}).encode(), np.uint8)
        with path.open("wb") as file:
            np.savez(file, header=header, **{"weights/w": np.ones(3)})
    elif case == "pickled":
        with path.open("wb") as file:
            np.savez(file, header=np.array([{"format": 1}], object))
    else:
        path.unlink()
        if case == "folder":
            path.mkdir()


CASES = [
    "cut", "flipped", "text", "empty", "arrays of another program", "header", "parts", "pickled",
    "missing", "folder",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_is_no_checkpoint_is_refused(case: str, tmp_path: Path) -> None:
    path = tmp_path / "state"
    etp.checkpoint.save(path, etp.compile(build("rnn"), backend="numpy").state_dict())
    corrupted(path, case)
    text = "no checkpoint at" if case in ("missing", "folder") else "is not a readable checkpoint"
    with pytest.raises(CheckpointError, match=text) as caught:
        etp.checkpoint.load(path)
    assert str(path) in str(caught.value)
    assert "test_checkpoint.py:" in str(caught.value)
