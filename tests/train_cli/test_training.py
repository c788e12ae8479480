"""python -m train, whole: real documents, real labels and a real (tiny) model; what it prints, keeps and promotes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from collectors import Collector
from rag.__main__ import main as rag_main
from rag.indexing.update import corpus_chunks, is_up_to_date
from rag.ingest.corpus import load_corpus
from rag.models.arms import Arms
from rag.models.embedder import load_embedder
from rag.models.registry import START_WEIGHTS, Registry
from rag.models.weights import read_dense_weight
from rag.records import ARMS
from rag.settings import ROOT
from rag.store.store import open_store
from rag.tracing.spans import stop_spans
from rag.training_status import STATE_FILE, read_training
from train.__main__ import main
from train.commands.training import training_lock
from train.dataset.earlier_versions import HELD_OUT, trained_pairs
from train.dataset.held_out import is_held_out, key_of
from train.progress import publish_progress
from train.tuning.version_folder import trained_recipe
from train_world import EPOCHS, World, champion, contents

SERVES = """
import sys
from rag.ingest.corpus import load_corpus
from rag.models.arms import Arms
from rag.settings import load_settings
from rag.store.store import open_store
settings = load_settings()
tuned = Arms(settings, open_store(settings.lancedb), load_corpus(settings)).current("tuned")
print(tuned.model, tuned.embedder.embed_queries(["cat"]).shape, "torch" in sys.modules)
"""


def test_a_training_that_wins_serves_and_leaves_its_report(use, world: World) -> None:
    settings = use("trained")
    registry, corpus = Registry(settings.models), load_corpus(settings)
    version = registry.version("v1")
    assert (version.kind, version.verdict, champion(settings)) == ("ratings", "promote", "v1")
    assert version.summary.startswith("VERDICT: promote v1 | ndcg@10 0.")
    assert version.summary.endswith("| n=80 cross-fitted")
    assert version.summary in (settings.runs / "v1" / "report.md").read_text()
    metrics = json.loads((settings.runs / "v1" / "metrics.json").read_text())
    means = {role: metrics["means"][role]["32"]["ndcg@10"] for role in ("base", "champion", "challenger")}
    assert means["challenger"] > means["champion"] == means["base"]
    abstains = metrics["abstaining"]["challenger"]
    serving = load_embedder(str(registry.model_folder(version)), settings)
    assert abstains["fingerprint"] == serving.query_fingerprint
    assert registry.abstain_below(corpus.id, serving.query_fingerprint) == abstains["below"] is not None
    assert (abstains["of"]["found"]["n"] + abstains["of"]["missed"]["n"], abstains["of"]["foreign"]["n"]) == (80, 100)
    store = open_store(settings.lancedb)
    assert is_up_to_date(store, corpus.id, store.chunks.table_name(corpus.id, version.fingerprint))
    (move,) = registry.moves(corpus.folders_id)
    assert (move.name, move.by) == ("v1", "gate")


def test_a_promoted_version_was_exported_so_that_its_first_query_needs_no_torch(world: World) -> None:
    given = {name: value for name, value in os.environ.items() if not name.startswith("THUMBTUNE_")}
    done = subprocess.run(
        [sys.executable, "-c", SERVES],
        capture_output=True,
        text=True,
        env={**given, **world.environment(world.trained), "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "v1 (1, 32) False\n", done.stderr


def test_a_version_keeps_the_pairs_it_learnt_from_and_its_recipe_beside_its_weights(use) -> None:
    folder = use("trained").models / "v1"
    recipe = trained_recipe(folder)
    assert recipe is not None
    assert (recipe.epochs, recipe.loss, recipe.dims, recipe.seed) == (int(EPOCHS), "matryoshka", (32, 16), 0)
    pairs = trained_pairs(folder)
    assert len({pair.query for pair in pairs}) == len(pairs) > 50
    assert all(len(pair.negatives) == 1 for pair in pairs)


def test_what_the_hash_holds_out_no_version_has_learnt(use) -> None:
    settings = use("trained")
    metrics = json.loads((settings.runs / "v1" / "metrics.json").read_text())
    store, corpus = open_store(settings.lancedb), load_corpus(settings)
    held = {row["query"] for row in metrics["queries"] if is_held_out(row["query"])}
    texts = {label.text for label in store.feedback.labels() if label.query in held and label.label == 1}
    judged = {chunk.id for chunk in corpus_chunks(store, corpus.id) if chunk.text in texts}
    pairs = trained_pairs(settings.models / "v1")
    assert len(judged) == len(held) > 10
    assert not judged & {pair.positive_id for pair in pairs}
    assert not held & {pair.query for pair in pairs}


def test_what_a_version_of_an_earlier_release_learnt_never_judges_and_the_dry_run_says_so(
    use, world: World, tmp_path: Path, capsys
) -> None:
    settings = use("trained")
    folder = settings.models / "v1"
    assert not {key_of(pair.query) for pair in trained_pairs(folder)} & set(json.loads((folder / HELD_OUT).read_text()))
    (folder / HELD_OUT).unlink()  # as in an earlier release
    learnt = trained_pairs(folder)[:3]
    asked = [query for query in map("new {}".format, range(99)) if is_held_out(query)][:3]
    new = [{"query": query, "text": pair.positive, "label": 1} for query, pair in zip(asked, learnt, strict=True)]
    assert rag_main(["forget", "import"]) == 0
    old = [json.loads(line) | {"at": "2026-11-30"} for line in world.labels.read_text().splitlines()]
    for rows in (new, old):  # the old ones are later now
        (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, rows)))
        assert rag_main(["import", str(tmp_path / "labels.jsonl")]) == 0
    capsys.readouterr()
    assert main(["--dry-run"]) == 0
    assert (
        "; 6 more queries would be test queries, had no earlier version been trained on them or on their passages"
        in capsys.readouterr().out
    )


def test_a_training_starts_from_the_start_model_and_is_judged_against_the_champions_recipe(use, capsys) -> None:
    """Same pairs, same seed: the same weights if v2 starts where v1 started, and no difference if v1 is retrained.

    Every pair has a negative from a rater, so none is mined, and nothing depends on which champion would mine it.
    """
    settings = use("trained")
    assert main(["--epochs", EPOCHS]) == 0
    out = capsys.readouterr().out.splitlines()
    registry = Registry(settings.models)
    assert registry.version("v2").fingerprint == registry.version("v1").fingerprint
    assert out[-1].startswith("VERDICT: keep v1, not v2 | ")
    metrics = json.loads((settings.runs / "v2" / "metrics.json").read_text())
    assert out[-3] == f"why: {metrics['reason']}"  # an interval alone does not say that a pin is broken
    assert "(+0.00 [+0.00, +0.00])" in out[-1]
    assert champion(settings) == "v1"


def test_what_a_user_reads_is_a_few_lines_and_the_verdict_last(use, capfd) -> None:
    use("labelled")
    assert main(["--epochs", "1", "--seed", "5"]) == 0
    out, err = capfd.readouterr()
    starts = [
        "labels: 80 pairs on 80 queries",
        "split: training on 65 examples, testing on 80 queries (cross-fitted)",
        "training ",
        "trained: ",
        *["why: "] * ("VERDICT: keep" in out),  # a gain may be beyond doubt, and a pin be broken
        "report: ",
        "VERDICT: ",
    ]
    lines = [line for line in out.splitlines() if not line.startswith("v1 is on trial: ")]  # if it is ahead by chance
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts
    assert err == ""


def test_a_dry_run_says_what_there_is_to_go_on_and_changes_nothing(use, capsys) -> None:
    settings = use("trained")
    before = contents(settings)
    assert main(["--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("labels: 80 pairs on 80 queries")
    assert lines[1].startswith("split: training on 65 examples, testing on 80 queries (cross-fitted); ")
    assert lines[2:] == ["dry run: nothing was trained and nothing changed"]
    after = contents(settings)
    assert {name for name in after | before if after.get(name) != before.get(name)} <= {STATE_FILE}
    status = read_training(settings.home)
    assert status is not None
    assert (status.command, status.state, list(status.lines)) == ("python -m train --dry-run", "done", lines)


def test_a_dry_run_waits_for_no_training_and_says_nothing_in_its_place(use, capsys) -> None:
    settings = use("trained")
    with training_lock(settings.home), publish_progress(settings.home, "python -m train"):
        assert main(["--fast"]) == 2
        assert "a training is under way already" in capsys.readouterr().err
        assert main(["--dry-run"]) == 0
        assert "dry run: nothing was trained and nothing changed" in capsys.readouterr().out
    status = read_training(settings.home)
    assert status is not None
    assert status.command == "python -m train"


def test_a_fast_training_is_an_adapter_that_serves_from_the_start_models_table(use, world: World) -> None:
    settings = use("labelled")
    tables = sorted(settings.lancedb.glob("chunks__*"))
    assert main(["--fast", "--promote"]) == 0
    version = Registry(settings.models).version("v1")
    start, served = (load_embedder(ref, settings) for ref in (str(world.model), str(settings.models / "v1")))
    assert version.fingerprint == served.fingerprint == start.fingerprint
    assert sorted(settings.lancedb.glob("chunks__*")) == tables
    assert trained_recipe(settings.models / "v1") is None
    assert len(trained_pairs(settings.models / "v1")) > 50
    assert not list((settings.models / "v1").glob("*.safetensors"))


def test_a_keep_that_is_promoted_all_the_same_is_logged_as_by_hand(use, capsys) -> None:
    settings = use("labelled")
    assert main(["--fast", "--promote"]) == 0  # on random weights an adapter finds nothing to keep
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith("VERDICT: keep start weights, not v1 | ")
    assert out[-1] == "v1 promoted anyway, because of --promote"
    assert champion(settings) == "v1"
    (move,) = Registry(settings.models).moves(load_corpus(settings).folders_id)
    assert (move.name, move.by) == ("v1", "hand")


def test_with_hybrid_search_a_version_is_judged_by_it_and_serves_by_its_own_weight(use, monkeypatch) -> None:
    settings = use("labelled").model_copy(update={"search": "hybrid"})
    monkeypatch.setenv("THUMBTUNE_SEARCH", "hybrid")
    assert main(["--fast", "--promote"]) == 0
    weight = read_dense_weight(str(settings.models / "v1"))
    assert weight == 0.7
    line = "hybrid search by 70% cosine and 30% keyword score: the usual weights, since 80 test queries are too few"
    report, card = settings.runs / "v1" / "report.md", settings.models / "v1" / "README.md"
    assert f"- ranked: {line}" in report.read_text()
    assert f"Ranked by {line}" in card.read_text()
    metrics = json.loads((settings.runs / "v1" / "metrics.json").read_text())
    assert metrics["means"]["base"]["32"]["ndcg@10"] > 0.5  # random weights alone find next to nothing
    with closing(open_store(settings.lancedb)) as store:
        corpus = load_corpus(settings)
        arms = Arms(settings, store, corpus)
        assert [arms.current(arm).dense_weight for arm in ARMS] == [None, weight]
        assert main(["rollback"]) == 0
        assert arms.refresh()
        assert arms.current("tuned").dense_weight is None
    assert main(["compare", "v1", "base"]) == 0


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--loss", "mnrl"], ("mnrl", 0, (32, 16), 16)),
        (["--lora", "4", "--batch", "5"], ("matryoshka", 4, (32, 16), 5)),
        (["--dims", "8,32"], ("matryoshka", 0, (32, 8), 16)),
    ],
)
def test_what_a_user_chooses_is_trained_and_loads_again(use, args: list[str], expected: tuple[object, ...]) -> None:
    settings = use("labelled")
    assert main([*args, "--epochs", "1"]) == 0
    recipe, version = trained_recipe(settings.models / "v1"), Registry(settings.models).version("v1")
    assert recipe is not None
    assert (recipe.loss, recipe.lora, recipe.dims, recipe.batch) == expected
    served = load_embedder(str(settings.models / "v1"), settings)
    assert served.fingerprint == version.fingerprint
    assert served.embed_queries(["where is the cat"]).shape == (1, 32)


def test_versions_are_listed_promoted_by_hand_and_rolled_back(use, capsys) -> None:
    settings = use("trained")
    assert main(["rollback"]) == 0  # so that no fold's champion is retrained, which takes seconds
    assert main(["--fast"]) == 0
    assert main(["promote", "v1"]) == 0
    assert main(["promote", "v2"]) == 0
    assert champion(settings) == "v2"
    capsys.readouterr()
    assert main(["list"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in listed] == ["  st", "  v1", "* v2"]
    assert listed[0] == f"  {START_WEIGHTS} ({settings.start_model})"
    assert main(["rollback"]) == 0
    assert champion(settings) == "v1"
    assert main(["rollback"]) == 0
    assert champion(settings) is None
    capsys.readouterr()
    assert main(["list"]) == 0
    assert [line[:4] for line in capsys.readouterr().out.splitlines()] == ["* st", "  v1", "  v2"]
    assert main(["rollback"]) == 2
    assert "nothing to roll back" in capsys.readouterr().err
    assert main(["promote", "v1"]) == 0
    capsys.readouterr()
    assert main(["promote", *START_WEIGHTS.split()]) == 0
    assert f"{START_WEIGHTS} serves now; a running chat follows" in capsys.readouterr().out
    assert champion(settings) is None
    movers = [move.by for move in Registry(settings.models).moves(load_corpus(settings).folders_id)]
    assert movers == ["gate", "rollback", "hand", "hand", "rollback", "rollback", "hand", "hand"]


def test_a_training_is_one_span_with_the_gates_decision(use, monkeypatch: pytest.MonkeyPatch) -> None:
    use("labelled")
    collector = Collector()
    with collector.listening() as url:
        monkeypatch.setenv("THUMBTUNE_SPANS", "on")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{url}/v1/traces")
        assert main(["--fast"]) == 0
        stop_spans()
    ((_, known),) = collector.named("thumbtune.train")
    assert (known["thumbtune.version"], known["thumbtune.by_hand"]) == ("v1", False)
    assert known["thumbtune.decision"] in ("keep", "promote")
