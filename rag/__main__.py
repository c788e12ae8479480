"""python -m rag: index and show documents, ask both arms in the terminal, take labels in and out, check the machine."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rag import cli
from rag.indexing.engine import LOCAL, add_engine, open_engine

if TYPE_CHECKING:
    from rag.feedback.files.import_export import Unmatched
    from rag.store.store import Store

LISTED = 20  # unmatched lines that are printed: a screenful
GAPS_LISTED = 12  # subjects: as many as one person writes about before looking again


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (rag.cli.run)."""
    return cli.run(build_parser(), argv)


def build_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(prog="python -m rag", description=__doc__)
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    return parser


def add_commands(commands: cli.Commands) -> None:
    """Add the commands of this program to a parser."""
    command = partial(cli.add_command, commands)
    index = command("index", _index, "update the index; embeds only what changed")
    index.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="folders or files instead of THUMBTUNE_DOCS")
    add_engine(index)
    output = index.add_mutually_exclusive_group()
    output.add_argument("--watch", action="store_true", help="keep running and index changes until Ctrl-C")
    output.add_argument("--list", action="store_true", help="list every file: read, read in part, skipped or left out")
    output.add_argument("--json", action="store_true", help="print the report as JSON")
    ask = command("ask", _ask, "answer a question with both arms")
    ask.add_argument("question")
    show = command("show", _show, "print what is read of a file and where it is cut into chunks")
    show.add_argument("file", help="the path of any file, or the name of an indexed document")
    show.add_argument("--json", action="store_true", help="print one JSON object")
    command("stats", _stats, "show documents, answers, ratings, pairs and versions")
    labels = command(
        "import", _import, "import labels, or ratings that another program exported; what matches nothing is listed"
    )
    labels.add_argument(
        "file", type=Path, help="a .jsonl or .parquet file, a folder of BEIR or Argilla, or another program's export"
    )
    labels.add_argument(
        "--client", default="", metavar="NAME", help="store an export's raters as NAME:..., such as the name of its key"
    )
    export = command("export", _export, "write all labels, to a JSONL or Parquet file or a BEIR folder")
    export.add_argument("out", type=Path, help="a new file that ends in .jsonl or .parquet, or a new folder for BEIR")
    what = export.add_mutually_exclusive_group()
    what.add_argument("--rater", default="", metavar="NAME", help="write all that is stored of this rater instead")
    what.add_argument(
        "--as",
        dest="shape",
        choices=("pairs", "triplets", "argilla"),
        help="write the pairs that a training would make, in the columns of sentence-transformers; or all labels as a "
        "dataset of Argilla, in a new folder",
    )
    forget = command("forget", _forget, "delete a rater's ratings, labels, chats and answers")
    forget.add_argument("rater", help="the identifier stored with the ratings, such as rater-0123456789abcdef")
    command("review", _review, "list the questions voted down that have no known correct passage")
    command(
        "gaps", _gaps, "list what the documents lack: questions without a good answer by subject, most wanted first"
    )
    check = command(
        "check", _check, "check that confirmed passages are still there and still found; exit code 1 if not"
    )
    check.add_argument(
        "file", nargs="?", type=Path, help="pins, one JSON object a line (default: pins.jsonl in the home)"
    )
    check.add_argument(
        "--arm", choices=("tuned", "base"), default="tuned", help="the arm to check (default: %(default)s)"
    )
    change = check.add_mutually_exclusive_group()
    change.add_argument("--save", action="store_true", help="pin what people confirmed and this arm finds now")
    change.add_argument("--waive", nargs=2, metavar=("QUESTION", "REASON"), help="let the pins of a question break")
    backup = command("backup", _backup, "back up the home folder while the chat runs")
    backup.add_argument("folder", type=Path, metavar="DIR", help="folder of the backups, best on another disk")
    what = backup.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="compare the backups there with their hashes, and make none")
    what.add_argument("--keep", type=int, default=0, metavar="N", help="remove all but the latest N (default: none)")
    restore = command("restore", _restore, "restore the latest backup into THUMBTUNE_HOME, which must be empty")
    restore.add_argument("folder", type=Path, metavar="DIR", help="folder of the backups, or a single one in it")
    restore.add_argument("--replace", action="store_true", help="move a home folder that is not empty aside")
    command("copy-chats", _copy_chats, "copy the chats of chat.db into the Postgres database of THUMBTUNE_HISTORY")
    command("settings", _settings, "print every setting with its default, as the text of a .env file")
    doctor = command("doctor", _doctor, "check the home folder, documents, models, index and answerer")
    doctor.add_argument("--repair", action="store_true", help="repair what is damaged; stop the chat first")


def _index(given: argparse.Namespace) -> None:
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


def _ask(given: argparse.Namespace) -> None:
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


def _show(given: argparse.Namespace) -> None:
    import json

    from rag.indexing.show import format_document, show_document
    from rag.settings import load_settings

    document = show_document(load_settings(), given.file)
    if given.json:
        print(json.dumps(document.as_json(), ensure_ascii=False))
        return
    for line in format_document(document):
        print(line)


def _stats(given: argparse.Namespace) -> None:
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


def _import(given: argparse.Namespace) -> None:
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
    print(f"imported {len(read.labels)} labels, {read.found} of them on passages of these documents")
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


def _export(given: argparse.Namespace) -> None:
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
    print(f"exported {report.labels} labels on {report.queries} queries to {given.out}")
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
    print(f"exported {report.rows} {given.shape} on {report.queries} queries to {given.out}")
    if report.without:
        print(f"{report.without} positives without a negative are left out: --as pairs writes all")
    if report.negatives:
        print(f"{report.negatives} negatives are left out: --as triplets writes them")
    if made.retired:
        print(f"{len(made.retired)} labels are left out: their text is no longer in these documents")


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _forget(given: argparse.Namespace) -> None:
    from rag.home_address import address_of
    from rag.settings import load_settings
    from rag.upkeep.personal_data import forget

    settings = load_settings()
    gone = forget(settings, given.rater)
    print(f"forgot {given.rater!r}: deleted {_counted(gone.ratings, 'rating')} and {_counted(gone.labels, 'label')}")
    chats, answers = _counted(gone.threads, "chat"), _counted(gone.answers, "answer")
    print(f"also {chats} with all questions, and {answers} that nobody else has rated")
    if address := address_of(settings.home):
        print(f"Earlier versions of the objects in {address} stay as long as its bucket keeps them.")
    else:
        print("The next `python -m rag backup` removes the backups that were made before.")
    if gone.versions:
        print(f"Trained with these labels: {', '.join(gone.versions)}. Train again, or run `python -m train rollback`.")


def _review(given: argparse.Namespace) -> None:
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
        print(f"{len(queries)} questions make no training pair yet: import the passage that answers one, as a label")
    else:
        print("nothing to review: every question that was voted down has a correct passage")


def _copy_chats(given: argparse.Namespace) -> None:
    from rag.errors import BadSetting
    from rag.history import PostgresServer, SQLiteFile, copy_chats
    from rag.indexing.progress import Progress
    from rag.settings import load_settings

    settings = load_settings()
    if not settings.history:
        raise BadSetting("THUMBTUNE_HISTORY is not set: name the Postgres database to copy the chats into")
    if not settings.chat_db.is_file():
        raise BadSetting(f"{settings.chat_db}: no such file: there are no chats to copy")
    server = PostgresServer(settings.history.get_secret_value())
    with Progress("copying", "chat") as progress:
        done = copy_chats(SQLiteFile(settings.chat_db), server, progress.advance)
    known = f"; {done.known} {'was' if done.known == 1 else 'were'} there already" if done.known else ""
    print(f"copied {_counted(done.threads, 'chat')} to {server.shown}{known}")
    print(f"{settings.chat_db} is as it was: remove it when you have seen them in the chat")


def _settings(given: argparse.Namespace) -> None:
    from rag.settings import ROOT

    print((ROOT / ".env.example").read_text("utf-8"), end="")


def _gaps(given: argparse.Namespace) -> None:
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


def _check(given: argparse.Namespace) -> int:
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
            print(f"{len(kept)} pins in {path}, {len(kept) - len(pins)} of them new")
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
    print(f"{len(pins)} pins: {len(pins) - len(broken)} hold, {len(failed)} broken{waived} ({checker.name})")
    return cli.BROKEN if failed else 0


def _doctor(given: argparse.Namespace) -> int:
    """Check the home folder, then what a question needs, whose first fault ends it with its own message."""
    from rag.settings import load_settings
    from rag.upkeep.doctor import check_home, check_question

    settings = load_settings()
    lines, damage = check_home(settings, repairing=given.repair)
    for line in lines:
        print(line, flush=True)
    if damage:
        return cli.USER_ERROR
    for line in check_question(settings):
        print(line, flush=True)
    return 0


def _backup(given: argparse.Namespace) -> int:
    from rag.errors import BadSetting, StoreFailed
    from rag.history import history_of
    from rag.settings import load_settings
    from rag.upkeep.backup import back_up, backups, check_backup

    if given.check:
        found, known = backups(given.folder), dict[int, str]()
        if not found:
            raise StoreFailed(f"{given.folder}: there is no backup in it")
        wrong = {backup.folder.name: list(check_backup(backup, known)) for backup in found}
        for backup in found:
            for line in wrong[backup.folder.name]:
                print(f"damaged    {line}")
            if not wrong[backup.folder.name]:
                print(f"whole      {backup.folder}: {len(backup.files):,} files")
        return cli.USER_ERROR if any(wrong.values()) else 0
    if given.keep < 0:
        raise BadSetting(f"--keep {given.keep}: give a number of 1 or more")
    settings = load_settings()
    report = back_up(settings, given.folder, keep=given.keep)
    print(f"backed up {report.files:,} files, {report.size / 1e6:,.1f} MB, to {report.folder}")
    print(f"{report.copied:,} of them, {report.copied_size / 1e6:,.1f} MB, had changed; the others take no more space")
    for folder in report.removed:
        print(f"removed {folder}")
    if settings.history:
        where = history_of(settings).shown
        print(f"The chats are in {where} and not in this backup: pg_dump --schema=thumbtune backs them up")
    return 0


def _restore(given: argparse.Namespace) -> None:
    from rag.settings import load_settings
    from rag.upkeep.restore import restore

    home = load_settings().home
    backup, former = restore(home, given.folder, replace=given.replace)
    print(f"restored {len(backup.files):,} files of {backup.made:%Y-%m-%d %H:%M} UTC to {home}")
    if former:
        print(f"what was there is in {former}")
    if backup.settings:
        print("It was made with these settings; set those that still hold:")
        for name, value in backup.settings.items():
            print(f"  {name}={value}")
    print("Next: `python -m rag doctor`, then `python -m rag index` with the documents in the same folder as before.")


if __name__ == "__main__":
    sys.exit(main())
