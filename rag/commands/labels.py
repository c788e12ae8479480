"""What the commands on labels do: import, export, review, gaps, check."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rag import cli

if TYPE_CHECKING:
    from rag.feedback.files.import_export import Unmatched
    from rag.store.store import Store

LISTED = 20  # unmatched lines that are printed: a screenful
GAPS_LISTED = 12  # subjects: as many as one person writes about before looking again


def import_file(given: argparse.Namespace) -> None:
    """Import labels or ratings, and print what matches nothing."""
    from rag.feedback.files.import_export import import_labels
    from rag.feedback.files.programs import import_ratings, is_program_export
    from rag.ingest.corpus import load_corpus
    from rag.settings import load_settings
    from rag.store.store import open_store

    settings = load_settings()
    store = open_store(settings.lancedb)
    if is_program_export(given.file):
        imported = import_ratings(given.file, store, given.client)
        store.close()
        print(f"imported {imported.stored} of {imported.read} ratings, each matched to a stored answer")
        if imported.unmatched:
            _list_unmatched(imported.unmatched, settings.home / "unmatched.txt", "match no stored answer")
        return
    read = import_labels(given.file, store, store.documents.read(load_corpus(settings).id))
    store.close()
    print(f"imported {cli.counted(len(read.labels), 'label')}, {read.found} of them on passages of these documents")
    if read.repeated:
        print(f"lines that repeat the rater, query and text of a later line, which counts: {read.repeated}")
    if read.crossing:
        print(f"texts beyond one passage, which count for the one that holds most of them: {read.crossing}")
    if read.unmatched:
        _list_unmatched(read.unmatched, settings.home / "unmatched.txt")


def _list_unmatched(
    unmatched: Sequence[Unmatched], path: Path, why: str = "match no passage in these documents"
) -> None:
    """Print the lines that match nothing, or the first of them with all in a file."""
    from rag.errors import StoreFailed
    from rag.feedback.files.label_files import write_lines

    print(f"lines that {why}: {len(unmatched)}")
    for line in unmatched[:LISTED]:
        print(f"  {line}")
    if len(unmatched) > LISTED:
        try:
            write_lines(path, map(str, unmatched))
        except OSError as error:
            raise StoreFailed(
                f"{path}: cannot be written ({error.strerror}): make room, and import again for the whole list"
            ) from error
        print(f"  and {len(unmatched) - LISTED} more: all are in {path}")
    if any(line.waits for line in unmatched):
        print("Waiting lines count once their documents are indexed.")


def export(given: argparse.Namespace) -> None:
    """Write labels, pairs, or what is stored of one rater."""
    from rag.feedback.files.import_export import export_labels, export_to_argilla
    from rag.feedback.ratings import repair
    from rag.ingest.corpus import load_corpus
    from rag.settings import load_settings
    from rag.store.store import open_store

    settings = load_settings()
    if given.rater:
        from rag.upkeep.personal_data import export_person

        print(f"exported {export_person(settings, given.rater, given.out):,} lines on {given.rater!r} to {given.out}")
        return
    store = open_store(settings.lancedb)
    repair(store)
    if given.shape in ("pairs", "triplets"):
        _export_pairs(given, store, load_corpus(settings).id)
        return
    if given.shape == "argilla":
        report = export_to_argilla(given.out, store)
    else:
        report = export_labels(given.out, store, store.documents.read(load_corpus(settings).id))
    store.close()
    labels, queries = cli.counted(report.labels, "label"), cli.counted(report.queries, "query", "queries")
    print(f"exported {labels} on {queries} to {given.out}")
    if report.ties:
        print(f"{report.ties} passages on which raters are split are left out")
    if report.preferences:
        print(f"{report.preferences} labels of preferences are left out: only a {given.out}.jsonl marks them as weaker")


def _export_pairs(given: argparse.Namespace, store: Store, corpus_id: str) -> None:
    from rag.feedback.files.pair_files import export_pairs
    from rag.feedback.rated_queries import pairs_now

    made = pairs_now(store, corpus_id)
    report = export_pairs(given.out, made.pairs, given.shape)
    store.close()
    rows, queries = (
        cli.counted(report.rows, given.shape.removesuffix("s")),
        cli.counted(report.queries, "query", "queries"),
    )
    print(f"exported {rows} on {queries} to {given.out}")
    if report.without:
        print(f"{report.without} positives without a negative are left out: --as pairs writes all")
    if report.negatives:
        print(f"{report.negatives} negatives are left out: --as triplets writes them")
    if made.retired:
        print(f"{len(made.retired)} labels are left out: their text is no longer in these documents")


def review(given: argparse.Namespace) -> None:
    """Print the questions voted down without a known correct passage."""
    from rag.feedback.ratings import to_teach
    from rag.settings import load_settings
    from rag.store.store import open_store

    store = open_store(load_settings().lancedb)
    answers = {answer.id: answer for answer in store.feedback.answers()}
    queries = to_teach(store.feedback.ratings(), answers)
    store.close()
    for query in queries:
        print(query)
    if queries:
        make = "makes" if len(queries) == 1 else "make"
        questions = cli.counted(len(queries), "question")
        print(f"{questions} {make} no training pair yet: import the passage that answers one, as a label")
    else:
        print("nothing to review: every question that was voted down has a correct passage")


def gaps(given: argparse.Namespace) -> None:
    """Print what the documents lack, most wanted first."""
    from rag.evaluation.gaps import find_gaps
    from rag.settings import load_settings
    from rag.store.store import open_store

    store = open_store(load_settings().lancedb)
    feedback = store.feedback
    gaps = find_gaps(feedback.answer_columns(), feedback.rating_columns(), feedback.solved_queries())
    store.close()
    for number, gap in enumerate(gaps[:GAPS_LISTED], start=1):
        signals = ", ".join(f"{n} {name}" for name, n in gap.signals.items())
        print(f"{number}. {signals}" + (f"; nearest passage: {gap.near}" if gap.near else ""))
        for question in gap.questions:
            print(f"   {question}")
    if len(gaps) > GAPS_LISTED:
        print(f"and {len(gaps) - GAPS_LISTED} subjects less wanted")
    if not gaps:
        print("nothing is known to be missing: no question was refused, voted down or asked again")


def check(given: argparse.Namespace) -> int:
    """Check all pins against the index and the settings, and print those that break."""
    from contextlib import closing

    from rag.errors import BadLabels
    from rag.feedback.check import Checker
    from rag.feedback.pins import PINS_FILE, merge_pins, read_pins, waive, write_pins
    from rag.settings import load_settings
    from rag.store.store import open_store

    settings = load_settings()
    path = given.file or settings.home / PINS_FILE
    pins = read_pins(path)
    if given.waive:
        write_pins(path, waive(pins, *given.waive))
        print(f"{given.waive[0]!r} may break: {given.waive[1]}")
        return 0
    with closing(open_store(settings.lancedb)) as store:
        checker = Checker(settings, store, given.arm)
        if given.save:
            confirmed, missed = checker.confirmed()
            kept = merge_pins(pins, confirmed)
            write_pins(path, kept)
            print(f"{cli.counted(len(kept), 'pin')} in {path}, {len(kept) - len(pins)} of them new")
            if missed:
                print(f"{len(missed)} confirmed passages are not found now, so they are not pinned")
            return 0
        if not pins:
            raise BadLabels(f"{path}: no pins in it: make some of your labels with `python -m rag check --save`")
        broken = checker.check(pins)
    for each in broken:
        print(each)
    failed = [each for each in broken if not each.pin.waived]
    waived = f", {len(broken) - len(failed)} waived" if len(broken) > len(failed) else ""
    held = f"{len(pins) - len(broken)} hold, {len(failed)} broken{waived}"
    print(f"{cli.counted(len(pins), 'pin')}: {held} ({checker.name})")
    return cli.BROKEN if failed else 0
