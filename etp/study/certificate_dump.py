"""Digests of a rule's programs, made in a process of its own: a dump depends on the model alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from etp_ir.errors import ETPError

from .certificate_models import sample
from .certificate_subject import subject
from .certificate_trial import Trial

CODE = "from etp.study.certificate_dump import main; main()"


def elsewhere(
    spec: str, models: Iterable[str], options: Mapping[str, Any], length: int
) -> dict[str, str]:
    """Return the digest of the programs of each model that a fresh process compiles.

    Its hashes are seeded otherwise than here. Models that the rule refuses are left out.

    Raises
    ------
    etp.ETPError
        If the process fails.
    """
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    asked = json.dumps(
        {"spec": spec, "models": list(models), "options": dict(options), "length": length}
    )
    child = subprocess.run(
        [sys.executable, "-c", CODE], input=asked, env=env, capture_output=True, text=True
    )
    if child.returncode:
        last = child.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ETPError(f"the process that was to compile {spec} again failed: {last[0]}")
    # A rule's file may print as it is imported.
    return dict(json.loads(child.stdout.splitlines()[-1]))


def main() -> None:
    """Read what to compile, and write digests by model."""
    asked = json.load(sys.stdin)
    rule = subject(asked["spec"]).rule
    found = {}
    for name in asked["models"]:
        trial = Trial(rule, sample(name), asked["options"], asked["length"])
        if trial.refused is None:
            found[name] = trial.digest
    sys.stdout.write(json.dumps(found) + "\n")
