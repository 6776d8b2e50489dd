"""Tables in LaTeX that fit the width of a text column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "µ": r"$\mu$", "<": r"$<$", ">": r"$>$",
}  # fmt: skip
SIGNED = re.compile(r"(?<![\w.])(-?\d+(?:\.\d+)?)e([+-]\d+)|(?<![\w.])-(?=\d)(\d+(?:\.\d+)?)")


def tex(text: str) -> str:
    r"""Return text with what LaTeX reads otherwise escaped.

    Examples
    --------
    >>> tex("w_in of 5%")
    'w\\_in of 5\\%'
    """
    return "".join(SPECIAL.get(c, c) for c in text)


def code(text: str) -> str:
    """Return a name of a program in typewriter letters."""
    return rf"\texttt{{{tex(text)}}}"


def number(text: str) -> str:
    r"""Return text with its signed numbers and powers of ten as mathematics.

    Examples
    --------
    >>> number("-0.77"), number("3.1e+04"), number("2.9e+02")
    ('$-0.77$', '$3.1{\\cdot}10^{4}$', '290')
    """
    parts, last = [], 0
    for m in SIGNED.finditer(text):
        parts.append(tex(text[last : m.start()]))
        last = m.end()
        if m[3]:
            parts.append(f"$-{m[3]}$")
        elif 0 <= int(m[2]) < 4 and not m[1].startswith("-"):
            parts.append(f"{float(m[0]):.0f}")
        else:
            parts.append(rf"${m[1]}{{\cdot}}10^{{{int(m[2])}}}$")
    return "".join([*parts, tex(text[last:])])


def cell(text: str) -> tuple[str, str]:
    r"""Return a cell: what stands in its line, and what below it in small letters.

    Examples
    --------
    >>> cell("0.48 (-0.9)")
    ('0.48', '($-0.9$)')
    >>> cell("98.8% ± 1.7%")[0]
    '$98.8_{\\pm 1.7}$\\%'
    """
    spread = re.fullmatch(r"(\S+?)(%?) ± (\S+?)(%?)", text)
    if spread:
        return rf"${spread[1]}_{{\pm {spread[3]}}}${tex(spread[2])}", ""
    both = re.fullmatch(r"(\S+) \((\S+)\)", text)
    return (number(both[1]), f"({number(both[2])})") if both else (number(text), "")


def table(
    caption: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]],
    *, left: int = 1, comments: Sequence[str] = (),
) -> str:  # fmt: skip
    """Return a table for the ``booktabs`` package.

    Parameters
    ----------
    caption, columns
        In LaTeX.
    rows
        The first cell in LaTeX, the others as plain text. What stands in brackets after a number
        goes below it.
    left
        Columns that are flush left, from the first.
    comments
        Lines of plain text that go before the table, unprinted.
    """
    return "\n".join(_lines(caption, columns, rows, left, comments)) + "\n"


def _lines(
    caption: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], left: int,
    comments: Sequence[str],
) -> Iterator[str]:  # fmt: skip
    yield r"\begin{table}"
    yield r"  % \usepackage{booktabs}"
    yield from (f"  % {line}" for line in comments)
    yield r"  \centering\footnotesize\setlength{\tabcolsep}{3pt}"
    yield rf"  \caption{{{caption}}}"
    yield rf"  \begin{{tabular}}{{@{{}}{'l' * left}{'r' * (len(columns) - left)}@{{}}}}"
    yield r"    \toprule"
    yield f"    {' & '.join(columns)} \\\\"
    yield r"    \midrule"
    for head, others in rows:
        cells = [cell(x) for x in others]
        below = any(small for _, small in cells)
        end = r" \\[-2pt]" if below else r" \\"
        yield f"    {' & '.join([head, *(x for x, _ in cells)])}{end}"
        if below:
            small = (rf"\scriptsize {x}" if x else "" for _, x in cells)
            yield f"    {' & '.join(['', *small])} \\\\"
    yield r"    \bottomrule"
    yield r"  \end{tabular}"
    yield r"\end{table}"
