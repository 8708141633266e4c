"""Seeding: what a plugin writes so that an environment can be used at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from cream_store.backend import Database


class SeedOutcome(StrEnum):
    """What a seed step did."""

    CREATED = "created"  # something was missing
    SKIPPED = "skipped"  # nothing was missing, nothing was written
    REPLACED = "replaced"  # what was there gave way, because that was forced


@dataclass(frozen=True, slots=True)
class SeedStep:
    """One section of the seed data.

    `run` gets the database, and whether to replace what is there; otherwise it writes what is missing only. It builds
    and checks everything before it writes, and writes in one transaction.
    """

    name: str
    run: Callable[[Database, bool], SeedOutcome]
