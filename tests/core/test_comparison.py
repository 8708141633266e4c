"""Comparing documents."""

from __future__ import annotations

import copy
import pickle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cream_store import ABSENT
from cream_store.comparison import differences, nested_differences


def found(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(one.path, one.value1, one.value2) for one in differences(first, second)]


def found_within(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(one.path, one.value1, one.value2) for one in nested_differences(first, second)]


def test_differences_are_by_top_level_key_with_whole_values() -> None:
    first = {"size": 1, "risk": {"max": 5, "min": 1}, "same": [1]}
    second = {"same": [1], "risk": {"min": 1, "max": 6}, "size": 2}
    assert found(first, second) == [("size", 1, 2), ("risk", {"max": 5, "min": 1}, {"min": 1, "max": 6})]


def test_keys_of_the_first_come_first_and_then_those_of_the_second_only() -> None:
    paths = [path for path, *_ in found({"z": 1, "b": 1}, {"a": 2, "b": 2, "c": 2, "z": 2})]
    assert paths == ["z", "b", "a", "c"]


def test_an_absent_key_is_not_a_null() -> None:
    assert found({"a": None}, {"b": None}) == [("a", None, ABSENT), ("b", ABSENT, None)]
    assert found({"a": None}, {"a": None}) == []
    assert found_within({"a": {"b": None}}, {"a": {}}) == [("a.b", None, ABSENT)]


def test_absent_stays_itself_and_says_what_it_is() -> None:
    assert copy.deepcopy(ABSENT) is ABSENT
    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT
    assert repr(ABSENT) == "ABSENT"


def test_nested_differences_are_the_innermost() -> None:
    first = {"risk": {"limits": [{"name": "a", "max": 1}, {"name": "b"}], "on": True}, "size": 1}
    second = {"risk": {"limits": [{"name": "a", "max": 2}, {"name": "c"}], "on": True, "note": "x"}, "size": 1}
    assert found_within(first, second) == [
        ("risk.limits[0].max", 1, 2),
        ("risk.limits[1].name", "b", "c"),
        ("risk.note", ABSENT, "x"),
    ]


def test_lists_of_different_lengths_are_compared_as_wholes() -> None:
    assert found_within({"symbols": ["A", "B"]}, {"symbols": ["X", "A", "B"]}) == [
        ("symbols", ["A", "B"], ["X", "A", "B"])
    ]
    assert found_within({"a": {"b": 1}}, {"a": [1]}) == [("a", {"b": 1}, [1])]


def test_numbers_are_compared_by_value_and_truth_is_no_number() -> None:
    assert found({"a": 1, "b": 0}, {"a": 1.0, "b": -0.0}) == []
    assert found({"a": 1, "b": False}, {"a": True, "b": 0}) == [("a", 1, True), ("b", False, 0)]
    assert found({"a": [[1]]}, {"a": [[True]]}) == [("a", [[1]], [[True]])]


def test_the_keys_tell_what_a_path_in_words_can_not() -> None:
    [dotted] = nested_differences({"a.b": 1}, {"a.b": 2})
    [nested] = nested_differences({"a": {"b": 1}}, {"a": {"b": 2}})
    assert dotted.path == nested.path == "a.b"
    assert (dotted.keys, nested.keys) == (("a.b",), ("a", "b"))


documents = st.dictionaries(
    st.sampled_from("abc"),
    st.recursive(
        st.none() | st.booleans() | st.integers(0, 1),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner),
        max_leaves=5,
    ),
)


@given(documents, documents)
def test_both_ways_of_comparing_agree(first: dict[str, Any], second: dict[str, Any]) -> None:
    top_level, nested = differences(first, second), nested_differences(first, second)
    assert [one.keys[0] for one in top_level] == list(dict.fromkeys(one.keys[0] for one in nested))
    assert {(one.keys, repr(one.value1), repr(one.value2)) for one in nested} == {
        (one.keys, repr(one.value2), repr(one.value1)) for one in nested_differences(second, first)
    }
    assert nested_differences(first, copy.deepcopy(first)) == []
