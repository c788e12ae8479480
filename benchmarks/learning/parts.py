"""The parts of the learning benchmark: which cells each needs, and the table it prints of them."""

from __future__ import annotations

import random
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

from benchmarks.learning.cells import HIT, JUDGED, Cells, Rater, values_of
from benchmarks.learning.rules import RULES
from benchmarks.learning.squad import Asked
from rag.columns import AnswerColumns
from rag.evaluation.duel_columns import pair_up
from rag.evaluation.intervals import Interval, paired_bootstrap
from rag.evaluation.metrics import GATE, MIN_QUERIES
from rag.feedback.credit import share_thumbs
from rag.feedback.pairs import alike, count_queries, rated_pairs, synthetic_to_pairs
from rag.feedback.preferences import PREFERENCE_WEIGHT, preference_labels
from rag.feedback.ratings import derive_labels
from rag.models.embedder import load_trainable, wrap
from rag.models.precision import native
from rag.records import Answer, LabelledPair, Pair, Rating, content_id
from rag.settings import Search, Settings
from rag.store.store import Store, open_store
from train.context import open_context
from train.dataset.folds import EvaluationSplits
from train.dataset.gather import TrainingData, keyword_ranks
from train.dataset.held_out import hold_out_groups
from train.dataset.plan import TrainingOptions, TrainingPlan
from train.dataset.split import split
from train.recipe import Recipe, matryoshka_dims
from train.synthetic.from_documents import from_clozes, from_definitions, from_headings
from train.tuning.trainer import tune

LABELS = (50, 200)  # and all
ROUNDS = (100, 300)  # and all
FLIPS = 0.2
WEIGHTS = (0.25, 0.5, 1.0)  # of a preference, as a share of a thumb
SETS = 20  # of feedback, for the part on never serving a worse model
TUNED_SETS = 5  # of these, with full training
SET_SIZES = (50, 100)  # rated queries with a positive
QUICK_SETS = (3, 0)
QUICK_RULES = list(RULES)[:1]
QUICK_RUNS = ("explore 1", "20% of thumbs flipped")
MADE = (250, 1500)  # queries of each kind: what a bootstrap makes, and what was measured beforehand
WORSE = 0.01  # ndcg@10 by which a promoted model must not be below the champion
# What fine-tuning notebooks do: plain pairs, ten epochs of ten, the last one kept, no gate.
NOTEBOOK: dict[str, Any] = {"batch": 10, "epochs": 10, "rate": 2e-5}


def labels_to_quality(cells: Cells, seeds: int) -> None:
    """Print what 50, 200 and all labels gain, by our training and by the notebook's recipe."""
    asked = cells.world.of("train")
    rows = []
    seeds = 1 if cells.quick else seeds
    for n in _stages(cells, LABELS):
        ours = [_by_labels(cells, n, TrainingOptions(seed=seed, cross_fit=False)) for seed in range(seeds)]
        for seed, cell in enumerate(ours):
            rows.append([f"{n} labels, ours, seed {seed}", *_gains(cells, cell), _spent(cell)])
        notebook = cells.cell(f"notebook-{n}", lambda n=n: _notebook(cells, asked[:n]))
        rows.append([f"{n} labels, notebook", *_gains(cells, notebook), _spent(notebook)])
        if "refused" not in ours[0]:
            ahead = paired_bootstrap(values_of(ours[0]), values_of(notebook))
            rows.append([f"{n} labels, ours over notebook", "", _show(ahead), "", ""])
    _table(["", HIT, "gain", f"{GATE} gain", "CPU s"], rows)


def ratings_to_quality(cells: Cells, seeds: int) -> None:
    """Print what ratings gain in rounds, with explore 0, 1 and 2, with noise, and by every rule of sharing a thumb."""
    runs = {f"explore {explore}": ({"explore": explore}, Rater()) for explore in (1, 0, 2)}
    runs["20% of thumbs flipped"] = ({}, Rater("flipped", flips=FLIPS))
    runs["one spiteful rater of five"] = ({}, Rater("spiteful", raters=5, votes=2, spiteful=True))
    runs["five honest raters"] = ({}, Rater("five", raters=5, votes=2))
    rows = []
    for name in QUICK_RUNS if cells.quick else runs:
        changes, rater = runs[name]
        cell = cells.cell(f"ratings-{_slug(name)}", lambda c=changes, r=rater: _rounds(cells, c, r))
        for n, stage in cell["rounds"].items():
            votes = f"{stage['up']} up, {stage['down']} down"
            rows.append([f"{n} questions, {name}", *_gains(cells, stage), votes, stage.get("verdict", "")])
    _table(["", HIT, "gain", f"{GATE} gain", "thumbs", "gate"], rows)
    credit_rules(cells, seeds)


def credit_rules(cells: Cells, seeds: int) -> None:
    """Print what the same thumbs gain by every rule of sharing a thumb: one round, all questions, start weights."""
    rows = []
    for rule in QUICK_RULES if cells.quick else RULES:
        cell = cells.cell(f"credit-{_slug(rule)}", lambda rule=rule: _trained_by_rule(cells, rule))
        rows.append([rule, *_gains(cells, cell), str(cell.get("pairs", ""))])
    _table(["what a thumb up credits", HIT, "gain", f"{GATE} gain", "pairs"], rows)


def preferences_to_quality(cells: Cells, seeds: int) -> None:
    """Print what preferences, thumbs and both gain on the same duels, of which FLIPS are rated wrong."""
    weights = (PREFERENCE_WEIGHT,) if cells.quick else WEIGHTS
    kinds = {"thumbs": (True, 0.0), **{f"preferences at {w}": (False, w) for w in weights}}
    kinds |= {f"thumbs and preferences at {w}": (True, w) for w in weights}
    rows = []
    for seed in range(1 if cells.quick else seeds):
        for name, (thumbs, weight) in kinds.items():
            key = f"duels-{_slug(name)}-seed{seed}"
            cell = cells.cell(key, lambda t=thumbs, w=weight, s=seed: _by_duels(cells, t, w, s))
            counts = f"{cell['positives']} of {cell['queries']}"
            rows.append([f"{name}, noise {seed}", *_gains(cells, cell), counts])
    _table(["20% of ratings wrong", HIT, "gain", f"{GATE} gain", "queries with a right positive"], rows)


def never_worse(cells: Cells, seeds: int) -> None:
    """Print, for feedback sets a third of which are noise, what the gate said and what it would have meant."""
    rows, promoted, broken = [], 0, 0
    sets, tuned = QUICK_SETS if cells.quick else (SETS, TUNED_SETS)
    for number in range(sets):
        for fast in (True, False) if number < tuned else (True,):
            how = "adapter" if fast else "full"
            cell = cells.cell(f"gate-{how}-{number}", lambda n=number, f=fast: _feedback_set(cells, n, fast=f))
            if "refused" in cell:
                rows.append([f"set {number}, {how}", cell["kind"], "", cell["refused"]])
                continue
            change = cells.gain(cell, metric=GATE)  # the champion is the start model: base
            promoted += cell["verdict"] == "promote"
            broken += cell["verdict"] == "promote" and change.mean < -WORSE
            rows.append([f"set {number}, {how}", cell["kind"], _show(change), cell["summary"].split("|")[0]])
    _table(["feedback", "thumbs", f"{GATE} against champion on unseen documents", "gate"], rows)
    print(f"\npromoted {promoted}; of these more than {WORSE} below the champion: {broken}")


def cold_start(cells: Cells, seeds: int) -> None:
    """Print what the documents alone gain, and whether ratings on top of that still add."""
    rows = []
    for most in MADE[: 1 if cells.quick else None]:
        cell = cells.cell(f"cold-{most}", lambda most=most: _cold(cells, most))
        rows.append(
            [f"no label, at most {most} made queries of a kind", *_gains(cells, cell), f"{cell['train_cpu_s']:.0f}"]
        )
    rated = cells.cell("ratings-explore-1", lambda: _rounds(cells, {"explore": 1}, Rater()))["rounds"]
    last = rated[max(rated, key=int)]
    rows.append(["ratings of all questions", *_gains(cells, last), ""])
    if not {"refused"} & (cell.keys() | last.keys()):
        rows.append(["ratings over no label", "", _show(paired_bootstrap(values_of(last), values_of(cell))), "", ""])
    _table(["", HIT, "gain", f"{GATE} gain", "CPU s"], rows)


def fast_against_full(cells: Cells, seeds: int) -> None:
    """Print what an adapter gains compared with full training, and in which time."""
    rows = []
    for n in _stages(cells, LABELS):
        for how, fast in (("full", False), ("fast", True)):
            cell = _by_labels(cells, n, TrainingOptions(fast=fast, cross_fit=False))
            seconds = f"{cell['facts']['seconds']:.0f}" if "facts" in cell else ""
            rows.append([f"{n} labels, {how}", *_gains(cells, cell), seconds])
    _table(["", HIT, "gain", f"{GATE} gain", "seconds of fitting"], rows)


def over_hybrid_search(cells: Cells, seeds: int) -> None:
    """Print what tuning adds where hybrid search is on: tuned over base, with the usual and with the learnt weight."""
    base = cells.base("hybrid")
    rows = [["base, hybrid search", f"{values_of(base).mean():.3f}", f"{values_of(base, GATE).mean():.3f}", "", "", ""]]
    for n in _stages(cells, LABELS[-1:]):
        for seed in range(1 if cells.quick else seeds):
            cell = _by_labels(cells, n, TrainingOptions(seed=seed, cross_fit=False), "hybrid")
            if "refused" in cell:
                rows.append([f"{n} labels", cell["refused"], "", "", "", ""])
                continue
            for name, each in {"usual weight": cell["usual"], f"learnt weight {cell['weight']}": cell}.items():
                hit, gate = (f"{values_of(each, metric).mean():.3f}" for metric in (HIT, GATE))
                gains = [_show(cells.gain(each, base, metric)) for metric in (HIT, GATE)]
                rows.append([f"{n} labels, seed {seed}, {name}", hit, gate, *gains, _spent(cell)])
    _table(["", HIT, GATE, "gain over base, both hybrid", f"{GATE} gain", "CPU s"], rows)


PARTS: dict[str, Callable[[Cells, int], None]] = {
    "labels": labels_to_quality,
    "ratings": ratings_to_quality,
    "preferences": preferences_to_quality,
    "gate": never_worse,
    "cold": cold_start,
    "fast": fast_against_full,
    "hybrid": over_hybrid_search,
}


def _stages(cells: Cells, some: Sequence[int]) -> list[int]:
    """Return at how many questions to measure: some, and all; the small variant has time for all only."""
    most = len(cells.world.of("train"))
    return [most] if cells.quick else [*(n for n in some if n < most), most]


def _by_labels(cells: Cells, n: int, order: TrainingOptions, search: Search = "dense") -> dict[str, Any]:
    def compute() -> dict[str, Any]:
        with cells.home(search=search) as (settings, store):
            cells.label(settings, store, cells.world.of("train")[:n])
            return cells.learn(settings, store, order)

    how = ("fast" if order.fast else "full") + ("" if search == "dense" else f"-{search}")
    return cells.cell(f"labels-{n}-{how}-seed{order.seed}", compute)


def _notebook(cells: Cells, asked: Sequence[Asked]) -> dict[str, Any]:
    """Tune on (question, right chunk) as the notebooks do, and judge the last epoch."""
    settings = cells.world.settings
    texts = {chunk.id: chunk.text for chunk in cells.world.chunks}
    pairs = [Pair(each.query, i, texts[i]) for each in asked for i in sorted(each.gold)[:1]]
    model = load_trainable(settings.start_model, settings)
    dims = matryoshka_dims(int(model.get_embedding_dimension() or 0))
    recipe = Recipe(**NOTEBOOK, dims=dims, bf16=native(settings) == "bf16")
    cpu = time.process_time()
    tuned = tune(model, pairs, recipe)
    embedder = wrap(model, "notebook", settings)
    vectors = embedder.embed_documents([chunk.embedded for chunk in cells.world.chunks])
    spent = time.process_time() - cpu
    return {**cells.judged(embedder, vectors), "pairs": len(pairs), "train_cpu_s": spent, "steps": tuned.steps}


def _rounds(cells: Cells, changes: dict[str, object], rater: Rater) -> dict[str, Any]:
    """Ask, rate and train in rounds; the model of each round serves in the next, whatever the gate says."""
    asked = cells.world.of("train")
    ends = _stages(cells, ROUNDS)
    rounds: dict[str, Any] = {}
    up = down = 0
    with cells.home(**changes) as (settings, store):
        for begin, end in zip([0, *ends], ends, strict=False):
            counts = cells.ask(settings, asked[begin:end], rater)
            up, down = up + counts["up"], down + counts["down"]
            learned = cells.learn(settings, store, TrainingOptions(promote=True, cross_fit=False))
            rounds[str(end)] = {**learned, "up": up, "down": down}
    return {"rounds": rounds}


def _answered(cells: Cells) -> list[tuple[Rating, Answer]]:
    """Return the thumb and the answer of each question, asked once while the start weights serve; kept in a home."""
    kept = cells.folder / "answered"
    settings = cells.world.settings.model_copy(update={"home": kept})

    def compute() -> dict[str, Any]:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(cells.world.settings.home, kept)
        return cells.ask(settings, cells.world.of("train"), Rater())

    cells.cell("answered", compute)
    with closing(open_store(settings.lancedb)) as store:
        answers = {answer.id: answer for answer in store.feedback.answers() if answer.arm == "base"}
        given = [
            (rating, answers[rating.target_id]) for rating in store.feedback.ratings() if rating.target_id in answers
        ]
    return sorted(given, key=lambda each: each[1].query)


def _trained_by_rule(cells: Cells, rule: str) -> dict[str, Any]:
    """Train on the same thumbs, each thumb up shared by a rule of RULES."""
    with cells.home() as (settings, store):
        for rating, answer in _answered(cells):
            labels = derive_labels(rating, answer)
            store.feedback.put_labels(RULES[rule](labels) if rating.value == 1 else labels)
        return cells.learn(settings, store, TrainingOptions(cross_fit=False))


def _duels(cells: Cells) -> list[tuple[Answer, Answer]]:
    """Return both answers to each question, base first, asked once while a model from the documents serves as tuned.

    Before a first training both arms are the same, and no answer can be preferred.
    """
    kept = cells.folder / "duels"
    settings = cells.world.settings.model_copy(update={"home": kept})

    def compute() -> dict[str, Any]:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(cells.world.settings.home, kept)
        with closing(open_store(settings.lancedb)) as store:
            order = TrainingOptions(kind="bootstrap", epochs=1, promote=True, cross_fit=False)
            _learn_documents(cells, settings, store, order, MADE[0])
        return cells.ask(settings, cells.world.of("train"), Rater("nobody", votes=0))

    cells.cell("duels", compute)
    with closing(open_store(settings.lancedb)) as store:
        answers = store.feedback.answers()
    duels = pair_up(AnswerColumns.of(answers))
    both = [(answers[base], answers[tuned]) for base, tuned in zip(duels.base, duels.tuned, strict=True)]
    return sorted(both, key=lambda duel: duel[0].query)


def _by_duels(cells: Cells, thumbs: bool, weight: float, seed: int) -> dict[str, Any]:
    """Train on what noisy raters say of the duels: thumbs on both answers, a preference of this weight, or both."""
    gold = {each.query: each.gold for each in cells.world.of("train")}
    rater = Rater(f"noisy-{seed}", flips=FLIPS)
    labels: list[LabelledPair] = []
    for duel in _duels(cells):
        right = gold[duel[0].query]
        for answer in duel if thumbs else ():
            for who, value in rater.thumbs(answer, right):
                labels += derive_labels(Rating(who, answer.id, value, True, answer.at), answer)
        if weight:
            choice = rater.preference(duel, right)
            said = Rating("rater-0", duel[0].duel, 1, True, duel[0].at, "preference", choice=choice)
            scale = weight / PREFERENCE_WEIGHT
            labels += [replace(label, weight=label.weight * scale) for label in preference_labels(said, duel)]
    with cells.home() as (settings, store):
        chunks = cells.world.chunks
        made = rated_pairs(labels, chunks, alike, keyword_ranks(open_context(settings, store), labels))
        pairs = list(made.pairs)
        counts = {
            "queries": count_queries(pairs),
            "positives": count_queries(pair for pair in pairs if pair.positive_id in gold[pair.query]),
        }
        if counts["queries"] < MIN_QUERIES:
            return {"refused": f"{counts['queries']} rated queries, fewer than {MIN_QUERIES}", **counts}
        trial = EvaluationSplits("held out", (split(pairs, [], chunks, hold_out_groups(pairs)),))
        order = TrainingOptions(cross_fit=False)
        cell = cells.learn(settings, store, order, TrainingPlan(TrainingData(pairs, [], "duels"), trial))
    return {**cell, **counts}


def _feedback_set(cells: Cells, number: int, *, fast: bool) -> dict[str, Any]:
    """Train on a small set of ratings, every third one pure noise, with the gate as it is.

    Ratings are drawn until SET_SIZES queries have a positive: with fewer the product would refuse, and prove nothing.
    """
    draw = random.Random(content_id("set", str(number)))
    kind = "noise" if number % 3 == 0 else "honest"
    wanted, given = draw.randint(*SET_SIZES), _answered(cells)
    draw.shuffle(given)
    with cells.home() as (settings, store):
        labels = [label for rating, answer in given for label in derive_labels(rating, answer)]
        rank_of = keyword_ranks(open_context(settings, store), labels)
        taught: set[str] = set()
        for rating, answer in given:
            heard = replace(rating, value=draw.choice((1, -1))) if kind == "noise" else rating
            said = derive_labels(heard, answer)
            store.feedback.put_labels(said)
            taught |= {label.query for label in share_thumbs(said, rank_of)[0] if label.label == 1}
            if len(taught) >= wanted:
                break
        return {**cells.learn(settings, store, TrainingOptions(fast=fast)), "kind": kind, "queries": len(taught)}


def _cold(cells: Cells, most: int) -> dict[str, Any]:
    """Train on queries made from the documents that do not judge, as a bootstrap does."""
    with cells.home() as (settings, store):
        order = TrainingOptions(kind="bootstrap", cross_fit=False, epochs=1)
        return _learn_documents(cells, settings, store, order, most)


def _learn_documents(
    cells: Cells, settings: Settings, store: Store, order: TrainingOptions, most: int
) -> dict[str, Any]:
    judging = {i for part in JUDGED for asked in cells.world.of(part) for i in asked.gold}
    apart = {chunk.document_id for chunk in cells.world.chunks if chunk.id in judging}
    chunks = [chunk for chunk in cells.world.chunks if chunk.document_id not in apart]
    kinds = {"headings": from_headings, "definitions": from_definitions, "sentences": from_clozes}
    made = {kind: synthetic_to_pairs(make(chunks, most)) for kind, make in kinds.items()}
    counts = ", ".join(f"{kind}: {len(pairs)}" for kind, pairs in made.items())
    pairs = [pair for some in made.values() for pair in some]
    gathered = TrainingData(pairs, [], counts)
    trial = EvaluationSplits("held out", (split(pairs, [], cells.world.chunks, hold_out_groups(pairs)),))
    cell = cells.learn(settings, store, order, TrainingPlan(gathered, trial))
    return {**cell, "made": counts}


def _gains(cells: Cells, cell: dict[str, Any]) -> list[str]:
    """Return hit_rate@5, its gain over base, and that of the gate's metric; or why there are none."""
    if "refused" in cell:
        return ["", cell["refused"], ""]
    return [f"{values_of(cell).mean():.3f}", _show(cells.gain(cell)), _show(cells.gain(cell, metric=GATE))]


def _show(interval: Interval) -> str:
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def _spent(cell: dict[str, Any]) -> str:
    return f"{cell['train_cpu_s']:.0f}" if "train_cpu_s" in cell else ""


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table, to be pasted into docs/log.md."""
    lines = [head, ["---"] * len(head), *rows]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines), flush=True)
