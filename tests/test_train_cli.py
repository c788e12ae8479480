"""python -m train, whole: real documents, real labels, a real (tiny) model, and its own processes where it is stopped.

The documents and queries are two words that matter, drowned in words that do not: what a model can learn in seconds.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

from rag.feedback.import_export import import_labels
from rag.indexing.indexer import index
from rag.indexing.update import corpus_chunks, is_up_to_date
from rag.ingest.corpus import load_corpus
from rag.models import embedder
from rag.models.embedder import load_embedder
from rag.models.registry import START_WEIGHTS, Registry, Version
from rag.settings import ROOT, Settings
from rag.store.store import open_store
from rag.training_status import STATE_FILE, read_training
from train.__main__ import main
from train.dataset.split import is_held_out
from train.progress import TUNING
from train.tuning.trainer import COMPLETE_MARKER
from train.tuning.version_folder import trained_pairs, trained_recipe

THINGS = "cat dog bird fish milk bone seed water model index".split()
PLACES = "house garden river mountain night day red blue".split()
ASKING = "how do i the a to of is are in on for what which when where why who can".split()
SAYING = "chat train install run make test opens closes needs shows finds stores keeps first second third".split()
EPOCHS = "8"  # enough to be promoted, cross-fitted as 80 queries are: five trainings of some 40 steps


@dataclass(frozen=True)
class World:
    """A documents folder and homes to copy: one indexed with labels, one after a training."""

    docs: Path
    model: Path
    labels: Path
    labelled: Path
    trained: Path

    def settings(self, home: Path) -> Settings:
        model = str(self.model)
        return Settings(
            home=home,
            docs=(self.docs,),
            base_model=model,
            start_model=model,
            chunk_tokens=32,
            device="cpu",
            train_threads=1,
        )

    def environment(self, home: Path) -> dict[str, str]:
        """Return what a process of its own needs to see the same."""
        names = {"HOME": home, "DOCS": self.docs, "BASE_MODEL": self.model, "START_MODEL": self.model}
        fixed = {"THUMBTUNE_CHUNK_TOKENS": "32", "THUMBTUNE_DEVICE": "cpu", "THUMBTUNE_TRAIN_THREADS": "1"}
        return {**fixed, **{f"THUMBTUNE_{name}": str(value) for name, value in names.items()}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> World:
    folder = tmp_path_factory.mktemp("world")
    world = World(folder / "docs", tiny_model, folder / "labels.jsonl", folder / "labelled", folder / "trained")
    draw = random.Random(0)

    def some(words: list[str]) -> str:
        return " ".join(draw.choice(words) for _ in range(2))

    world.docs.mkdir()
    texts = {
        (thing, place): f"{some(SAYING)} {thing} {place} {some(SAYING)}" for thing, place in product(THINGS, PLACES)
    }
    rows: list[dict[str, object]] = []
    for (thing, place), text in texts.items():
        (world.docs / f"{thing}-{place}.txt").write_text(text)
        query = f"{some(ASKING)} {thing} {some(ASKING)} {place}"
        elsewhere = texts[thing, PLACES[PLACES.index(place) - 1]]
        rows += [{"query": query, "text": text, "label": 1}, {"query": query, "text": elsewhere, "label": -1}]
    world.labels.write_text("\n".join(map(json.dumps, rows)))
    settings = world.settings(world.labelled)
    index(settings)
    store = open_store(settings.lancedb)
    import_labels(world.labels, store, store.documents.read(load_corpus(settings).id))
    store.close()
    shutil.copytree(world.labelled, world.trained)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in world.environment(world.trained).items():
            patch.setenv(name, value)
        assert main(["--epochs", EPOCHS]) == 0
    return world


@pytest.fixture
def use(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that copies a home of the world and makes this process use it."""

    def copy(which: str) -> Settings:
        home = tmp_path / "copy" / "home"  # `settings` has a home of its own
        shutil.copytree(getattr(world, which), home)
        monkeypatch.chdir(tmp_path)
        for name, value in world.environment(home).items():
            monkeypatch.setenv(name, value)
        return world.settings(home)

    return copy


def contents(settings: Settings) -> dict[str, bytes]:
    """Return every file of a home with what is in it."""
    found = (path for path in settings.home.rglob("*") if path.is_file())
    return {str(path.relative_to(settings.home)): path.read_bytes() for path in found}


def files(settings: Settings) -> set[str]:
    return set(contents(settings))


def champion(settings: Settings) -> str | None:
    version = Registry(settings.models).champion(load_corpus(settings).folders_id)
    return version.name if version else None


@contextmanager
def training(settings: Settings, world: World, *args: str) -> Iterator[subprocess.Popen[str]]:
    """Start `python -m train` and wait until it tunes."""
    given = {name: value for name, value in os.environ.items() if not name.startswith(("THUMBTUNE_", "MPL"))}
    user = settings.home.parent / "user"
    user.mkdir()
    env = {
        **given,
        **world.environment(settings.home),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "HOME": str(user),
        "TMPDIR": str(user),
    }
    command = [sys.executable, "-m", "train", *args]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=settings.home, env=env, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            seen = next((line for line in process.stdout if line.startswith("training ")), None)
            assert seen, process.stderr and process.stderr.read()
            yield process
        finally:
            process.kill()


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
        "report: ",
        "VERDICT: ",
    ]
    assert [line[: len(start)] for line, start in zip(out.splitlines(), starts, strict=True)] == starts
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


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--loss", "mnrl"], ("mnrl", 0, (32, 16))),
        (["--lora", "4"], ("matryoshka", 4, (32, 16))),
        (["--dims", "8,32"], ("matryoshka", 0, (32, 8))),
    ],
)
def test_what_a_user_chooses_is_trained_and_loads_again(use, args: list[str], expected: tuple[object, ...]) -> None:
    settings = use("labelled")
    assert main([*args, "--epochs", "1"]) == 0
    recipe, version = trained_recipe(settings.models / "v1"), Registry(settings.models).version("v1")
    assert recipe is not None
    assert (recipe.loss, recipe.lora, recipe.dims) == expected
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


def test_labels_whose_text_is_gone_are_counted(use, world: World, capsys, tmp_path: Path) -> None:
    settings = use("labelled")
    gone = tmp_path / "gone.jsonl"
    gone.write_text('{"query": "old", "text": "a page that was deleted last year, with all it said", "label": 1}\n')
    store = open_store(settings.lancedb)
    import_labels(gone, store, [])
    store.close()
    assert main(["--dry-run"]) == 0
    assert "; 1 labels point at text no longer in these documents" in capsys.readouterr().out


def test_what_could_not_serve_in_the_end_is_refused_before_anything_is_learnt(use, monkeypatch, capsys) -> None:
    use("labelled")
    monkeypatch.setenv("THUMBTUNE_PRECISION", "int8")
    monkeypatch.setenv("THUMBTUNE_DEVICE", "cuda")
    assert main(["--dry-run"]) == 2
    assert capsys.readouterr() == (
        "",
        "error: THUMBTUNE_PRECISION=int8: it is computed on the CPU only, and the device is cuda: set "
        "THUMBTUNE_DEVICE=cpu, or leave the precision to auto\n",
    )


def test_too_few_rated_queries_are_one_line_and_nothing_is_touched(use, world: World, capsys, tmp_path: Path) -> None:
    settings = use("labelled")
    shutil.rmtree(settings.lancedb / "training_pairs.lance")
    few = tmp_path / "few.jsonl"
    few.write_text("\n".join(world.labels.read_text().splitlines()[: 2 * 7]))
    store = open_store(settings.lancedb)
    import_labels(few, store, store.documents.read(load_corpus(settings).id))
    store.close()
    before = files(settings)
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: 7 rated queries with a positive, need 50: rate more answers, or import labels")
    assert files(settings) - before == {"training.lock", "training.json"}


def test_documents_that_are_not_indexed_say_what_to_run(settings: Settings, use, monkeypatch, capsys) -> None:
    use("labelled")
    monkeypatch.setenv("THUMBTUNE_DOCS", str(settings.docs[0]))
    for args in ([], ["--bootstrap"], ["promote", "v1"]):
        assert main(args) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert main([]) == 2
    assert "not indexed yet: run `python -m rag index`" in capsys.readouterr().err


def test_a_home_that_cannot_be_written_is_one_line(use, monkeypatch, capsys, tmp_path: Path) -> None:
    use("labelled")
    blocked = tmp_path / "a-file"
    blocked.touch()
    monkeypatch.setenv("THUMBTUNE_HOME", str(blocked / "home"))
    assert main([]) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args", [["--epochs", "0"], ["--epochs", "many"], ["--fast", "--bootstrap"], ["nonsense"], ["promote"]]
)
def test_a_command_that_makes_no_sense_is_refused(args: list[str], capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(args)
    assert "usage: python -m train" in capsys.readouterr().err


def questions(world: World, docs: Path) -> None:
    """Copy the world's documents, and write its queries as the questions that ship with them."""
    shutil.copytree(world.docs, docs)
    rows = [row for row in map(json.loads, world.labels.read_text().splitlines()) if row["label"] == 1]
    names = [f"{thing}-{place}.txt" for thing, place in product(THINGS, PLACES)]
    lines = [{"question": row["query"], "source": name, "section": None} for row, name in zip(rows, names, strict=True)]
    (docs / "questions.jsonl").write_text(
        "\n".join(map(json.dumps, [*lines, {"question": "the weather?", "source": None}]))
    )


def count_embedded(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """Count from now on which texts were embedded as chunks, by the vectors' fingerprint."""
    seen: Counter[tuple[str, str]] = Counter()
    embed_documents = embedder._LocalEmbedder.embed_documents

    def counting(self, texts, progress=None):
        seen.update((self.fingerprint, text) for text in texts)
        return embed_documents(self, texts, progress)

    monkeypatch.setattr(embedder._LocalEmbedder, "embed_documents", counting)
    return seen


def test_a_bootstrap_learns_from_questions_and_is_not_repeated(use, world, monkeypatch, capsys, tmp_path) -> None:
    settings = use("labelled")
    questions(world, tmp_path / "docs")
    monkeypatch.setenv("THUMBTUNE_DOCS", str(tmp_path / "docs"))
    settings = settings.model_copy(update={"docs": (tmp_path / "docs",)})
    index(settings)
    embedded = count_embedded(monkeypatch)
    assert main(["--bootstrap", "--promote", "--epochs", EPOCHS]) == 0
    out = capsys.readouterr().out.splitlines()
    assert embedded
    assert embedded == Counter(set(embedded)), "a chunk was embedded twice by one model"
    assert out[0].startswith("questions: 80 pairs on 80 queries")
    assert [line for line in out if line.startswith("VERDICT: ")]
    means = json.loads((settings.runs / "v1" / "metrics.json").read_text())["means"]
    assert means["challenger"]["32"]["ndcg@10"] > means["base"]["32"]["ndcg@10"]
    assert {pair.origin for pair in open_store(settings.lancedb).feedback.synthetic()} == {"questions"}
    assert main(["--bootstrap"]) == 0
    assert capsys.readouterr().out == "bootstrap: not needed, v1 already serves these documents\n"
    assert main(["rollback"]) == 0
    capsys.readouterr()
    assert main(["--bootstrap"]) == 0
    assert "bootstrap: already tried, v1 was not promoted" in capsys.readouterr().out
    assert [version.kind for version in Registry(settings.models).versions()] == ["bootstrap"]


def test_documents_too_small_for_a_bootstrap_are_no_error(settings: Settings, use, monkeypatch, capsys) -> None:
    use("labelled")
    monkeypatch.setenv("THUMBTUNE_DOCS", str(settings.docs[0]))
    monkeypatch.setenv("THUMBTUNE_HOME", str(settings.home))
    index(settings)
    assert main(["--bootstrap"]) == 0
    assert "queries can be made from these documents, need 50" in capsys.readouterr().out
    assert Registry(settings.models).versions() == []


def test_a_training_that_is_stopped_leaves_all_as_it_was_and_goes_on_where_it_was(use, world: World, capsys) -> None:
    settings = use("labelled")
    before = files(settings)
    checkpoints = settings.cache / "training"
    with training(settings, world, "--epochs", EPOCHS) as process:
        process.send_signal(signal.SIGSTOP)  # else it may be over before a busy machine comes to the next line
        assert main([]) == 2  # meanwhile nobody else may train
        assert f"a training is under way already (process {process.pid} since" in capsys.readouterr().err
        process.send_signal(signal.SIGCONT)
        while not list(checkpoints.glob(f"*/checkpoint-*/{COMPLETE_MARKER}")) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)  # not SIGINT: a shell's background jobs are started deaf to that
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert err == "stopped: the current model stays active; the same command resumes the training\n"
    left = {name for name in files(settings) ^ before if not name.startswith(("lancedb/", "cache/training/"))}
    assert left == {"training.lock", "training.json"}
    status = read_training(settings.home)
    assert status is not None
    assert (status.pid, status.state, status.stage) == (process.pid, "stopped", TUNING)
    assert Registry(settings.models).versions() == []
    assert main(["--epochs", EPOCHS]) == 0
    uninterrupted = Registry(world.trained / "models").version("v1")
    assert Registry(settings.models).version("v1").fingerprint == uninterrupted.fingerprint
    assert not list(checkpoints.glob("*"))


def test_whoever_stops_a_training_politely_stops_it_as_ctrl_c_does(use) -> None:
    use("labelled")
    assert main(["list"]) == 0
    assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler


def test_a_version_promoted_by_hand_meanwhile_is_not_overruled(use, world: World) -> None:
    settings = use("labelled")
    registry, folders = Registry(settings.models), load_corpus(settings).folders_id
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with training(settings, world, "--epochs", EPOCHS) as process:
        process.send_signal(signal.SIGSTOP)
        registry.add(Version("v9", folders, "f", str(world.model), "ratings", "keep", "by hand", now))
        registry.promote(folders, "v9")
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    verdict = re.match(r"VERDICT: keep start weights, not (v\d+) \| ", out.splitlines()[-1])
    assert verdict, out
    assert "another version was promoted during this training" in (settings.runs / verdict[1] / "report.md").read_text()
    assert champion(settings) == "v9"
    assert not list((settings.home.parent / "user").rglob("*"))  # all state is under THUMBTUNE_HOME


def test_two_processes_of_torchrun_make_one_version_and_say_so_once(use, world: World) -> None:
    settings = use("labelled")
    given = {name: value for name, value in os.environ.items() if not name.startswith("THUMBTUNE_")}
    env = {**given, **world.environment(settings.home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "train", "--epochs", "1"],
        cwd=settings.home,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert [line.partition(" ")[0] for line in done.stdout.splitlines()].count("VERDICT:") == 1
    assert [version.name for version in Registry(settings.models).versions()] == ["v1"]
