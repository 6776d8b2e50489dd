"""`etp train`: what it learns, what it keeps, and that it goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from etp import CompilationWarning, compile, nn, tasks
from etp.learner import Learner
from etp.recipes import RECIPES, recipe
from etp_ir.parser import parse
from etp_ir.verify import verify

from .conftest import SMALL, Etp, arrays, metrics, same_run

ROOT = Path(__file__).resolve().parents[2]
ETP = [sys.executable, "-c", "from etp.cli import main; main()"]
ENV = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "backends")])}


def test_a_run_keeps_everything_in_its_folder(etp: Etp) -> None:
    ran = etp("train", "digits", *SMALL, "--epochs", 2, "--out", "run")
    assert ran.code == 0
    assert "test accuracy" in ran.out.splitlines()[-1]
    assert {p.name for p in Path("run").iterdir()} == {
        "checkpoint.npz", "config.json", "curve.png", "dump.etp", "metrics.jsonl", "report.txt",
        "weights",
    }  # fmt: skip
    first, second = metrics("run")
    assert [first["epoch"], second["epoch"]] == [1, 2]
    assert second["train_loss"] < first["train_loss"] < 2.5
    assert set(first) == {
        "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds",
    }  # fmt: skip
    assert f"{second['test_accuracy']:.1%}" in ran.out.splitlines()[-1]
    config = json.loads(Path("run/config.json").read_text())
    assert config["model"] == "gru"
    assert config["backend"] == "numpy"
    assert config["window"] == 1
    assert Path("run/curve.png").read_bytes().startswith(b"\x89PNG")
    assert "readout.weight" in Path("run/report.txt").read_text()
    program = parse(Path("run/dump.etp").read_text())
    verify(program)
    assert program.inputs_of("trace")


def test_the_default_folder_is_named_by_time_model_and_rule(etp: Etp) -> None:
    etp("train", *SMALL, "--epochs", 1, "--model", "rnn", "--rule", "bptt")
    (folder,) = Path("runs").iterdir()
    assert folder.name.endswith("-rnn-bptt")


def test_what_the_compiler_warns_of_stands_in_the_head(etp: Etp) -> None:
    ran = etp("train", *SMALL, "--epochs", 1, "--model", "rnn")
    assert ran.err == ""
    assert "warning    ETP405 nothing of the transition of cell.h is position-wise" in ran.out


def test_the_same_seed_gives_the_same_run(etp: Etp) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        etp("train", *SMALL, "--epochs", 1, "--seed", seed, "--out", name)
    assert same_run("a", "b")
    assert not same_run("a", "c")


@pytest.mark.parametrize("backend", ["numpy", pytest.param("jax", marks=pytest.mark.slow)])
def test_two_epochs_and_two_more_are_four(etp: Etp, backend: str) -> None:
    if backend == "jax":
        pytest.importorskip("jax")
    small = (*SMALL[:-1], backend)
    etp("train", *small, "--epochs", 4, "--out", "straight")
    etp("train", *small, "--epochs", 2, "--out", "halves")
    assert not same_run("straight", "halves")
    assert etp("train", "--resume", "halves", "--epochs", 4).code == 0
    assert same_run("straight", "halves")


def test_a_run_stopped_within_an_epoch_goes_on_bit_for_bit(
    etp: Etp, monkeypatch: pytest.MonkeyPatch
) -> None:
    etp("train", *SMALL, "--epochs", 3, "--out", "straight")
    fit, seen = Learner.fit, []

    def interrupted(self: Learner, batches: object, *args: object, **options: object) -> object:
        heard = options["callback"]

        def callback(row: dict[str, object]) -> object:
            seen.append(row)
            if len(seen) == 16:  # batch 5 of the second epoch
                os.kill(os.getpid(), signal.SIGINT)
            return heard(row)  # type: ignore[operator]

        return fit(self, batches, *args, **{**options, "callback": callback})  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "fit", interrupted)
        ran = etp("train", *SMALL, "--epochs", 3, "--out", "stopped")
    assert ran.code == 130
    assert "epoch 2, batch 5 of 11" in ran.out
    assert "--resume stopped" in ran.out
    assert len(metrics("stopped")) == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert etp("train", "--resume", Path("stopped").absolute()).code == 0
    assert same_run("straight", "stopped")


def test_an_interrupt_from_outside_leaves_a_usable_checkpoint(tmp_path: Path, etp: Etp) -> None:
    command = [*ETP, "train", *SMALL, "--epochs", "500", "--out", "run"]
    running = subprocess.Popen(command, cwd=tmp_path, env=ENV, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        if (tmp_path / "run/metrics.jsonl").exists() and metrics(tmp_path / "run"):
            break
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "stopped in epoch" in out
    done = len(metrics("run"))
    assert etp("train", "--resume", "run", "--epochs", done + 1).code == 0
    etp("train", *SMALL, "--epochs", done + 1, "--out", "straight")
    assert same_run("straight", "run")


@pytest.mark.parametrize(
    "update", [pytest.param("step", marks=pytest.mark.slow), "3",
               pytest.param("sequence", marks=pytest.mark.slow)],
)  # fmt: skip
def test_numpy_and_jax_have_the_same_first_epoch(etp: Etp, update: str) -> None:
    pytest.importorskip("jax")
    for backend in ("numpy", "jax"):
        etp("train", "--hidden", 16, "--lr", 0.01, "--epochs", 1, "--update", update,
            "--backend", backend, "--out", backend)  # fmt: skip
    one, other = metrics("numpy")[0], metrics("jax")[0]
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(one[name], other[name], atol=1e-4, rtol=0)
    assert one["test_loss"] < 2.0  # it has left chance, log(10), behind


@pytest.mark.parametrize(
    ("model", "rule"),
    [("rnn", "rtrl"), ("lstm", "d_rtrl"), ("lif", "pp_prop"), ("alif", "bptt")],
)
def test_every_model_trains(etp: Etp, model: str, rule: str) -> None:
    for name, epochs in (("short", 1), ("long", 3)):
        etp("train", *SMALL, "--model", model, "--rule", rule, "--epochs", epochs, "--out", name)
    before, after = arrays("short"), arrays("long")
    assert all(np.abs(after[n] - before[n]).max() > 0 for n in after)
    assert metrics("long")[-1]["train_loss"] < metrics("short")[0]["train_loss"]


def test_pixels_are_read_one_at_a_time(etp: Etp) -> None:
    ran = etp("train", *SMALL, "--by", "pixel", "--epochs", 1, "--update", "sequence",
              "--out", "run")  # fmt: skip
    assert ran.code == 0
    assert "64 steps of 1" in ran.out
    assert arrays("run")["params/cell.z.w_in"].shape == (1, 6)


def test_every_cell_is_a_model(etp: Etp) -> None:
    task, cells = tasks.load("digits", "row"), nn.cells()
    trained = {type(recipe(name).build(8, 4, 10, 8, 0).cell) for name in RECIPES}
    assert trained == set(cells.values())
    for name in RECIPES:
        model = recipe(name).build(task.n_in, 6, task.n_out, task.length, 0)
        example = task.train.xs[0, 0], task.train.ys[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CompilationWarning)
            learner = compile(model, backend="numpy", example=example)
            grads, _ = learner.grad(task.train.xs[:, :2], np.stack([task.train.ys[:2]] * 8))
        assert np.isfinite(grads["cell." + next(iter(model.cell.named_params()))]).all(), name


def test_a_cell_without_settings_of_its_own_learns(etp: Etp) -> None:
    assert etp("train", *SMALL, "--epochs", 2, "--model", "MGU", "--out", "run").code == 0
    first, second = metrics("run")
    assert second["train_loss"] < first["train_loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [((), 0.95), (("--model", "lif", "--rule", "pp_prop"), 0.90), (("--model", "rnn"), 0.93),
     (("--model", "lstm"), 0.95), (("--model", "alif", "--rule", "pp_prop"), 0.90)],
)  # fmt: skip
def test_the_digits_are_learned(etp: Etp, arguments: tuple[str, ...], wanted: float) -> None:
    etp("train", "digits", *arguments, "--out", "run")
    assert metrics("run")[-1]["test_accuracy"] >= wanted


@pytest.mark.parametrize("task", ["sines", "copy-memory"])
def test_drawn_tasks_train(etp: Etp, task: str) -> None:
    ran = etp("train", task, *SMALL[:2], "--backend", "numpy", "--epochs", 2, "--out", "run")
    assert ran.code == 0
    first, second = metrics("run")
    assert second["train_loss"] < first["train_loss"]
    regression = task == "sines"
    assert ("test_accuracy" in second) != regression
    assert ("acc" in ran.out) != regression
    assert f"test {'loss' if regression else 'accuracy'} " in ran.out.splitlines()[-1]
    assert Path("run/curve.png").read_bytes().startswith(b"\x89PNG")
