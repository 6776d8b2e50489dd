"""The page ``docs/cells.md``, made from the docstrings of the cells.

``python -m tests.nn.cells_page docs/cells.md`` writes it; with ``--check`` it only says whether
the page is up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from etp import nn
from tests.nn.facts import STATUSES, facts
from tests.pages import write_or_check

HEAD = """\
# Cells

Every cell of `etp.nn` is made as `Cell(n_in, n_rec, rng=...)`, reads one input vector in each step and returns a vector. Its
equations are those of one step for one example: a prime marks the new value of a state.

The table says how the gradient of each parameter comes about under [D-RTRL](design.md#statuses) with the default window, if the
loss reads the cell through a feed-forward layer: `exact` is equal to back-propagation through time, `approximate` leaves out the
paths through other positions of the state, `direct-only` follows no path through time. Under `pp_prop` whatever has a trace is approximate;
under `rtrl` and `bptt` every parameter is exact. `learner.report()` has the statuses of a whole model, with reasons.

"""  # noqa: E501

TAIL = """\
## Weights of other libraries

`GRUCell` and `LSTMCell` take their weights from PyTorch and from Flax, and give them back, as plain dicts of arrays: neither
library needs to be installed.

```python
import numpy as np

import etp

rng = np.random.default_rng(0)
state_dict = {  # what torch.nn.GRU(3, 4).state_dict() looks like
    "weight_ih_l0": rng.normal(size=(12, 3)),
    "weight_hh_l0": rng.normal(size=(12, 4)),
    "bias_ih_l0": rng.normal(size=12),
    "bias_hh_l0": rng.normal(size=12),
}
cell = etp.nn.GRUCell.from_torch_state_dict(state_dict)
print({name: tuple(p.shape) for name, p in cell.named_params().items() if name.startswith("n")})
print(list(cell.to_torch_state_dict()))
print(list(cell.to_flax_params()))
```

```text
{'n.w_in': (3, 4), 'n.w_rec': (4, 4), 'n.b': (4,)}
['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
['ir', 'hr', 'iz', 'hz', 'in', 'hn']
```

PyTorch adds two biases in every gate; only in the candidate `n` of a gated recurrent unit, where the reset gate scales the second,
are they two parameters here. On export the first is the sum and the second is zero. PyTorch loads tensors:
`module.load_state_dict({k: torch.as_tensor(v) for k, v in cell.to_torch_state_dict().items()})`.

## A cell of one's own

A cell is one `etp.Module`; with `@etp.nn.register` it is in the list `etp.nn.cells()`, and thereby in the tests of cells, which
hold it to what its docstring says; see [Extending](extending.md#a-cell).
"""  # noqa: E501


def page() -> str:
    """Return the page, in Markdown."""
    return "\n".join([HEAD + _table(), *(_section(name) for name in nn.cells()), TAIL])


def _table() -> str:
    lines = [f"| cell | states | {' | '.join(STATUSES)} |", "| --- " * 5 + "|"]
    for name, cell in nn.cells().items():
        statuses = facts(cell).statuses
        columns = [", ".join(f"`{p}`" for p in statuses.get(status, ())) for status in STATUSES]
        states = ", ".join(f"`{s}`" for s in cell(2, 3, rng=0).named_states())
        lines.append(f"| [{name}](#{name.lower()}) | {states} | {' | '.join(columns)} |")
    return "\n".join(lines) + "\n"


def _section(name: str) -> str:
    told = facts(nn.cells()[name])
    text = f"{told.summary}\n\n{told.body}".replace("``", "`")
    return f"## {name}\n\n{text}\n"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or check it; return the exit status."""
    return write_or_check(arguments, page, "tests.nn.cells_page")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
