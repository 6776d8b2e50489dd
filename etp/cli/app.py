"""The application: its commands, its version, and how its errors are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from etp_ir.errors import ETPError

FAILED = 2
INTERRUPTED = 130


class ErrorsInOneLine(TyperGroup):
    """A group of commands whose errors on purpose end in a line and not in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command.

        Raises
        ------
        typer.Exit
            With code 2 after an error of this library or of the file system, 130 after Ctrl-C.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            Console(stderr=True).print("interrupted", style="yellow")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise
        except (ETPError, OSError) as error:
            console = Console(stderr=True, highlight=False)
            console.print("error:", style="bold red", end=" ")
            console.print(one_line(str(error)), markup=False, soft_wrap=True)
            raise typer.Exit(FAILED) from None


def one_line(text: str) -> str:
    """Return a message on one line, unless it shows lines of a program.

    Where in our own commands the library was called is no news to a user.
    """
    ours = ("  called at ", f"  at {Path(__file__).parent}")
    lines = [line for line in text.splitlines() if not line.startswith(ours)]
    shows = any(line.startswith(" ") for line in lines)
    return "\n".join(lines) if shows else "; ".join(lines)


app = typer.Typer(
    name="etp", cls=ErrorsInOneLine, no_args_is_help=True, add_completion=False,
    pretty_exceptions_enable=False, rich_markup_mode="rich",
    help="Train recurrent and spiking networks forward in time, with eligibility traces.",
)  # fmt: skip


def _version(asked: bool) -> None:
    if asked:
        import etp

        print(f"etp {etp.__version__}")
        raise typer.Exit


@app.callback()
def etp(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train recurrent and spiking networks forward in time, with eligibility traces."""


def main() -> None:
    """Run the command line."""
    app(prog_name="etp")
