"""What prediction markets are about."""

from __future__ import annotations

from enum import StrEnum


class PredictionMarketType(StrEnum):
    """What kind of question a market answers."""

    RATE = "rate"
    ELECTION = "election"
    ECONOMIC = "economic"
