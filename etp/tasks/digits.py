"""Handwritten digits of 8 x 8 pixels, those that come with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from etp_ir.errors import nearest

from .task import Split, Task, TaskError, register

# Inputs per step: an image is read from the top left, one row or one pixel at a time.
WIDTH = {"row": 8, "pixel": 1}


@register
def digits(by: str = "row") -> Task:
    """Return the digits: 1437 to train on and 360 to test on, pixels between 0 and 1.

    The split is the same for every run: drawn once with a fixed seed, each digit in equal shares.
    Data set: Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI, 1998.

    Parameters
    ----------
    by
        ``"row"``: 8 steps of 8 inputs; ``"pixel"``: 64 steps of one input.

    Raises
    ------
    TaskError
        If it is neither.
    """
    if by not in WIDTH:
        raise TaskError(f"digits cannot be read by {by!r}{nearest(by, list(WIDTH))}")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    parts = train_test_split(images / 16, labels, test_size=0.2, random_state=0, stratify=labels)
    train_x, test_x, train_y, test_y = parts
    return Task(
        "digits", by, _split(train_x, train_y, WIDTH[by]), _split(test_x, test_y, WIDTH[by]), 10
    )


def _split(images: Any, labels: Any, width: int) -> Split:
    steps = np.asarray(images, np.float32).reshape(len(images), -1, width)
    return Split(np.ascontiguousarray(steps.swapaxes(0, 1)), np.asarray(labels, np.int32))
