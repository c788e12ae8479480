"""What the commands on versions do: list, show, evaluate, compare, promote, rollback, push, pull."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING

from rag.indexing.engine import open_engine
from rag.models.registry import START_WEIGHTS
from train.commands.training import usable_settings

if TYPE_CHECKING:
    from rag.models.precision import Precision


def promote(given: argparse.Namespace) -> None:
    """Have a version serve, whatever the gate decided."""
    from rag.ingest.corpus import load_corpus
    from rag.models.registry import Registry
    from rag.settings import load_settings
    from rag.store.store import open_store
    from train.judging.promotion import promote_by_hand
    from train.progress import bar

    settings = load_settings()
    with closing(open_store(settings.lancedb)) as store:

        def measure(reference: str) -> Precision | None:
            from train.compare_versions import measure_precision
            from train.context import open_context

            choice = measure_precision(open_context(settings, store), reference)
            print(f"precision: {choice.why}")
            return choice.precision

        named = " ".join(given.version)
        if named != START_WEIGHTS:
            Registry(settings.models).version(named)  # before a cluster is started for a name that is none
        with open_engine(given.engine, settings) as engine:
            name = promote_by_hand(settings, store, load_corpus(settings), named, bar, measure, engine)
    version = Registry(settings.models).find(name)
    whom = f" group {version.group}" if version and version.group else ""
    print(f"{name} serves{whom} now; a running chat follows within seconds")


def rollback(given: argparse.Namespace) -> None:
    """Have the version serve that served before."""
    from rag.ingest.corpus import load_corpus
    from rag.settings import load_settings
    from rag.store.store import open_store
    from train.judging.promotion import roll_back
    from train.progress import bar

    settings = load_settings()
    with closing(open_store(settings.lancedb)) as store:
        name = roll_back(settings, store, load_corpus(settings), bar, given.group)
    whom = f" group {given.group}" if given.group else ""
    print(f"{name} serves{whom} now; a running chat follows within seconds")


def list_versions(given: argparse.Namespace) -> None:
    """Print the versions; * marks those that serve."""
    from rag.ingest.corpus import load_corpus
    from rag.models.arms import why_unfit
    from rag.models.registry import Registry, group_key
    from rag.models.trials import trial_of

    settings = usable_settings()
    registry, corpus = Registry(settings.models), load_corpus(settings)
    champion = registry.champion(corpus.folders_id)
    of_groups = registry.group_champions(corpus.folders_id)
    print(f"{'*' if champion is None else ' '} {START_WEIGHTS} ({settings.start_model})")
    for version in registry.versions():
        is_own = version == of_groups.get(version.group)
        unfit = why_unfit(settings, corpus.folders_id, version) if is_own else ""
        mark = "*" if version == champion or (is_own and not unfit) else " "
        where = f" of group {version.group}" if version.group else ""
        where += "" if version.folders == group_key(corpus.folders_id, version.group) else " (other documents)"
        where += ", on trial" if version == trial_of(settings, version.folders) else ""
        print(f"{mark} {version.name} {version.created:%Y-%m-%d %H:%M} {version.kind}{where}: {version.summary}")
        if unfit:
            print(f"  {unfit}")


def show(given: argparse.Namespace) -> None:
    """Print a version's verdict and metrics."""
    from rag.ingest.corpus import load_corpus
    from rag.models.arms import group_version
    from rag.models.registry import Registry
    from train import compare_versions

    settings = usable_settings()
    registry = Registry(settings.models)
    version = registry.version(given.version)
    folders = load_corpus(settings).folders_id
    serves = version in (registry.champion(folders), group_version(settings, folders, version.group))
    print(compare_versions.show(version, settings.runs / version.name, serves=serves))


def push(given: argparse.Namespace) -> None:
    """Write a version to a folder or to the hub."""
    from train.reporting import publishing

    where = publishing.push(usable_settings(), given.version, given.target, licence=given.licence, public=given.public)
    print(f"{given.version} is in {where}: SentenceTransformer({where!r}) loads it")


def pull(given: argparse.Namespace) -> None:
    """Take a model in as a version."""
    from rag.ingest.corpus import load_corpus
    from train.reporting import publishing

    settings = usable_settings()
    version = publishing.pull(settings, load_corpus(settings).folders_id, given.source)
    print(f"{version.name} is {version.summary}")
    print(f"Next: `python -m train evaluate {version.name} --qrels FILE`, or `python -m train promote {version.name}`")


def evaluate(given: argparse.Namespace) -> None:
    """Print the metrics of a version on a file of labels."""
    from rag.settings import load_settings
    from rag.store.store import open_store
    from train.compare_versions import measure_by_file
    from train.context import open_context

    settings = load_settings()
    with closing(open_store(settings.lancedb)) as store:
        print(measure_by_file(open_context(settings, store), given.version, given.qrels).table())


def compare(given: argparse.Namespace) -> None:
    """Print how two versions or settings differ on the held-out queries."""
    from rag.settings import load_settings
    from rag.store.store import open_store
    from train import compare_versions
    from train.compare_settings import compare_sides, parse_side
    from train.context import open_context

    settings, sides = load_settings(), (parse_side(given.one), parse_side(given.other))
    with closing(open_store(settings.lancedb)) as store:
        context = open_context(settings, store)
        if any(side.changes_answers for side in sides):
            from train.compare_answers import compare_answers

            print(compare_answers(context, sides, given.most))
            return
        if not all(side.is_version for side in sides):
            print(compare_sides(context, sides))
            return
        measured = compare_versions.measure_held_out(context, (given.one, given.other))
    ours, theirs = (measured.scores[name] for name in (given.one, given.other))
    print(compare_versions.compare(given.one, given.other, ours, theirs, measured.summary, measured.groups))
