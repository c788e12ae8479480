"""Whatever comes from outside (settings, label files, payloads, an LLM's text) is read, or refused in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import chat.actions.payloads as action_payloads
from chat.actions import scope
from chat.session import incoming
from chat.session.payload import Payload
from fakes import make_hits
from rag.answering.evidence.citations import cited_numbers, statements, uniform_citations
from rag.answering.evidence.cleaning import clean_answer, find_loop
from rag.answering.options import chosen_search, offer_options
from rag.errors import BadLabels, BadQuery, BadSetting, ThumbtuneError
from rag.feedback.files.import_export import read_labels
from rag.retrieval.search import build_options
from rag.settings import Settings, load_settings
from rag.store.filters import DocumentFilter, split_filter

try_many = settings(max_examples=80, derandomize=True, suppress_health_check=list(HealthCheck))
HITS = make_hits("bees swarm", "the queen leaves", "a colony")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
PARTS = st.sampled_from(
    (
        *("[", "]", "(", ")", "1", "9", ",", "-", "–", "; ", "\n", ".", "[1]", "[2, 3]", "[1-3]", "[99]", "[[", "[^1]"),
        *("Source 1", "¹", "【1】", "[1](http://x)", "passage", "[1", "1]", "[-1]", "[0]", "[1-999999999]", "It is so"),
        *("```", "$", "\u202e", "ß", "\ud83d"),
    )
)
ANSWERS = st.lists(PARTS, max_size=40).map("".join) | st.text(max_size=80)


def subclasses(model: type[Payload]) -> list[type[Payload]]:
    return [found for each in model.__subclasses__() for found in (each, *subclasses(each))]


PAYLOADS = [each for each in subclasses(Payload) if each.__module__ in (action_payloads.__name__, incoming.__name__)]
FIELDS = sorted({name for each in PAYLOADS for name in each.model_fields})
GOOD = st.sampled_from(["answer-1", "A", "both bad", 1, -1, 0, True, 1.0, "x" * 5_000, "\ud83d", "\0", str(uuid4())])


@try_many
@given(text=ANSWERS)
def test_citations_of_any_text_are_numbers_of_hits(text: str) -> None:
    uniform = uniform_citations(text, HITS)
    for each in (text, uniform, clean_answer(text, HITS, is_complete=False)):
        numbers = cited_numbers(each, len(HITS))
        assert len(set(numbers)) == len(numbers)
        assert set(numbers) <= {1, 2, 3}
        assert all(set(one.cited) <= {1, 2, 3} for one in statements(each, len(HITS)))
        assert (found := find_loop(each)) is None or 0 <= found <= len(each)


@try_many
@given(sent=JSON | st.dictionaries(st.sampled_from(FIELDS), GOOD | JSON, max_size=6))
def test_a_payload_is_read_or_refused_in_one_line(sent: object) -> None:
    refusals = []
    for model in PAYLOADS:
        try:
            assert isinstance(model.read(sent), model)
        except ThumbtuneError as error:
            refusals.append(str(error))
    assert [line for line in refusals if "\n" in line or len(line) > 400] == []


@try_many
@given(sent=st.text(max_size=60) | st.uuids().map(str) | st.uuids().map(lambda each: f"../{each}") | JSON)
def test_a_session_id_is_the_name_of_one_folder_and_no_other(sent: object) -> None:
    try:
        found = incoming.Connection.read({"sessionId": sent}).sessionId
    except ThumbtuneError:
        return
    assert found == sent == str(UUID(found))
    assert Path("files", found).parent == Path("files")


@try_many
@given(sent=st.fixed_dictionaries({}, optional={"k": st.integers() | JSON, "search": st.text() | JSON, "llm": JSON}))
def test_chosen_options_are_within_the_offer(sent: object) -> None:
    served = build_options(Settings(docs=(Path("docs"),)))
    offer = offer_options(served, "extractive", ("a",))
    try:
        wanted = action_payloads.Options.read(sent)
    except BadQuery:
        return
    assume(wanted.k in offer.k)
    found = chosen_search(served, action_payloads.Options.read({"k": wanted.k}))  # type: ignore[arg-type]  # same fields
    assert found.explore < found.k


@try_many
@given(
    places=st.lists(st.text(min_size=1, max_size=20).filter(lambda text: '"' not in text and text.strip()), max_size=8)
)
def test_a_scope_that_is_chosen_is_the_filter_of_the_question(places: list[str]) -> None:
    context: Any = type("Context", (), {"session": type("Session", (), {"scope": ()})})
    scope.choose(context, {"scope": places})
    kept = context.session.scope
    assert kept in ((), tuple(places))
    asked, only = split_filter(scope.within(context, "why do bees swarm?"))
    assert asked == "why do bees swarm?"
    assert only == DocumentFilter(folders=only.folders)
    assert len(only.folders) <= len(kept)


NAMES = sorted({f"THUMBTUNE_{name.upper()}" for name in Settings.model_fields} | {"OPENAI_BASE_URL", "OPENAI_API_KEY"})
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    [
        "-1",
        "0",
        "1e999",
        "nan",
        "99999999999999999999",
        "yes",
        "[]",
        "{}",
        "http://[::1",
        "\u202e",
        "a" * 5_000,
        "~",
        "$HOME",
    ]
)


@try_many
@given(given_=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3))
def test_settings_are_read_or_refused_in_one_line(given_: dict[str, str]) -> None:
    refused = ""
    with patch.dict(os.environ, given_):
        try:
            assert load_settings().k > 0
        except BadSetting as error:
            refused = str(error)
    assert "\n" not in refused


LINE_FIELDS = st.sampled_from(
    ["query", "text", "label", "rater", "at", "source", "start", "end", "origin", "preference"]
)
LINES = (
    st.binary(max_size=40)
    | st.dictionaries(LINE_FIELDS, JSON | st.sampled_from(["bees", 1, -1, 1e400, -(10**30)]), max_size=8).map(
        lambda row: json.dumps(row).encode()
    )
    | JSON.map(lambda value: json.dumps(value).encode())
)


@try_many
@given(lines=st.lists(LINES, min_size=1, max_size=3), name=st.sampled_from(["labels.jsonl", "beir/corpus.jsonl"]))
def test_label_files_are_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], name: str
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"\n".join(lines))
    if name.startswith("beir"):
        (folder / "beir" / "queries.jsonl").write_bytes(b"\n".join(reversed(lines)))
        (folder / "beir" / "qrels").mkdir()
        (folder / "beir" / "qrels" / "test.tsv").write_bytes(b"query-id\tcorpus-id\tscore\n" + lines[0])
    try:
        read = read_labels(file if file.parent == folder else file.parent, [])
    except BadLabels as error:
        read, refused = None, str(error)
    else:
        refused = ""
    assert "\n" not in refused
    assert not read or all(label.label in (-1, 0, 1) for label in read.labels)
