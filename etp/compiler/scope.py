"""Scope and tail: how much of the influence of weights on states is followed through time."""

from __future__ import annotations

import re

from attrs import frozen

from etp_ir.errors import NotSupportedError, nearest

SCOPES = ("diagonal", "coupled", "sparse_n", "group", "layered", "full")
TAILS = ("diagonal", "exact")


@frozen
class Scope:
    """What a trace follows of the transition from old states to new ones.

    Attributes
    ----------
    name
        ``diagonal``: the position-wise transition of each hidden group, weight products cut out;
        ``coupled``: the block of each position in the whole transition of its group, weight
        products left in; ``sparse_n``: what can be reached in ``hops - 1`` further steps;
        ``group``: everything within each hidden group, nothing from one to another;
        ``layered``: everything but feedback from later groups to earlier ones; ``full``.
    hops
        Of ``sparse_n``: 1 is ``coupled``.
    """

    name: str = "diagonal"
    hops: int = 1

    @property
    def local(self) -> bool:
        """Whether influence stays at one position of one group."""
        return self.name in ("diagonal", "coupled")

    @property
    def closed(self) -> bool:
        """Whether parameters outside of weight products are followed too."""
        return self.name in ("layered", "full")

    def __str__(self) -> str:
        return f"sparse_n({self.hops})" if self.name == "sparse_n" else self.name


def parse_scope(given: str | Scope | None, default: str = "diagonal") -> Scope:
    """Return a scope from its text, and the default where none is given.

    Raises
    ------
    etp.NotSupportedError
        If the text is no scope.
    """
    scope = default if given is None else given
    if isinstance(scope, Scope):
        return scope
    name, hops = scope, None
    if isinstance(scope, str):
        match = re.fullmatch(r"\s*(\w+?)\s*(?:\(\s*(\d+)\s*\))?\s*", scope.lower())
        name, hops = match.groups() if match else (scope, None)
    if name == "sparse_n":
        if hops is None or int(hops) < 1:
            raise NotSupportedError(
                f"scope {scope!r} needs a number of hops of at least 1, as in 'sparse_n(2)'"
            )
        return Scope("coupled") if int(hops) == 1 else Scope("sparse_n", int(hops))
    if name in SCOPES and hops is None:
        return Scope(str(name))
    close = nearest(name, list(SCOPES)) if isinstance(name, str) else ""
    raise NotSupportedError(
        f"scope {scope!r} is none of 'diagonal', 'coupled', 'sparse_n(N)' with N >= 1, 'group', "
        f"'layered', 'full'{close if name not in SCOPES else ''}"
    )


def parse_tail(tail: str) -> str:
    """Return a checked tail: what happens where the way from a weight to a state mixes positions.

    Raises
    ------
    etp.NotSupportedError
        If it is neither ``"diagonal"`` nor ``"exact"``.
    """
    if tail in TAILS:
        return tail
    hint = nearest(tail, list(TAILS)) if isinstance(tail, str) else ""
    raise NotSupportedError(f"tail {tail!r} is neither 'diagonal' nor 'exact'{hint}")
