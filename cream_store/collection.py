"""Many objects at once, without the garbage collector's interest in them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MANY: Final = 1_000
"""Rows from which on a pause is worth its trouble."""


@contextmanager
def collection_paused() -> Iterator[None]:
    """Makes no garbage collection start within the block, which only computes and takes a second at most.

    The collector starts after every so many new objects, and looks again and again at rows and records of which none
    is garbage: that takes as long as making them does.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
