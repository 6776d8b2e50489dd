"""Stopping where it is safe: the first Ctrl-C asks, the second one insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from attrs import define


@define
class Stop:
    """Whether a stop was asked for, and whether it was insisted on."""

    asked: bool = False
    insisted: bool = False


@contextmanager
def stoppable(notice: Callable[[], Any]) -> Iterator[Stop]:
    """Turn the first interrupt into a request, kept in the `Stop`; a second one raises.

    Parameters
    ----------
    notice
        Called when a stop is asked for.
    """
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            stop.insisted = True
            raise KeyboardInterrupt
        stop.asked = True
        notice()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, ask) for kind in kinds]
    try:
        yield stop
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextmanager
def raising() -> Iterator[None]:
    """Raise `KeyboardInterrupt` for a request to end as well, as Ctrl-C does."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
