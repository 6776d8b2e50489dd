"""The page ``docs/rules.md``, made from the docstrings of the learning rules.

``python -m tests.rules.rules_page docs/rules.md`` writes it; with ``--check`` it only says whether
the page is up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from textwrap import dedent

from etp.rules.axes import choices, legal
from etp.rules.facts import RuleFacts, every, signal_word
from etp.rules.laws import LAWS
from etp.signals import Signal
from tests.pages import write_or_check

HEAD = """\
# Learning rules

A rule goes into `etp.compile` by name, with arguments or as an object: `rule="snap(3)"`, `rule=etp.rules.SnAp(3)`. The window,
the [scope](scopes.md) and the learning signal below are those it takes unless told otherwise; `learner.report()` says for every
parameter of a model whether its gradient is exact. In a terminal, `etp rules` prints this table and `etp rules NAME` one rule;
`etp check NAME` measures what is said here.

In the equations, all for one example, $u^t = \\partial h^t/\\partial y^t$ is the derivative of the states by the result of a product
$y = x w$ and $D^t$ the part of $\\partial h^t/\\partial h^{t-1}$ that the scope follows; $\\ell^t$ is the learning signal at the states.

"""  # noqa: E501

POINTS = """\
## Points of the rule language

A rule need not have a name. `etp.RuleConfig` takes what stands on each axis of the language, and is a rule itself:

```python
import numpy as np

import etp

rng = np.random.default_rng(0)
rule = etp.RuleConfig(recursion=0.9, pre="kappa(0.5)", post="double_exponential(0.2, 0.8)", signal="random")
learner = etp.compile(etp.nn.Sequential(etp.nn.LIFCell(3, 8, rng=rng), etp.nn.Linear(8, 2, rng=rng)), rule, "mse")
grads, metrics = learner.grad(rng.normal(size=(20, 4, 3)), rng.normal(size=(20, 4, 2)))
print(sorted(grads))
print(etp.rules.resolve("ottt(0.9)").config())
```

```text
['layers.0.synapse.w_in', 'layers.0.synapse.w_rec', 'layers.1.bias', 'layers.1.weight']
RuleConfig(storage=Factorised(), recursion=None, pre=PresynapticTrace(decay=0.9))
```

What may stand on each axis (a signal by the word for its class in `etp.signals`, or an object of it; rules with a name
take the same as `feedback=`, as in `etp.D_RTRL(feedback="random")`, and window 0 with it):

"""  # noqa: E501

FREE = """\
| `schedule` | `'auto'`, `'step'`, `'chunk'`, `'chunk(K)'` |
| `step_size` | a rate, the name of an optimiser, an object of `etp.optim`: the default of `learner.fit` |
"""  # noqa: E501

LAWS_HEAD = """
A point that breaks one of these laws is refused, and what is legal instead is named:

"""


def page() -> str:
    """Return the page, in Markdown."""
    found = every()
    return "\n".join([HEAD + _table(found), *map(_section, found), POINTS + _axes() + _laws()])


def _table(found: Sequence[RuleFacts]) -> str:
    lines = ["| rule | what it is | window | scope | signal |", "| --- " * 5 + "|"]
    for f in found:
        window = "" if f.window is None else f.window
        cells = (f"[{f.name}](#{f.name})", _prose(f.title), window, f.scope or "", f.signal)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _section(f: RuleFacts) -> str:
    names = ", ".join(f"`{n}`" for n in f.aliases)
    also = f"Also called {names}.\n\n" if names else ""
    said = [f"`{n}`: {_prose(text)}" for n, text in f.parameters.items()]
    said += [
        f"*{what}*: {_prose(text)}" for what, text in {
            "exactness": f.exactness, "memory": f.memory, "time": f.time, "reference": f.reference,
        }.items()
    ]  # fmt: skip
    if f.point is not None:
        said.append(f"*as a point*: `{f.point}`")
    items = "\n".join(f"* {x}" for x in said)
    return f"## {f.name}\n\n{_prose(f.title)}\n\n{also}{_prose(f.body)}\n\n{items}\n"


def _prose(text: str) -> str:
    """Return a text of a docstring in Markdown."""
    text = re.sub(
        r"^\.\. math::(.*?)(?=\n\n(?! )|\n(?=\S)|\Z)", lambda m: _display(m[1]), text,
        flags=re.M | re.S,
    )  # fmt: skip
    return re.sub(r":math:`([^`]*)`", r"$\1$", text).replace("``", "`")


def _display(body: str) -> str:
    first, _, rest = body.partition("\n")
    lines = "\n".join(filter(None, (first.strip(), dedent(rest).strip("\n"))))
    if re.search(r"&|\\\\(?!\|)", lines):
        return f"$$\\begin{{aligned}}\n{lines}\n\\end{{aligned}}$$"
    return f"$${lines}$$"


def _axes() -> str:
    lines = ["| axis | values |", "| --- | --- |"]
    for axis, values in choices().items():
        if axis != "window":
            lines.append(f"| `{axis}` | {', '.join(f'`{_value(x)}`' for x in values)} |")
    return "\n".join(lines) + "\n" + FREE


def _value(x: object) -> str:
    return repr(signal_word(x)) if isinstance(x, Signal) else legal(x)


def _laws() -> str:
    lines = (f"* `{' × '.join(law.axes)}`: {law.reason}." for law in LAWS)
    return LAWS_HEAD + "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or check it; return the exit status."""
    return write_or_check(arguments, page, "tests.rules.rules_page")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
