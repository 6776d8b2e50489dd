"""The page ``docs/diagnostics.md``, made from the codes and their examples.

``python -m tests.compiler.diagnostics_page docs/diagnostics.md`` writes it; with ``--check`` it
only says whether the page is up to date.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import etp
from etp.compiler.kinds import GROUPS
from tests.compiler.diagnostic_examples import EXAMPLES, Example, run

HEAD = """\
# Diagnostics

What the compiler finds in a model, and what it leaves out, are records with stable codes. Each says what, where in the
model, why, and how to mend it.

| level | means | shown |
| --- | --- | --- |
| info | what was found, or what the chosen rule leaves out by design | in the report, in `learner.graph.diagnostics` |
| warning | the model, as it is written, loses more than the rule would | also as an `etp.CompilationWarning`, once per model |
| error | it cannot be compiled so | as an exception |

`learner.graph.find(parameter=..., state=..., kind=..., level=...)` returns the records that meet all of what is given,
`learner.graph.explain("cell.w")` tells the story of one parameter, with `full=True` unabridged, and `learner.report()`
counts. A warning is turned off by its code: `warnings.filterwarnings("ignore", "ETP405")`.

Below, each code has a minimal model that brings it about, what is then printed, and a change after which it is gone. The
models share these lines:

```python
import numpy as np

import etp
from etp import xp

x, y = np.ones(2), np.ones(3)
xs, ys = np.ones((4, 1, 2)), np.ones((4, 1, 3))
```
"""  # noqa: E501


def page() -> str:
    """Return the page, in Markdown."""
    return "\n".join([HEAD, _table(), *_sections()])


def _table() -> str:
    lines = ["| code | name | level | meaning |", "| --- | --- | --- | --- |"]
    for k in (e.kind for e in EXAMPLES):
        link = f"#{k.code.lower()}-{k.slug}"
        lines.append(f"| [{k.code}]({link}) | {k.slug} | {k.level.value} | {k.meaning} |")
    return "\n".join(lines) + "\n"


def _sections() -> Iterator[str]:
    group = ""
    for example in EXAMPLES:
        if example.kind.code[3] != group:
            group = example.kind.code[3]
            yield f"## {GROUPS[group]}\n"
        yield _section(example)


def _section(example: Example) -> str:
    kind = example.kind
    note = " no-run: it ends in an error" if example.raises else ""
    changes = "\n".join(f"* `{old.strip()}` becomes {_code(new)}" for old, new in example.mend)
    return f"""\
### {kind.code} {kind.slug}

{kind.meaning[0].upper()}{kind.meaning[1:]}. Level: {kind.level.value}.

```python{note}
{example.script.rstrip()}
```

It says:

```text
{printed(example)}
```

To mend it, {kind.mend}. Here:

{changes}
"""


def _code(new: str) -> str:
    return f"`{new.strip()}`" if new.strip(" ,") else "nothing"


def printed(example: Example) -> str:
    """Return the record of an example as it prints, or its error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", etp.CompilationWarning)
        try:
            learner = run(example.script)
        except etp.ETPError as error:
            return f"{type(error).__name__}: {error}"
    found = learner.graph.find(kind=example.kind)
    return str(next(r for r in found if example.text in r.message))


def main(arguments: Sequence[str]) -> int:
    """Write the page, or check it; return the exit status."""
    (path,) = (Path(a) for a in arguments if a != "--check")
    new = page()
    if "--check" not in arguments:
        path.write_text(new)
        return 0
    stale = path.read_text() != new
    if stale:
        sys.stderr.write(
            f"{path} is stale; run `python -m tests.compiler.diagnostics_page {path}`\n"
        )
    return int(stale)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
