"""Let the LLM write questions about the documents: print the cost, then ask."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from rag.answering.llm import build_ask
from rag.answering.token_counter import TokenCounter
from rag.indexing.update import update_vectors
from rag.models.arms import arm_models
from rag.models.embedder import load_embedder
from rag.records import Chunk
from train.context import TrainingContext
from train.synthetic.llm_questions import Found, QuestionJournal, plan_questions, write_questions
from train.synthetic.question_filter import ROUND_TRIP_K


def generate_questions(context: TrainingContext, *, dry_run: bool) -> None:
    """Print the cost in calls and tokens; unless it is a dry run, let the LLM write the questions.

    Raises BadSetting where no LLM is set, AnswerFailed where the endpoint fails; finished questions are kept.
    """
    settings, chunks = context.settings, context.chunks
    journal, ask = QuestionJournal(settings.home, context.corpus.id, settings.answerer), build_ask(settings)
    plan = plan_questions(chunks, journal, TokenCounter(settings))
    print(plan.summary())
    if not dry_run:
        write_questions(plan, chunks, journal, ask, _retrieved_by_any(context), _progress_bar)
        print(journal.summary())


def _retrieved_by_any(context: TrainingContext) -> Found:
    """Return query -> ids of the chunks that base, champion or keyword search ranks first (ROUND_TRIP_K each)."""
    settings, store, corpus = context.settings, context.store, context.corpus
    references = {reference for _, reference in arm_models(settings, corpus.folders_id).values()}
    embedders = [load_embedder(reference, settings) for reference in sorted(references)]
    searched = [(embedder, update_vectors(store, corpus.id, embedder)) for embedder in embedders]

    def found(query: str) -> set[str]:
        hits = set()
        for embedder, table in searched:
            (vector,) = embedder.embed_queries([query])
            hits |= {hit.chunk.id for hit in store.chunks.search(table, vector, ROUND_TRIP_K)}
            hits |= {hit.chunk.id for hit in store.chunks.search_text(table, query, vector, ROUND_TRIP_K)}
        return hits

    return found


def _progress_bar(steps: Sequence[Chunk]) -> tqdm[Chunk]:
    return tqdm(steps, desc="asking the LLM", unit="chunk", disable=None, leave=False)
