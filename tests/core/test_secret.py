from __future__ import annotations

import copy
import json
import pickle

import pytest

from cream_store import Secret


def test_it_never_shows_its_text() -> None:
    secret = Secret("hunter2")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret:>10}", repr({"password": secret}), repr([secret])):
        assert "hunter2" not in shown
        assert "***" in shown


def test_it_reveals_its_text_when_asked() -> None:
    assert Secret("hunter2").reveal() == "hunter2"


def test_it_equals_the_same_secret_and_nothing_else() -> None:
    assert Secret("größe") == Secret("größe")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert not Secret("")


def test_it_is_not_serialised() -> None:
    with pytest.raises(TypeError, match="reveal"):
        pickle.dumps(Secret("hunter2"))
    with pytest.raises(TypeError):
        json.dumps({"password": Secret("hunter2")})


def test_it_is_copied() -> None:
    secret = Secret("hunter2")
    assert copy.copy(secret) == copy.deepcopy([secret])[0] == Secret(secret) == secret


def test_it_holds_text_only() -> None:
    with pytest.raises(TypeError, match="text"):
        Secret(b"hunter2")  # type: ignore[arg-type]  # what a careless caller might pass
