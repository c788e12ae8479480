"""What the commands on documents and questions do: index, ask, show, stats, settings."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from functools import partial

from rag import cli
from rag.indexing.engine import LOCAL, open_engine


def index(given: argparse.Namespace) -> None:
    """Bring the index up to date, or keep it so, and print what was read."""
    from rag.errors import BadSetting
    from rag.indexing.indexer import Indexer, format_report, report_json
    from rag.indexing.watch import watch
    from rag.settings import load_settings

    settings = load_settings(**({"docs": tuple(given.paths)} if given.paths else {}))
    if given.watch:
        if given.engine != LOCAL:
            raise BadSetting(
                f"--watch --engine {given.engine}: what changes from day to day is indexed here: leave one out"
            )
        watch(settings, partial(print, flush=True))
        return
    with open_engine(given.engine, settings) as engine, Indexer(settings, engine=engine) as indexer:
        report = indexer.run()
        print(report_json(report) if given.json else format_report(report, everything=given.list), flush=True)
        for line in indexer.build_vector_indexes():
            print(line, file=sys.stderr if given.json else sys.stdout, flush=True)
        if note := indexer.language_note():
            print(f"Note: {note}", file=sys.stderr if given.json else sys.stdout, flush=True)
    if given.paths and not given.json and settings.docs != load_settings().docs:
        docs = [shlex.quote(str(path)) for path in settings.docs]
        command = f"thumbtune chat {' '.join(docs)}" if cli.PACKAGE else f"make chat DOCS={os.pathsep.join(docs)}"
        print(f"To chat with these: {command}")


def ask(given: argparse.Namespace) -> None:
    """Print both arms' answers to a question."""
    import asyncio

    asyncio.run(_ask_both(given.question))


async def _ask_both(question: str) -> None:
    """Print both arms' answers and sources, each when it is done. No blinding: a terminal keeps no ratings."""
    import secrets
    from contextlib import aclosing

    from rag.answering.duel import Done, Failed
    from rag.answering.quotable import plain_text
    from rag.answering.service import open_service
    from rag.errors import ThumbtuneError
    from rag.records import ARMS, SIDES
    from rag.settings import EXTRACTIVE, load_settings

    serving = open_service(load_settings())
    query, only = serving.parse_query(question)
    print(f"Answers: {serving.answerer}")
    print(f"Passages: {' '.join(filter(None, [f'{serving.search_options.summary()}.', only.summary()]))}")
    for note in serving.notes():
        print(f"Note: {note}")
    sides = dict(zip(ARMS, SIDES, strict=True))
    failures = []
    async with aclosing(serving.ask(query, sides=sides, duel_id=secrets.token_hex(8), only=only)) as events:
        async for event in events:
            if isinstance(event, Done):
                answer = event.answer
                text = plain_text(answer.text) if answer.answerer == EXTRACTIVE else answer.text
                print(f"\n{answer.arm} ({answer.model}), {answer.total_s:.2f} s\n{text}")
                for hit in answer.hits:
                    drawn = "drawn on" if hit.rank in answer.attributed else "consulted"
                    mark = f"{'cited' if hit.rank in answer.cited else drawn:9}"
                    page = f", page {hit.chunk.pages}" if hit.chunk.pages else ""
                    where = " > ".join(filter(None, [hit.chunk.source, hit.chunk.heading]))
                    print(f"  [{hit.rank}] {mark} {hit.score:.3f} {where}{page}")
            elif isinstance(event, Failed):
                failures.append(event)
                print(f"\n{event.arm}: {event.message}")
    serving.close()
    if len(failures) == len(ARMS):
        raise ThumbtuneError("neither arm could answer")


def show(given: argparse.Namespace) -> None:
    """Print what is read of a file and its chunks."""
    import json

    from rag.indexing.show import format_document, show_document
    from rag.settings import load_settings

    document = show_document(load_settings(), given.file)
    if given.json:
        print(json.dumps(document.as_json(), ensure_ascii=False))
        return
    for line in format_document(document):
        print(line)


def stats(given: argparse.Namespace) -> None:
    """Print how many documents, answers, ratings, pairs and versions there are."""
    from collections import Counter

    from rag.evaluation.win_rates import drawn_thumbs
    from rag.feedback.rated_queries import count_rated_now
    from rag.feedback.ratings import current_labels
    from rag.indexing.file_report import load_file_report
    from rag.ingest.corpus import load_corpus
    from rag.models.registry import Registry
    from rag.models.trials import trial_of
    from rag.settings import load_settings
    from rag.store.store import open_store

    settings = load_settings()
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    given_ratings, answers = store.feedback.ratings(), store.feedback.answers()
    ratings = Counter({1: "up", -1: "down", 0: "withdrawn"}[rating.value] for rating in given_ratings)
    drawn = drawn_thumbs(given_ratings, answers)
    labels = current_labels(store)
    pairs = Counter(label.label for label in labels)
    preferred = Counter(label.label for label in labels if label.origin == "preference")
    rows = {
        "documents": ", ".join(map(str, settings.docs)) + f" ({len(store.documents.hashes(corpus.id))} files)",
        "chunks": store.documents.count_chunks(corpus.id),
        "answers": len(answers),
        "ratings": f"{ratings['up']} up, {ratings['down']} down, {ratings['withdrawn']} withdrawn",
        **{f"on drawn answers of {arm}": str(thumbs) for arm, thumbs in sorted(drawn.items())},
        "pairs": f"{pairs[1]} positive, {pairs[-1]} negative",
        "of them by preferences": f"{preferred[1]} positive, {preferred[-1]} negative",
        "rated queries with a positive": count_rated_now(store, corpus.id, labels=labels),
        "synthetic pairs": len(store.feedback.synthetic()),
    }
    registry = Registry(settings.models)
    champion = registry.champion(corpus.folders_id)
    trial = trial_of(settings, corpus.folders_id)
    unproven = f"start weights (nothing promoted yet{f'; {trial.name} is on trial in comparisons' if trial else ''})"
    rows["tuned arm"] = champion.summary if champion else unproven
    for name, value in rows.items():
        print(f"{name + ':':31}{value}")
    if files := load_file_report(settings, corpus):
        print("files at the last index run:")
        for line in files.lines():
            print(f"  {line}")


def settings_text(given: argparse.Namespace) -> None:
    """Print every setting with its default."""
    from rag.settings import ROOT

    print((ROOT / ".env.example").read_text("utf-8"), end="")
