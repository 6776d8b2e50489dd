"""`etp audit`: what gradient a run was trained with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from .conftest import SMALL, Etp


def trained(etp: Etp, *options: object) -> None:
    assert etp("train", "digits", *SMALL, "--epochs", 2, "--out", "run", *options).code == 0


def test_a_run_keeps_its_weights_along_training(etp: Etp) -> None:
    trained(etp)
    files = sorted(p.name for p in Path("run/weights").iterdir())
    assert files == ["0000.npz", "0001.npz", "0002.npz"]
    with np.load("run/weights/0002.npz") as last, np.load("run/checkpoint.npz") as kept:
        assert last.files
        for name in last.files:
            np.testing.assert_array_equal(last[name], kept[f"params/{name}"])


def test_a_run_is_audited(etp: Etp) -> None:
    trained(etp)
    ran = etp("audit", "run", "--examples", 8, "--lag-examples", 2,
              "--json", "a.json", "--latex", "a.tex")  # fmt: skip
    assert ran.code == 0
    assert "gru on digits by row" in ran.out
    assert "of BPTT's norm, cosine" in ran.out
    assert "because the path cell.h -> cell.h through `etp.matmul`" in ran.out
    assert "readout.weight  exact: it acts within the step" in ran.out
    assert Path("run/audit.png").read_bytes().startswith(b"\x89PNG")
    plain = json.loads(Path("a.json").read_text())
    assert [c["epoch"] for c in plain["checkpoints"]] == [0, 1, 2]
    assert plain["parameters"]["cell.n.w_rec"]["story"].startswith("cell.n.w_rec: approximate")
    for c in plain["checkpoints"]:
        assert c["parameters"]["readout.weight"]["deviation"] < 1e-10
        assert c["parameters"]["cell.n.w_rec"]["deviation"] > 1e-3
        shares = c["lags"]["shares"]
        assert [s["lag"] for s in shares] == list(range(8))
        assert shares[1]["overall"]["deviation"] < 1e-10 < shares[3]["overall"]["deviation"]
    assert r"\texttt{cell.n.w\_rec}" in Path("a.tex").read_text()


def test_a_run_of_before_is_audited_at_its_end(etp: Etp) -> None:
    trained(etp)
    shutil.rmtree("run/weights")
    ran = etp("audit", "run", "--examples", 4, "--lag-examples", 0, "--json", "a.json")
    assert ran.code == 0
    plain = json.loads(Path("a.json").read_text())
    assert [c["epoch"] for c in plain["checkpoints"]] == [2]
    assert plain["checkpoints"][0]["lags"] is None


@pytest.mark.parametrize("update", ["sequence", "4"])
def test_truncation_at_updates_is_seen(etp: Etp, update: str) -> None:
    trained(etp, "--rule", "bptt", "--update", update, "--loss-steps", 6, "--model", "rnn")
    ran = etp("audit", "run", "--examples", 8, "--checkpoints", 2, "--json", "a.json")
    plain = json.loads(Path("a.json").read_text())
    off = plain["checkpoints"][-1]["parameters"]["cell.gate.w_rec"]["deviation"]
    status = plain["parameters"]["cell.gate.w_rec"]["status"]
    assert ran.code == 0
    if update == "sequence":
        assert off < 1e-10
        assert status == "exact"
    else:
        assert off > 1e-3
        assert status == "approximate"
        assert "truncated" in ran.out


def test_what_is_no_run_is_told(etp: Etp) -> None:
    ran = etp("audit", "nowhere")
    assert ran.code == 2
    assert "nowhere is no run folder" in ran.err
    trained(etp)
    Path("run/weights/0001.npz").write_text("garbage")
    ran = etp("audit", "run")
    assert ran.code == 2
    assert "0001.npz cannot be read" in ran.err
    Path("run/weights/0001.npz").unlink()
    ran = etp("audit", "run", "--plot", "no/a.png")
    assert ran.code == 2
    assert "cannot write to no/a.png: there is no folder no" in ran.err
    config = Path("run/config.json").read_text().replace('"hidden": 6', '"hidden": 7')
    Path("run/config.json").write_text(config)
    ran = etp("audit", "run")
    assert ran.code == 2
    assert "the weights after 0 epochs do not fit run/config.json: cell.r.w_in has" in ran.err
    ran = etp("train", "--resume", "run", "--epochs", 3)
    assert ran.code == 2
    assert "the checkpoint in run does not fit its settings, config.json: parameter" in ran.err
