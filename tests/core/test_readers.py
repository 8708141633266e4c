"""The quick ways from text to values give what the standard library gives."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cream_store import Database
from cream_store.readers import read_json, read_uuid

SPACE = st.sampled_from(["", " ", "\n\t"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda items: st.lists(items) | st.dictionaries(st.text(), items),
)


@given(st.uuids())
def test_a_uuid_is_read_as_it_is(value: UUID) -> None:
    read = read_uuid(str(value))
    assert type(read) is UUID
    assert (read, hash(read), str(read), read.is_safe) == (value, hash(value), str(value), value.is_safe)
    assert copy.deepcopy(pickle.loads(pickle.dumps(read))) == value


def test_a_uuid_that_was_read_can_not_be_changed() -> None:
    with pytest.raises(TypeError):
        read_uuid("01a203f2-0120-73d0-975b-ae3aa5e2a2ae").int = 1  # type: ignore[misc]  # the mistake meant here


@given(st.uuids(), st.sampled_from(["{}", "{{{}}}", "urn:uuid:{}"]), st.booleans(), st.booleans())
def test_other_spellings_are_read_too(value: UUID, form: str, has_hyphens: bool, is_upper: bool) -> None:
    text = form.format(str(value) if has_hyphens else value.hex)
    assert read_uuid(text.upper() if is_upper and "urn" not in form else text) == value


@given(st.text("0123456789abcdefg- {}", max_size=40) | st.text("0123456789abcdef-", min_size=36, max_size=36))
def test_no_other_text_is_a_uuid(text: str) -> None:
    try:
        expected = UUID(text)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011  # its words are Python's
            read_uuid(text)
    else:
        assert read_uuid(text) == expected


@given(DOCUMENTS, SPACE, SPACE)
def test_json_is_read_as_it_is(document: Any, before: str, after: str) -> None:
    assert read_json(before + json.dumps(document) + after) == document


@pytest.mark.parametrize("text", ["", " ", "{", "nul", "1 2", "[1] x", "{'a': 1}", "\ufeff1"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 1 column|BOM"):
        read_json(text)


def test_any_query_on_postgresql_gives_them(postgresql_notebook: Database) -> None:
    [row] = postgresql_notebook.fetch_all(
        "SELECT %s::uuid, %s::jsonb, %s::json, NULL::uuid, NULL::jsonb, ARRAY[%s::uuid]",
        ("0" * 32, "[1]", " {} ", "1" * 32),
    )
    assert row == (UUID(int=0), [1], {}, None, None, [UUID("1" * 32)])
