"""What the docstring of a cell says: its equations, its source and its parameters under D-RTRL."""

from __future__ import annotations

import inspect
import re
from fnmatch import fnmatchcase

from attrs import frozen

STATUSES = ("exact", "approximate", "direct-only")


@frozen
class Facts:
    """What a docstring says.

    Attributes
    ----------
    summary
        The first line.
    body
        Everything else before the parameters: equations, remarks, source.
    statuses
        Patterns of parameter paths by status.
    """

    summary: str
    body: str
    statuses: dict[str, list[str]]

    def status(self, parameter: str) -> str:
        """Return the one status that is given for a parameter."""
        found = [
            status
            for status, patterns in self.statuses.items()
            if any(fnmatchcase(parameter, pattern) for pattern in patterns)
        ]
        assert len(found) == 1, f"{parameter} is given {found or 'no status'}"
        return found[0]


def facts(cell: type) -> Facts:
    """Return what the docstring of a cell says."""
    text = inspect.getdoc(cell) or ""
    head, _, rest = text.partition("\nParameters\n---")
    summary, _, body = head.partition("\n")
    told = re.search(r"^D-RTRL: (.*?``)\.", rest, re.M | re.S)
    assert told, f"{cell.__name__} does not say what is exact under D-RTRL"
    statuses = {}
    for part in told[1].split(";"):
        status = part.split()[0]
        assert status in STATUSES, f"{cell.__name__}: no status {status!r}"
        statuses[status] = re.findall(r"``([^`]+)``", part)
    return Facts(summary, body.strip(), statuses)
