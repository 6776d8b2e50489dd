"""Certificates: what a learning rule is worth on each kind of model, measured and not asserted."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from attrs import asdict, frozen

from etp_ir.errors import ETPError

from ..rules import LearningRule
from .alignment import Alignment, align
from .certificate_checks import CHECKS, CONTRADICTS, NOT_ASKED, Finding
from .certificate_costs import Costs, costs
from .certificate_draws import Moments
from .certificate_dump import elsewhere
from .certificate_models import SAMPLES, sample
from .certificate_subject import Subject, subject, told_where
from .certificate_trial import Trial
from .lags import LagProfile, lag_profile

# Draws for each example, over which credit by lag is averaged.
COPIES = 32


@frozen
class ParameterCertificate:
    """What is claimed of one parameter's gradient, and how it stands to BPTT.

    Attributes
    ----------
    status, reason
        What the compiler says.
    alignment
        What is measured, in float64.
    """

    status: str
    reason: str
    alignment: Alignment


@frozen
class ModelCertificate:
    """A rule on one model.

    Attributes
    ----------
    name, title
        Of the model.
    refused
        Why the rule cannot be used on it, or None.
    overall
        The whole gradient against BPTT.
    parameters
        By dotted path.
    lags
        Credit by lag, where it can be told.
    moments
        Bias and variance, where the rule draws random numbers.
    schedule
        What ``auto`` chooses.
    """

    name: str
    title: str
    refused: str | None = None
    overall: Alignment | None = None
    parameters: Mapping[str, ParameterCertificate] = {}
    lags: LagProfile | None = None
    moments: Moments | None = None
    schedule: str = ""

    def count(self, status: str) -> int:
        """Return the number of parameters of a status."""
        return sum(p.status == status for p in self.parameters.values())


@frozen
class Certificate:
    """What `etp check` tells of a rule.

    Attributes
    ----------
    rule, title
        Name of the rule, and the first line of its docstring.
    settings
        The rule object, and further options of `etp.compile`.
    versions
        Of etp, Python and NumPy.
    models
        The rule on each model.
    findings
        What the checks found.
    costs
        On growing models.
    interrupted
        Whether it was stopped before the last model, or before costs.
    """

    rule: str
    title: str
    settings: str
    versions: Mapping[str, str]
    models: tuple[ModelCertificate, ...]
    findings: tuple[Finding, ...]
    costs: Costs | None
    interrupted: bool = False

    @property
    def contradictions(self) -> tuple[Finding, ...]:
        """Findings that contradict what is claimed."""
        return tuple(f for f in self.findings if f.verdict == CONTRADICTS)

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts, and the rule could be tried on some model."""
        return not self.contradictions and any(m.refused is None for m in self.models)

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as plain data."""
        return {"ok": self.ok, **asdict(self)}

    def to_json(self) -> str:
        """Return the certificate as JSON; numbers that are not finite become null."""
        return json.dumps(_finite(self.to_dict()), indent=2) + "\n"

    def to_latex(self) -> str:
        """Return the table of models as LaTeX."""
        from .certificate_text import latex

        return latex(self)

    def print(self, console: Any = None, *, details: bool = False) -> None:
        """Print the tables (to the terminal, or to a ``rich`` console)."""
        from .certificate_text import show

        show(self, console, details=details)

    def __str__(self) -> str:
        from .certificate_text import text

        return text(self)


def certify(
    rule: str | LearningRule | type[LearningRule] | Subject, *,
    models: Iterable[str] | None = None, options: Mapping[str, Any] | None = None,
    length: int = 8, checks: Iterable[str] | None = None, with_costs: bool = True,
    heard: Callable[[str], Any] | None = None,
    seen: Callable[[ModelCertificate, list[Finding]], Any] | None = None,
    keep: bool = False,
) -> Certificate:  # fmt: skip
    """Return the certificate of a learning rule.

    Parameters
    ----------
    rule
        A name, ``file.py:Class``, ``module:Class``, a class or an object.
    models
        Names from `SAMPLES`, or cells of `etp.nn`; by default all samples.
    options
        Further options of `etp.compile`: ``window``, ``scope``, ``tail``.
    length
        Steps of the probes.
    checks
        Names from `CHECKS`; by default all.
    heard
        Called with the title of each model before it is looked at.
    seen
        Called with what is measured and found on each model, after it was looked at.
    keep
        Whether an interrupt ends in a certificate of the models that are done, and is not raised.

    Raises
    ------
    etp.ETPError
        If there is no such rule, model or check.
    """
    found = rule if isinstance(rule, Subject) else subject(rule)
    chosen = [CHECKS[n] for n in checks] if checks is not None else list(CHECKS.values())
    done: list[ModelCertificate] = []
    findings: list[Finding] = []
    priced, interrupted = None, False
    try:
        for trial in trials(found, models, options or {}, length):
            if heard is not None:
                heard(trial.sample.title)
            with told_where(found.rule, f"on {trial.sample.name}"):
                measured = certify_model(trial)
                asked = chosen if trial.refused is None else []
                mine = [finding for one in asked for finding in one(trial)]
            done.append(measured)
            findings += mine
            if seen is not None:
                seen(measured, mine)
        if with_costs:
            if heard is not None:
                heard("costs")
            priced = costs(found.rule, dict(options or {}))
    except KeyboardInterrupt:
        if not keep:
            raise
        interrupted = True
    from .. import __version__

    versions = {
        "etp": __version__, "python": platform.python_version(), "numpy": np.__version__
    }  # fmt: skip
    given = "".join(f", {n} {x}" for n, x in (options or {}).items())
    return Certificate(
        found.rule.name, found.title, f"{found.rule!r}{given}", versions, tuple(done),
        tuple(findings), priced, interrupted,
    )  # fmt: skip


def trials(
    found: Subject, models: Iterable[str] | None, options: Mapping[str, Any], length: int = 8
) -> list[Trial]:
    """Return the trials of a rule, one for each model."""
    names = list(SAMPLES if models is None else models)
    samples = [sample(n) for n in names]
    spec = found.spec

    @cache
    def compiled_elsewhere() -> dict[str, str]:
        assert spec is not None
        return elsewhere(spec, names, options, length)

    return [
        Trial(found.rule, s, options, length, elsewhere=compiled_elsewhere if spec else None)
        for s in samples
    ]


def certify_model(trial: Trial) -> ModelCertificate:
    """Return what is measured of a rule on one model."""
    one = trial.sample
    if trial.refused is not None:
        return ModelCertificate(one.name, one.title, trial.refused)
    found = align(trial.found, trial.exact())
    parameters = {
        n: ParameterCertificate(r.status, r.reason, found.parameters[n])
        for n, r in trial.report.parameters.items()
    }
    profile = None
    if trial.online:
        try:
            copies = COPIES if trial.stochastic else 1
            xs, ys = (np.repeat(a, copies, axis=1) for a in trial.probe)
            profile = lag_profile(trial.learner(), xs, ys, modulator=trial.modulator)
        except ETPError:
            profile = None
    return ModelCertificate(
        one.name, one.title, None, found.overall, parameters, profile,
        trial.moments if trial.stochastic else None, trial.report.schedule,
    )  # fmt: skip


def _finite(plain: Any) -> Any:
    """Return plain data without nan and infinity, which JSON does not have."""
    if isinstance(plain, dict):
        return {str(k): _finite(x) for k, x in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [_finite(x) for x in plain]
    if isinstance(plain, float):
        return plain if np.isfinite(plain) else None
    return plain


__all__ = [
    "CHECKS", "NOT_ASKED", "Certificate", "ModelCertificate", "ParameterCertificate", "certify",
    "certify_model", "trials",
]  # fmt: skip
