"""The models of one training: who mines negatives, what a fold's models are trained on, equal recipes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from fakes import NOON, make_chunk
from rag.errors import TrainingRefused
from rag.feedback.pairs import alike
from rag.ingest.corpus import Corpus
from rag.models.embedder import Embedder, adapt, load_embedder
from rag.models.registry import START_WEIGHTS, Registry, Version
from rag.records import Pair, normalise_query
from rag.settings import Settings
from rag.store.store import Store
from train.context import TrainingContext
from train.dataset.folds import EvaluationSplits, plan_splits
from train.dataset.gather import TrainingData
from train.dataset.hard_negatives import MARGIN
from train.dataset.held_out import is_held_out
from train.dataset.plan import TrainingOptions, TrainingPlan
from train.dataset.unanswerable import WRITTEN
from train.judging.abstention import FOUND, MISSED, NearestScores
from train.judging.contenders import Candidate, challenger_candidates
from train.judging.evaluate import Runs
from train.judging.gate import decide
from train.progress import StageReporter
from train.recipe import batch_for
from train.session import TrainingSession
from train.tuning.challenger import Challenger, ChallengerFactory
from train.tuning.trainer import Run

THINGS = "cat dog bird fish milk bone seed water model index".split()
PLACES = "house garden river mountain night day".split()
CHUNKS = [
    make_chunk(f"chat {thing} train {place} test {thing} open {place} find {thing} store {place}")
    for thing in THINGS
    for place in PLACES
]
PAIRS = [Pair(f"where {n} is what this says?", chunk.id, chunk.text) for n, chunk in enumerate(CHUNKS)]
TEXTS = {chunk.id: chunk.text for chunk in CHUNKS}
OPTIONS = TrainingOptions(epochs=1)
NOWHERE = NearestScores(np.zeros(1), np.zeros(1), np.zeros(1, np.bool_))


@dataclass
class Noting:
    """A factory that records its calls and delegates to the real one."""

    factory: ChallengerFactory
    made: list[Challenger] = field(default_factory=list)

    def make(
        self, pairs: Sequence[Pair], name: str, checkpoints: Path | None = None, run: Run | None = None
    ) -> Challenger:
        self.made.append(self.factory.make(pairs, name, checkpoints, run))
        return self.made[-1]


@pytest.fixture(scope="module")
def machine(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    model = str(tiny_model)
    home = tmp_path_factory.mktemp("home")
    return Settings(home=home, base_model=model, start_model=model, device="cpu", train_threads=1, _env_file=None)  # type: ignore[call-arg]


@pytest.fixture
def settings(machine: Settings, tmp_path: Path) -> Settings:
    return machine.model_copy(update={"home": tmp_path})


@pytest.fixture(scope="module")
def models(machine: Settings, other_tiny_model: Path) -> dict[str, Candidate]:
    """Return the start model, which is base, too, and another model, to be the champion."""

    def enter(name: str, reference: str) -> Candidate:
        embedder = load_embedder(reference, machine)
        return Candidate(name, embedder, embedder.embed_documents([chunk.text for chunk in CHUNKS]))

    start = enter(START_WEIGHTS, machine.start_model)
    return {"base": start, "start": start, "champion": enter("v1", str(other_tiny_model))}


def plan_of(gathered: TrainingData | None = None) -> TrainingPlan:
    gathered = gathered or TrainingData(PAIRS, [], "labels: 60 pairs")
    return TrainingPlan(gathered, plan_splits(gathered.pairs, gathered.extra, CHUNKS))


def session_of(
    settings: Settings,
    served: dict[str, Candidate],
    *,
    options: TrainingOptions = OPTIONS,
    champion: Version | None = None,
    plan: TrainingPlan | None = None,
    group: str = "",
) -> TrainingSession:
    corpus, unread = Corpus("corpus", (Path("/documents"),)), cast(Store, None)
    context = TrainingContext(settings, unread, Registry(settings.models), corpus, CHUNKS, group)
    roles, clock = {"shared": served["champion"], **served}, StageReporter(lambda line: None)
    return TrainingSession(context, options, plan or plan_of(), roles, champion, clock)


def made_by(session: TrainingSession, name: str = "v2") -> tuple[Challenger, Candidate, list[Pair]]:
    pairs = session.pairs()
    made = session.factory.make(pairs, name)
    return made, challenger_candidates(made, name, CHUNKS, StageReporter(print).bar, Path("unused")), pairs


# --- training data -------------------------------------------------------------------------------------------------


def test_each_pair_gets_the_negative_that_the_champion_ranks_highest(settings: Settings, models) -> None:
    mined = session_of(settings, models).pairs()
    by_start = session_of(settings, {**models, "champion": models["start"]}).pairs()
    assert [pair.positive_id for pair in mined] == [pair.positive_id for pair in by_start]
    assert sum(one.negatives != other.negatives for one, other in zip(mined, by_start, strict=True)) > len(mined) / 4
    champion = models["champion"]
    scores = champion.embedder.embed_queries([pair.query for pair in mined]) @ champion.vectors.T
    rows = {text: row for row, text in enumerate(TEXTS.values())}
    found = np.array([scores[n, rows[pair.negatives[0]]] for n, pair in enumerate(mined)])
    right = np.array([scores[n, rows[pair.positive]] for n, pair in enumerate(mined)])
    between = (scores > found[:, None] + 1e-5) & (scores < MARGIN * right[:, None] - 1e-5)
    assert not between.any()  # nothing that is safely below the positive ranks above the negative


def test_a_passage_rated_wrong_is_the_negative(settings: Settings, models) -> None:
    rated = [replace(pair, negatives=(CHUNKS[0].text,)) for pair in PAIRS[1:]]
    pairs = session_of(settings, models, plan=plan_of(TrainingData(rated, [], "labels"))).pairs()
    assert {pair.negatives for pair in pairs} == {(CHUNKS[0].text,)}


@pytest.mark.parametrize(
    "order", [TrainingOptions(fast=True), TrainingOptions(kind="bootstrap")], ids=["fast", "bootstrap"]
)
def test_an_adapter_and_a_bootstrap_need_no_negative(settings: Settings, models, order: TrainingOptions) -> None:
    assert not any(pair.negatives for pair in session_of(settings, models, options=order).pairs())


# --- models of the folds ------------------------------------------------------------------------------------------


def leaks(made: Challenger, held: dict[str, frozenset[str]]) -> list[str]:
    queries = {normalise_query(query) for query in held}
    right = [TEXTS[chunk_id] for ids in held.values() for chunk_id in ids]
    return [
        pair.query
        for pair in made.pairs
        if normalise_query(pair.query) in queries or any(alike(pair.positive, text) for text in right)
    ]


@dataclass(frozen=True)
class Judged:
    """A cross-fitted training on the start weights: what is to serve, what was made for the folds, and the runs."""

    evaluation: EvaluationSplits
    made: Challenger
    of_folds: list[Challenger]
    runs: dict[str, Runs]
    session: TrainingSession
    challenger: Candidate


@pytest.fixture(scope="module")
def judged(machine: Settings, models: dict[str, Candidate]) -> Judged:
    observed = plan_of()
    session = session_of(machine, {**models, "champion": models["start"]}, plan=observed)
    made, challenger, pairs = made_by(session)
    session.factory = noting = Noting(session.factory)
    return Judged(observed.evaluation, made, noting.made, session.judge(challenger, pairs), session, challenger)


def test_no_model_was_trained_on_the_test_queries_of_its_split(judged: Judged) -> None:
    assert len(judged.evaluation.splits) == 1 + len(judged.of_folds) > 2
    for made, part in zip([judged.made, *judged.of_folds], judged.evaluation.splits, strict=True):
        assert leaks(made, part.held_out.relevant) == []
        assert len(made.pairs) >= len(judged.made.pairs) / 2


def test_every_rated_query_tests_every_role_once(judged: Judged) -> None:
    assert set(judged.runs) == {"base", "champion", "challenger"}
    for by_dim in judged.runs.values():
        assert set(by_dim) == {32, 16}
        assert all(set(run.ranked) == {pair.query for pair in PAIRS} for run in by_dim.values())


def test_every_role_has_its_threshold_measured_on_every_query_once(judged: Judged) -> None:
    found = judged.session.fit_threshold(judged.challenger)
    assert set(found) == {"base", "champion", "challenger"}
    assert {each.of[FOUND].n + each.of[MISSED].n for each in found.values()} == {len(PAIRS)}
    assert found["challenger"].fingerprint == judged.challenger.embedder.query_fingerprint
    assert found["base"].fingerprint != found["challenger"].fingerprint


def test_questions_without_an_answer_are_scored_with_each_serving_model(settings: Settings, models) -> None:
    absent = ["who reads this?", "why not?"]
    session = session_of(settings, models, plan=plan_of(TrainingData(PAIRS, [], "labels", absent={WRITTEN: absent})))
    session._near = {role: [NOWHERE] for role in ("base", "champion", "challenger")}
    found = session.fit_threshold(models["champion"])
    assert {role: each.of[WRITTEN].n for role, each in found.items()} == dict.fromkeys(found, 2)


def test_queries_that_no_user_would_ask_set_no_threshold(settings: Settings, models) -> None:
    unasked = frozenset(normalise_query(pair.query) for pair in PAIRS[1:])
    session = session_of(settings, models, plan=plan_of(TrainingData(PAIRS, [], "labels", unasked=unasked)))
    _, challenger, pairs = made_by(session)
    session.judge(challenger, pairs)
    found = session.fit_threshold(challenger)
    assert {each.of[FOUND].n + each.of[MISSED].n for each in found.values()} == {1}


def test_a_folds_challenger_has_the_recipe_of_the_version_that_will_serve(judged: Judged) -> None:
    fewest = min(len(each.pairs) for each in judged.of_folds)
    batch = batch_for(len(judged.made.pairs), bootstrap=False)
    alone = batch_for(fewest, bootstrap=False)  # so few would get a smaller one
    assert alone < judged.made.facts["batch"] == batch
    for key in ("epochs", "batch", "rate", "dims", "loss", "seed"):
        assert {each.facts[key] for each in judged.of_folds} == {judged.made.facts[key]}


# --- the champion ------------------------------------------------------------------------------------------------


def save_champion(settings: Settings, made: Challenger, started_from: str = "") -> Version:
    made.save(settings.models / "v1")
    version = Version("v1", "f", "f", started_from or settings.start_model, "ratings", "promote", "no line", NOON)
    Registry(settings.models).add(version)
    return version


def judged_with_note(session: TrainingSession) -> tuple[Mapping[str, Runs], str]:
    """Return what each role ranked, and what the report tells of the champion."""
    made, challenger, pairs = made_by(session)
    runs = session.judge(challenger, pairs)
    values = np.zeros(len(session.qrels))
    verdict = decide(values, values, values, kind="cross-fitted")
    return runs, session.results(session.version("v2", verdict, made), verdict, made, runs, {}).notes[1]


def test_a_champion_of_other_pairs_is_evaluated_as_it_serves(settings: Settings, models) -> None:
    """It was trained on chunks that no longer exist, so nothing leaks and nothing is retrained."""
    gone = [Pair(f"old query {n}", f"gone {n}", f"{n} said something else", ("no",)) for n in range(10)]
    made = replace(session_of(settings, models).factory.make(gone, "v1"), pairs=gone)
    session = session_of(settings, models, champion=save_champion(settings, made))
    _, challenger, pairs = made_by(session)
    champion = session.judge(challenger, pairs)["champion"][32].ranked
    query = PAIRS[0].query
    (vector,) = models["champion"].embedder.embed_queries([query])
    nearest = CHUNKS[int(np.argmax(models["champion"].vectors @ vector))].id
    assert champion[query][0] == nearest


def test_a_champion_from_another_start_model_is_evaluated_as_it_serves_and_the_report_says_so(
    settings: Settings, models
) -> None:
    """Its recipe on today's start model would be another model, perhaps of another size."""
    made, *_ = made_by(session_of(settings, models), "v1")
    session = session_of(settings, models, champion=save_champion(settings, made, "arctic"))
    runs, note = judged_with_note(session)
    assert note.startswith("the champion v1 was trained from arctic, which is no longer the start model")
    for query in list(session.qrels.relevant)[:5]:
        (vector,) = models["champion"].embedder.embed_queries([query])
        nearest = CHUNKS[int(np.argmax(models["champion"].vectors @ vector))].id
        assert runs["champion"][32].ranked[query][0] == nearest


def test_a_champion_whose_loss_was_removed_is_retrained_with_the_default_loss_and_the_report_says_so(
    settings: Settings, models
) -> None:
    made, *_ = made_by(session_of(settings, models), "v1")
    version = save_champion(settings, made)
    path = settings.models / "v1" / "recipe.json"
    path.write_text(path.read_text("utf-8").replace("matryoshka", "gist"), "utf-8")
    session = session_of(settings, models, champion=version)
    _, note = judged_with_note(session)
    assert note.startswith("the champion v1 was trained with the loss gist, which was removed")


def test_an_adapter_is_never_fitted_for_weights_trained_on_a_folds_test_queries(settings: Settings, models) -> None:
    session = session_of(settings, models)
    made, champion, _ = made_by(session, "v1")
    version = save_champion(settings, made)
    saved = replace(champion, embedder=load_embedder(str(settings.models / "v1"), settings))
    fast = TrainingOptions(fast=True)
    assert session_of(settings, {**models, "champion": saved}, options=fast, champion=version).subject == (
        f"a query adapter for {START_WEIGHTS}"
    )
    held_out = plan_of()
    held_out = replace(held_out, evaluation=replace(held_out.evaluation, kind="held out"))
    assert session_of(
        settings, {**models, "champion": saved}, options=fast, champion=version, plan=held_out
    ).subject == ("a query adapter for v1")


def test_a_general_query_is_answered_by_each_of_its_chunks(settings: Settings, models) -> None:
    query = next(query for n in range(99) if is_held_out(query := f"general {n}?"))
    some = [Pair(query, chunk.id, chunk.text) for chunk in CHUNKS]
    session = session_of(settings, models, plan=plan_of(TrainingData(PAIRS, [], "labels", some)))
    found = session.general(models["start"], [])
    assert found is not None
    assert [values.tolist() for values in found] == [[1.0], [1.0]]  # whatever ten chunks come first
    assert session.general(models["start"], PAIRS[:1]) is None  # one of its chunks was trained on


def test_the_report_notes_a_champion_without_a_list_of_its_pairs(settings: Settings, models) -> None:
    version = Version("v1", "f", "f", settings.start_model, "ratings", "promote", "no line", NOON)
    session = session_of(settings, models, champion=version)
    _, note = judged_with_note(session)
    assert note.startswith("the champion v1 has no list of its training pairs")


def test_a_synthetic_pair_does_not_replace_the_rated_pair_of_the_same_question_in_a_fold(
    settings: Settings, models
) -> None:
    replayed = [replace(pair, weight=0.125) for pair in PAIRS]
    session = session_of(settings, models, plan=plan_of(TrainingData(PAIRS, replayed, "labels: 60 pairs")))
    session.factory = noting = Noting(session.factory)
    _, challenger, pairs = made_by(session)
    session.judge(challenger, pairs)
    fold = noting.made[1].pairs
    assert {pair.weight for pair in fold[: len({pair.query for pair in fold})]} == {1.0}


def test_general_queries_are_held_out_and_share_no_chunk_with_training(settings: Settings, models) -> None:
    general = [Pair(f"general {n}?", chunk.id, chunk.text) for n, chunk in enumerate(CHUNKS)]
    session = session_of(settings, models, plan=plan_of(TrainingData(PAIRS, [], "labels", general)))
    made, challenger, pairs = made_by(session)
    new = {pair.query for pair in general if is_held_out(pair.query)} - {
        each.query for each in general if each.positive_id in {pair.positive_id for pair in pairs}
    }
    found = session.general(challenger, pairs)
    assert found is not None
    assert found[0].size == found[1].size == len(new) > 0
    everything = [replace(pair, query="all of it") for pair in PAIRS]
    assert session.general(challenger, everything) is None
    assert made.pairs == pairs


# --- groups ---------------------------------------------------------------------------------------------------------


def test_a_groups_adapter_is_for_everybodys_model_where_that_was_not_trained_on_the_folds(
    settings: Settings, models
) -> None:
    fast, own = TrainingOptions(fast=True), adapt(models["start"].embedder, np.eye(32, dtype=np.float32), "v2")
    adapted = {**models, "shared": models["champion"], "champion": replace(models["start"], name="v2", embedder=own)}
    assert session_of(settings, adapted, options=fast, group="a").subject == "a query adapter for v1"
    rated = replace(models["champion"], embedder=load_rated(settings, models["champion"].embedder.reference))
    among = {**adapted, "shared": rated}
    assert session_of(settings, among, options=fast, group="a").subject == f"a query adapter for {START_WEIGHTS}"
    with pytest.raises(TrainingRefused, match=r"group a: with so few rated questions .* serve neither arm"):
        session_of(settings, {**among, "base": models["champion"]}, options=fast, group="a")


def load_rated(settings: Settings, reference: str) -> Embedder:
    """Return a model as that of a version which was trained on ratings."""
    registry = Registry(settings.models)
    registry.folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(reference, registry.folder / "v1")
    registry.add(Version("v1", "corpus", "f", settings.start_model, "ratings", "promote", "no line", NOON))
    return load_embedder(str(registry.folder / "v1"), settings)
