from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from tests.contract.facts import MODULES

METHODS: dict[str, dict[str, list[str]]] = json.loads(
    (Path(__file__).parent.parent / "contract" / "methods.json").read_text(encoding="utf-8")
)


def test_every_module_has_methods() -> None:
    assert METHODS.keys() == MODULES.keys()


@pytest.mark.parametrize("module", METHODS)
def test_no_repository_or_method_of_the_contract_is_missing(module: str) -> None:
    package = importlib.import_module(f"cream_plugins.{module.replace('-', '_')}")

    missing = [
        f"{name}.{method}"
        for name, methods in METHODS[module].items()
        for method in methods
        if not callable(getattr(getattr(package, name, None), method, None))
    ]

    assert missing == []
