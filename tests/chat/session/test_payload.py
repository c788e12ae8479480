"""What a browser sends is either the declared fields, or refused in one short line."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chat.actions import payloads
from chat.session.payload import MAX_RANK, Payload
from rag.errors import ThumbtuneError

MODELS = [
    model
    for model in vars(payloads).values()
    if isinstance(model, type) and issubclass(model, Payload) and model is not Payload
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
FIELDS = sorted({field for model in MODELS for field in model.model_fields})


@given(sent=JSON | st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_any_json_is_read_or_refused_in_one_short_line(sent: Any) -> None:
    for model in MODELS:
        found, refusal = read(model, sent)
        if found:
            assert found.model_dump(exclude_unset=True).items() <= sent.items()
        else:
            assert 10 < len(refusal) < 250
            assert "\n" not in refusal


def read(model: type[Payload], sent: Any) -> tuple[Payload | None, str]:
    try:
        return model.read(sent), ""
    except ThumbtuneError as error:
        return None, str(error)


def test_there_is_a_model_for_each_action_that_sends_something() -> None:
    assert len(MODELS) == 19


def test_an_unknown_field_is_ignored() -> None:
    assert payloads.Queue.read({"review": "k", "invented": {}}).model_dump() == {"review": "k"}


def test_a_payload_cannot_be_changed() -> None:
    sent = payloads.Queue.read({"review": "k"})
    with pytest.raises(ValidationError):
        sent.review = "other"  # type: ignore[misc]


def test_the_longest_values_that_a_page_sends_are_accepted() -> None:
    assert payloads.Mark.read({"answer": "a" * 200, "rank": MAX_RANK, "value": -1}).rank == MAX_RANK
    comment = "ä" * payloads.MAX_COMMENT
    assert payloads.Vote.read({"answer": "a", "value": -1, "comment": comment}).comment == comment


def test_a_deeply_nested_value_is_refused_in_one_short_line() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ThumbtuneError, match=r"^review is"):
        payloads.Queue.read({"review": nested})
    while nested:  # freeing them at once would recurse as deeply
        nested = nested.pop()
