"""Finding the rule that is to be certified: by name, or by a file or module and a class."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import Any

from attrs import field, frozen

from etp_ir.errors import ETPError, IRError, compose, nearest

from .. import rules
from ..rules import LearningRule
from ..rules.registry import by_name, parse_call
from ..rules.returned import checked_name


@frozen
class Subject:
    """A rule, and what another process finds it by.

    Attributes
    ----------
    rule
        The rule object.
    spec
        Name, ``file.py:Class`` or ``module:Class``, with the arguments given; None for an object
        that was passed in.
    before
        Rule classes by name before the file or module was run.
    """

    rule: LearningRule
    spec: str | None = None
    before: Mapping[str, type[LearningRule]] = field(factory=by_name, repr=False)

    @property
    def namesake(self) -> type[LearningRule] | None:
        """Another rule that is found by the same name, or None."""
        other = self.before.get(self.rule.name.lower())
        return None if other is None or other is type(self.rule) else other

    @property
    def label(self) -> str:
        """The rule as it is called in tables: its name or class, with the arguments given."""
        name, bracket, rest = (self.spec or self.rule.name).partition("(")
        return name.rpartition(":")[2] + bracket + rest

    @property
    def title(self) -> str:
        """First line of the rule's docstring."""
        doc = inspect.getdoc(type(self.rule)) or ""
        return doc.splitlines()[0] if doc else ""


def subject(given: str | LearningRule | type[LearningRule]) -> Subject:
    """Return the rule for a name, ``file.py:Class``, ``module:Class``, a class or an object.

    Classes take arguments as names do: ``file.py:Class(0.5, width=3)``.

    Raises
    ------
    etp.ETPError
        If a file, module or class is missing, cannot be run, or is no rule.
    """
    if not isinstance(given, str):
        return Subject(rules.resolve(given))
    where, colon, name = given.rpartition(":")
    arguments = ""
    called = re.fullmatch(r"(.+?):([A-Za-z_]\w*)\s*(\(.*\))", given, re.DOTALL)
    if called:
        where, name, arguments = called.groups()
    if not colon and not given.endswith(".py"):
        found = rules.resolve(given)
        _, bracket, rest = given.strip().partition("(")
        return Subject(found, found.name + bracket + rest)
    if not colon:
        where, name = given, ""
    before = by_name()
    is_file = where.endswith(".py") or "/" in where
    module = _from_file(Path(where)) if is_file else _from_module(where)
    kind = _class(module, name, where)
    path = str(Path(where).resolve()) if is_file else where
    spec = f"{path}:{kind.__name__}{arguments}"
    return Subject(_made(kind, where, arguments), spec, before)


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ETPError(compose(f"there is no file {path}", how="give file.py:Class, or the name of "
                               "a rule that `etp rules` lists"))  # fmt: skip
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ETPError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # The classes of the file are looked up by the name of their module, for example by pickle.
    before = sys.modules.get(name)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
        raise _unusable(path, error) from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


@contextmanager
def told_where(rule: LearningRule | type[LearningRule], doing: str) -> Iterator[None]:
    """Turn what goes wrong within the code of a rule into an error with its file and line.

    Raises
    ------
    etp.ETPError
        In place of an error raised in the file that the rule is written in, or by what that calls.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, ETPError) and not isinstance(error, IRError):
            raise
        kind = rule if isinstance(rule, type) else type(rule)
        path = _home(kind)
        line, trace = None, error.__traceback__
        while trace is not None:
            if Path(trace.tb_frame.f_code.co_filename).resolve() == path:
                line = trace.tb_lineno
            trace = trace.tb_next
        name = kind.__name__
        if line is None and isinstance(error, IRError):  # found out after the rule had returned
            raise ETPError(f"{name} fails {doing}: {error}") from error
        if line is None:
            raise
        raise ETPError(
            compose(f"{name} fails {doing}: {type(error).__name__}: {error}",
                    where=f"at {path}:{line}", how=_cure(error))
        ) from error  # fmt: skip


def _cure(error: Exception) -> str:
    """Return how a mistake in the code of a rule is mended."""
    if isinstance(error, AttributeError) and error.name:
        guess = nearest(error.name, [n for n in dir(error.obj) if not n.startswith("_")])
        return f"mend the rule there{guess if 'did you' in guess else ''}"
    if "does not support ufuncs" in str(error):
        return ("write it with +, -, * and @ of rel, e and numbers, which the compiler reads; "
                "functions such as tanh are none of them")  # fmt: skip
    return "mend the rule there"


def _home(found: type) -> Path | None:
    """Return the file that a class is written in, or None if it was typed in."""
    try:
        return Path(inspect.getfile(found)).resolve()
    except (TypeError, OSError):
        return None


def _unusable(path: Path, error: Exception) -> ETPError:
    """Return the error of a file that cannot be run, with the line of it that failed."""
    line = getattr(error, "lineno", None)
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).resolve() == path.resolve():
            line = trace.tb_lineno
        trace = trace.tb_next
    at = f"{path}:{line}" if line else str(path)
    return ETPError(
        compose(f"{path} cannot be run: {type(error).__name__}: {error}", where=f"at {at}",
                how="mend the file; it must be importable by itself")
    )  # fmt: skip


def _from_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ETPError(
            compose(f"there is no module {name!r} ({error})",
                    how="give file.py:Class, module:Class, or the name of a rule")
        ) from error  # fmt: skip


def _class(module: ModuleType, name: str, where: str) -> type[LearningRule]:
    """Return the class of a name, or the only rule that a module defines."""
    mine: dict[str, Any] = {
        n: x for n, x in vars(module).items()
        if isinstance(x, type) and x.__module__ == module.__name__
    }  # fmt: skip
    defined = [n for n, x in mine.items() if issubclass(x, LearningRule) and not _abstract(x)]
    listed = f"it defines {', '.join(defined)}" if defined else "it defines no learning rule"
    if not name:
        if len(defined) == 1:
            return mine[defined[0]]
        how = "name one of them" if defined else "derive a class from one of etp.rules"
        raise ETPError(compose(f"{where} does not say which rule: {listed}", how=f"{how}: "
                               f"{where}:Class"))  # fmt: skip
    found = getattr(module, name, None)
    if found is None:
        guess = nearest(name, defined or [*mine])
        raise ETPError(
            f"{where} has no class {name!r}; {listed}{guess if 'did you' in guess else ''}"
        )
    if not (isinstance(found, type) and issubclass(found, LearningRule)):
        kind = "a class" if isinstance(found, type) else f"a {type(found).__name__}"
        raise ETPError(
            compose(f"{where}:{name} is {kind}, and no learning rule; {listed}",
                    how="derive the class from one of etp.rules")
        )  # fmt: skip
    return found


def _abstract(found: type) -> bool:
    return inspect.isabstract(found)


def _made(found: type[LearningRule], where: str, arguments: str) -> LearningRule:
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise ETPError(
            compose(f"{where}:{found.__name__} lacks {', '.join(missing)}",
                    how="define what its base class asks for")
        )  # fmt: skip
    checked_name(found)
    called = f"{where}:{found.__name__}"
    _, args, named = parse_call(f"{found.__name__}{arguments}")
    try:
        signature(found).bind(*args, **named)
    except TypeError as error:
        takes = [str(p.replace(annotation=p.empty)) for p in signature(found).parameters.values()]
        what = f"with arguments {arguments}" if arguments else "without arguments"
        raise ETPError(
            compose(f"{called} cannot be made {what}: {error}", how=f"it takes "
                    f"({', '.join(takes)}): write '{called}(...)', or give its fields defaults")
        ) from error  # fmt: skip
    with told_where(found, f"as it is made with {arguments or 'no arguments'}"):
        return found(*args, **named)
