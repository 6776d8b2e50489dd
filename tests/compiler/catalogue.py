"""The scenario catalogue: small models, and what the compiler is to make of each.

An entry is one function (or class) under one `scenario` line. Entries live in the files
``catalogue_*.py`` by topic; `test_catalogue` runs every test over all of them.

Scenarios of other systems that have no counterpart here: a batched model, and batched beside
unbatched paths (a model is written for one example; `matrix_state` has two kinds of axes);
a compiled function inside the step (any Python function is followed, see `helper_function`);
weights with physical units (arrays are plain numbers here).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from attrs import field, frozen

import etp

N_IN, N, N_OUT = 2, 3, 2
CATALOGUE: dict[str, Scenario] = {}


@frozen
class Scenario:
    """A model, and the structure and statuses expected of it.

    Attributes
    ----------
    make
        Model for a random generator.
    groups
        States of each hidden group, separated by spaces.
    relations
        Name of each relation, with the groups it reaches.
    status
        Status of every parameter under ``d_rtrl`` with its default window.
    needs
        Functions of ``etp`` without which the scenario is skipped.
    refused
        Part of the message by which the model is refused, if it is.
    quick
        Whether every test of it is in the fast set; otherwise only the main ones are.
    spikes
        A state whose values are to be above the threshold at times, and below it at times.
    """

    make: Callable[[np.random.Generator], etp.Module]
    groups: tuple[str, ...]
    relations: Mapping[str, tuple[str, ...]]
    status: Mapping[str, str]
    needs: tuple[str, ...] = ()
    refused: str = ""
    spikes: tuple[str, float] | None = None
    slow: bool = False
    quick: bool = False
    length: int = 6
    seed: int = field(default=0, kw_only=True)

    def build(self) -> etp.Module:
        """Return the model."""
        return self.make(np.random.default_rng(self.seed))

    @property
    def missing(self) -> list[str]:
        """Functions that do not exist yet."""
        return [name for name in self.needs if not hasattr(etp, name)]


class Small(etp.Module):
    """A model of one function: parameters drawn from a normal distribution, and states."""

    def __init__(
        self, step: Callable[[Any, Any], Any], params: Mapping[str, Any],
        states: Mapping[str, Any], rng: np.random.Generator,
    ) -> None:  # fmt: skip
        for name, shape in params.items():
            setattr(self, name, etp.Param(rng.normal(size=shape)))
        for name, given in states.items():
            shape, start = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
            setattr(self, name, etp.State(shape, init=start))
        self.step = step

    def __call__(self, x: Any) -> Any:
        return self.step(self, x)


def read(h: Any) -> Any:
    """Return an output of two numbers that every element of a state takes part in."""
    return h[:N_OUT] + 0.5 * h[-N_OUT:]


def scenario(
    *groups: str, relations: Mapping[str, Any] | None = None, exact: str = "",
    approximate: str = "", direct: str = "", unreachable: str = "",
    params: Mapping[str, Any] | None = None, states: Mapping[str, Any] | None = None,
    **options: Any,
) -> Callable[[Any], Any]:  # fmt: skip
    """Return a decorator that enters a model in the catalogue.

    Parameters
    ----------
    groups
        States of each group, separated by spaces.
    relations
        Relation name to the group it reaches, or to several.
    exact, approximate, direct, unreachable
        Names of the parameters of each status, separated by spaces.
    params, states
        Shapes, for a model that is a function ``(model, x) -> output``. A class takes the random
        generator and makes its own. A state may be given as ``(shape, start)``.
    options
        Further fields of `Scenario`.
    """
    status = {
        name: kind
        for kind, names in (("exact", exact), ("approximate", approximate),
                            ("direct-only", direct), ("unreachable", unreachable))
        for name in names.split()
    }  # fmt: skip
    reached = {n: (g,) if isinstance(g, str) else tuple(g) for n, g in (relations or {}).items()}

    def enter(model: Any) -> Any:
        def make(rng: np.random.Generator) -> etp.Module:
            if isinstance(model, type):
                return model(rng)
            return Small(model, params or {}, states or {}, rng)

        assert model.__name__ not in CATALOGUE, model.__name__
        CATALOGUE[model.__name__] = Scenario(make, groups, reached, status, **options)
        return model

    return enter
