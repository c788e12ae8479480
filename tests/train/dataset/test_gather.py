"""Training data: BM25 ranks of cited chunks, synthetic questions, and questions without an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fakes import NOON, make_answer
from rag.errors import NotEnoughFeedback
from rag.feedback.credit import DEPTH
from rag.feedback.ratings import rate_answer
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks
from rag.ingest.corpus import load_corpus
from rag.records import LabelledPair, Pair, Qrels, normalise_query
from rag.settings import ROOT, Settings
from rag.store.store import Store, open_store
from train.context import open_context
from train.dataset.gather import gather_ratings, gather_synthetic, keyword_ranks
from train.dataset.plan import TrainingOptions, make_plan, with_replay
from train.dataset.split import Split
from train.dataset.unanswerable import ENOUGH_KNOWN, FOREIGN, MOST_FOREIGN, VOTED, WRITTEN, unanswerable_queries
from train.synthetic.from_documents import Question


def test_chunks_are_ranked_by_bm25_also_where_the_base_model_has_no_table_yet(
    settings: Settings, other_tiny_model: Path
) -> None:
    index(settings)
    other = settings.model_copy(update={"base_model": str(other_tiny_model)})
    with closing(open_store(settings.lancedb)) as store:
        chunk = corpus_chunks(store, load_corpus(settings).id)[0]
        said = LabelledPair("ann", "a1", chunk.text, chunk.id, chunk.text, 1, NOON, "rating", cited=True)
        rank_of = keyword_ranks(replace(open_context(settings, store), settings=other), [said])
    assert rank_of(chunk.text.upper(), chunk.id) == 1
    assert rank_of(chunk.text, "no chunk") == rank_of("what nobody asked", chunk.id) == DEPTH


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with closing(open_store(settings.lancedb)) as opened:
        yield opened


def test_what_a_file_lists_without_a_section_and_what_raters_miss_has_no_answer(
    settings: Settings, store: Store
) -> None:
    questions = [Question("Who pays?"), Question("What does the cat drink?", "cats.md"), Question("what do cats EAT?")]
    store.feedback.put_answer(make_answer(query="Why so?"))
    rate_answer(store, rater="ann", answer_id="answer-1", value=-1, blind=True, reason="not in the documents")
    found = unanswerable_queries(settings, store, questions, ["What do cats eat?"])
    assert (found[WRITTEN], found[VOTED]) == (["Who pays?"], ["Why so?"])


def test_questions_about_other_documents_are_added_where_few_are_known(settings: Settings, store: Store) -> None:
    few = unanswerable_queries(settings, store, [Question("Who pays?")])
    assert len(few[FOREIGN]) == MOST_FOREIGN
    assert unanswerable_queries(settings, store, [Question("Who pays?")]) == few  # the same ones every time
    enough = [Question(f"Who pays {n}?") for n in range(ENOUGH_KNOWN)]
    assert set(unanswerable_queries(settings, store, enough)) == {WRITTEN}


@pytest.mark.parametrize("docs", [ROOT / "docs", ROOT, ROOT / "docs" / "concepts"])
def test_the_apps_own_questions_are_not_foreign_to_its_own_documents(
    settings: Settings, store: Store, docs: Path
) -> None:
    assert unanswerable_queries(settings.model_copy(update={"docs": (docs,)}), store, []) == {}


def test_only_queries_that_people_would_ask_set_a_threshold(settings: Settings) -> None:
    lines = [{"question": f"What is said {n}?", "source": "cats.md"} for n in range(3)] + [{"question": "Who pays?"}]
    (settings.docs[0] / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for n in range(60):
        (settings.docs[0] / f"{n}.md").write_text(f"# House {n}\n\n" + "The dog keeps one bone in the garden. " * 4)
    index(settings)
    with closing(open_store(settings.lancedb)) as store:
        gathered = gather_synthetic(open_context(settings, store))
    asked = {normalise_query(pair.query) for pair in gathered.pairs if pair.query.startswith("What is said")}
    assert len(asked) == 3
    assert gathered.judging
    assert gathered.judging - asked == gathered.unasked
    assert not gathered.unasked & asked
    assert gathered.absent[WRITTEN] == ["Who pays?"]


def test_ratings_of_which_none_can_judge_are_refused_before_anything_is_trained(settings: Settings) -> None:
    things = [(thing, n) for thing in ("cat", "dog", "fish", "bird", "milk", "bone") for n in range(10)]
    for thing, n in things:
        (settings.docs[0] / f"{thing}{n}.txt").write_text(f"The {thing} sleeps in house {n}.")
    index(settings)
    with closing(open_store(settings.lancedb)) as store:
        chunks = {chunk.source: chunk for chunk in corpus_chunks(store, load_corpus(settings).id)}
        labels = []
        for nth, (thing, n) in enumerate(things):  # no word of a query stands in its passage
            chunk = chunks[f"{thing}{n}.txt"]
            labels.append(
                LabelledPair("ann", f"a{nth}", f"zzz q{nth}", chunk.id, chunk.text, 1, NOON, "rating", cited=True)
            )
        store.feedback.put_labels(labels)
        with pytest.raises(NotEnoughFeedback, match="none of the rated queries can be a test query"):
            make_plan(open_context(settings, store), TrainingOptions())
        assert not make_plan(open_context(settings, store), TrainingOptions(promote=True)).evaluation.qrels.relevant


def test_while_few_questions_are_written_headings_are_general_queries_as_well(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("train.synthetic.from_documents.REST_WORDS", 3)  # the tiny model's chunks are short
    body = "The dog keeps one bone in the garden and another one in the house. " * 4
    for n in range(60):
        (settings.docs[0] / f"{n}.md").write_text(f"# House {n}\n\n{body}")
    lines = [{"question": f"What is said {n}?", "source": f"{n}.md"} for n in range(3)]
    (settings.docs[0] / "questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    index(settings)
    with closing(open_store(settings.lancedb)) as store:
        chunks = corpus_chunks(store, load_corpus(settings).id)
        some = {chunk.source: chunk for chunk in chunks if chunk.heading.startswith("House")}.values()
        store.feedback.put_labels(
            LabelledPair("ann", f"a{n}", f"where is {n}?", chunk.id, chunk.text, 1, NOON, "mark")
            for n, chunk in enumerate(some)
        )
        general = {pair.query for pair in gather_ratings(open_context(settings, store)).general}
    assert {line["question"] for line in lines} < general
    assert {f"House {n}" for n in range(60)} <= general


def test_what_is_replayed_is_of_all_pages_and_not_of_the_first_ones() -> None:
    asked = tuple(Pair(f"asked {n}", f"a{n}", "text") for n in range(20))
    extra = tuple(Pair(f"question {n}", f"page {n // 20}", "text") for n in range(200))
    replayed = with_replay(Split(asked, extra, Qrels({}), 0))[len(asked) :]
    assert len(replayed) == 20
    assert len({pair.positive_id for pair in replayed}) > 5
    assert set(replayed) <= set(extra)
