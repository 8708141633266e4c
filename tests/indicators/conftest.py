"""Databases with nothing but the tables that these tests are about."""

import pytest


@pytest.fixture
def plugins() -> tuple[str, ...]:
    return ("indicators",)
