"""The README and the pages under docs/ are true: their code runs and their links lead somewhere."""

from __future__ import annotations

import doctest
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))

# A block ```python is run, in one namespace per page. ```python no-run: REASON is only compiled.
# A block ```text right after a block that ran is what that block prints; `...` stands for anything.
# In ```console and ```bash blocks every `etp` command must parse.


@frozen
class Block:
    """A fenced block: its language, what follows the language, its text and its first line."""

    language: str
    note: str
    text: str
    line: int
    follows: bool

    def padded(self) -> str:
        """Return the text with the line numbers it has in the page."""
        return "\n" * (self.line - 1) + self.text


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page; ``follows``: only blank lines since the block before."""
    pattern = re.compile(
        r"^(?P<tick>`{3,})(?P<head>[^\n`]*)\n(?P<body>.*?)^(?P=tick)$", re.M | re.S
    )
    end = None
    for match in pattern.finditer(text):
        language, _, note = match["head"].strip().partition(" ")
        line = text.count("\n", 0, match.start("body")) + 1
        follows = end is not None and not text[end : match.start()].strip()
        yield Block(language, note.strip(), match["body"], line, follows)
        end = match.end()


def prose(page: Path) -> str:
    """Return the page without its code."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """Return the names by which the headings of a page are linked to."""
    text = re.sub(r"^(`{3,}).*?^\1$", "", page.read_text(), flags=re.M | re.S)
    titles = re.findall(r"^#+ +(.+?)\s*$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for t in titles}


def commands(text: str) -> Iterator[str]:
    """Yield the ``etp`` commands in a block of shell input."""
    joined = text.replace("\\\n", " ")
    for line in joined.splitlines():
        for part in re.split(r"&&|\|\||[|;]", line.removeprefix("$ ")):
            if part.split()[:1] == ["etp"]:
                yield part.strip()


def test_the_reader_of_pages_sees_what_it_must() -> None:
    page = "a\n```python\nx = 1\n```\n\n```text\n1\n```\nb\n```python no-run: slow\n```\n"
    first, second, third = blocks(page)
    assert (first.language, first.text, first.line, first.follows) == (
        "python",
        "x = 1\n",
        3,
        False,
    )
    assert (second.language, second.follows) == ("text", True)
    assert (third.note, third.follows) == ("no-run: slow", False)
    shell = "$ pip install x && etp train digits \\\n  --seed 1\nepoch 1\n$ etp report | less\n"
    assert list(commands(shell)) == ["etp train digits    --seed 1", "etp report"]


# Runs the blocks given as JSON, and prints what each of them printed, as JSON.
RUNNER = """
import contextlib, io, json, sys
page, sources = json.load(sys.stdin)
namespace, printed = {"__name__": "__main__"}, []
for source in sources:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(source, page, "exec"), namespace)
    printed.append(out.getvalue())
print(json.dumps(printed))
"""


@EVERY_PAGE
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    found = list(blocks(page.read_text()))
    for block in found:
        if block.language == "python" and block.note:
            assert re.fullmatch(r"no-run: .{8,}", block.note), f"line {block.line}: no reason"
            compile(block.padded(), str(page), "exec")
    ran = [b for b in found if b.language == "python" and not b.note]
    if not ran:
        return
    # A process of its own: what a page defines and registers is not seen by other tests.
    paths = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    child = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps([str(page), [b.padded() for b in ran]]),
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    printed = dict(zip(ran, json.loads(child.stdout), strict=True))
    check = doctest.OutputChecker().check_output
    for before, block in itertools.pairwise(found):
        if block.language == "text" and block.follows and before in printed:
            wanted, got = trimmed(block.text), trimmed(printed[before])
            assert check(wanted, got, doctest.ELLIPSIS), f"line {block.line}; it prints:\n{got}"


def trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines()) + "\n"


@EVERY_PAGE
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{target} is missing"
        if anchor:
            assert anchor in anchors(other), f"{target} is missing"


@EVERY_PAGE
def test_the_commands_of_a_page_exist(page: Path) -> None:
    found = [c for b in blocks(page.read_text()) if b.language in ("console", "bash")
             for c in commands(b.text)]  # fmt: skip
    if not found:
        return
    import typer.main

    from etp.cli import app

    group = typer.main.get_command(app)
    for command in found:
        parse(group, "etp", shlex.split(command, comments=True)[1:])


def parse(command: object, name: str, arguments: list[str]) -> None:
    """Parse arguments by the command and its subcommands, without running any."""
    asks = bool({"--help", "--version"}.intersection(arguments))  # then nothing else is required
    context = command.make_context(name, list(arguments), resilient_parsing=asks)  # type: ignore[attr-defined]
    rest = [*context._protected_args, *context.args]
    if hasattr(command, "resolve_command") and rest:
        child, inner, remaining = command.resolve_command(context, rest)
        parse(inner, child, remaining)


def test_the_readme_has_one_command_to_train_and_one_to_test() -> None:
    first, second = [b.text for b in blocks((ROOT / "README.md").read_text())
                     if b.language == "bash"][:2]  # fmt: skip
    assert len(first.splitlines()) == len(second.splitlines()) == 1
    assert "pip install" in first
    assert next(commands(first)).startswith("etp train digits")
    assert re.search(r"pip install .*&& pytest\b", second)


@EVERY_PAGE
def test_every_block_names_its_language(page: Path) -> None:
    known = {"python", "text", "console", "bash", "latex", "math", "toml", "json", "c", "cuda"}
    assert {b.language for b in blocks(page.read_text())} <= known
