"""State of one training: the serving models, and factories for the challenger and the models of each fold.

Why factories: cross-fitting trains a challenger and a champion for each fold, by the same calls as the version that
will serve.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import psutil
from sentence_transformers import SentenceTransformer

from rag.errors import TrainingRefused
from rag.evaluation.evidence import Evidence
from rag.evaluation.metrics import GATE, Values
from rag.evaluation.win_rates import WinRate, outcomes, win_rate
from rag.feedback.pairs import alike
from rag.groups import read_groups
from rag.models.embedder import Vectors, unadapted
from rag.models.precision import native
from rag.models.registry import Version
from rag.models.weights import has_adapter
from rag.records import Pair, Qrels, content_id, normalise_query
from rag.retrieval.fusion import DENSE_WEIGHT
from train.context import TrainingContext
from train.dataset.earlier_versions import trained_pairs
from train.dataset.folds import groups_of
from train.dataset.hard_negatives import add_negatives
from train.dataset.held_out import is_held_out
from train.dataset.plan import Kind, TrainingOptions, TrainingPlan, with_judged, with_replay
from train.dataset.split import Split, qrels_of
from train.judging.abstention import (
    AbstentionThreshold,
    NearestScores,
    best_cosines,
    fit_threshold,
    join_scores,
    nearest_scores,
)
from train.judging.contenders import (
    Candidate,
    candidates_for,
    challenger_candidates,
    remap_to_current_chunks,
    retrain_without,
)
from train.judging.evaluate import (
    KeywordSearch,
    Runs,
    ScoredCandidate,
    evaluation_runs,
    full,
    keyword_search,
    scores_of,
)
from train.judging.fusion_weight import TUNED_WEIGHT, LearntWeight, learn_weight, ranked_by
from train.judging.gate import Verdict, decide, evidence_needed
from train.judging.serving_precision import AFTER_BOOTSTRAP, PrecisionChoice, choose_precision
from train.progress import StageReporter, judging
from train.recipe import (
    Recipe,
    batch_for,
    check_dims,
    default_epochs,
    default_rate,
    matryoshka_dims,
    with_current_loss,
    within_memory,
)
from train.reporting.results import (
    TrainingResults,
    config_of,
    data_of,
    former_points,
    labels_of,
    peak_memory_mb,
    trained_on_by_champion,
    unevaluated_options,
)
from train.tuning.challenger import (
    AdapterFactory,
    Challenger,
    ChallengerFactory,
    FineTuneFactory,
    RecipeFor,
    distilled,
)
from train.tuning.hybrid_teacher import Teacher, make_teacher
from train.tuning.version_folder import trained_recipe

MOST_GENERAL = 300  # synthetic queries for the regression set: embedding them takes seconds
UNKNOWN_PAIRS = (
    "the champion {champion} has no list of its training pairs (deleted, or not kept by an earlier release): it was "
    "evaluated as it serves, which may favour it"
)
FOR_GROUP = (
    "for group {group} alone: trained and tested on its raters' labels, and compared with {champion}, which serves it"
)
SERVES_NOBODY = (
    "group {group}: with so few rated questions its adapter can only be fitted for the start weights ({start}), which "
    "serve neither arm: rate more questions, or set THUMBTUNE_BASE_MODEL to the start model"
)
OTHER_START = (
    "the champion {champion} was trained from {start}, which is no longer the start model: its recipe cannot be "
    "repeated, and it was evaluated as it serves, which may favour it"
)
USUAL_SUMMARY = "hybrid search by the usual weights, since questions made from the documents teach no others"
REMOVED_LOSS = (
    "the champion {champion} was trained with the loss {loss}, which was removed: where it had to be retrained without "
    "the queries of a fold, the default loss was used"
)


class TrainingSession:
    """The serving models of one training, and the factories of the models to compare with them.

    `served` has candidates by role (base, champion, start, shared); `champion` is the champion's registry entry.
    """

    def __init__(
        self,
        context: TrainingContext,
        options: TrainingOptions,
        plan: TrainingPlan,
        served: Mapping[str, Candidate],
        champion: Version | None,
        clock: StageReporter,
    ) -> None:
        self._context, self._settings, self._chunks = context, context.settings, context.chunks
        self._options, self._plan, self._served, self._clock = options, plan, served, clock
        self._champion = champion
        kept = trained_pairs(context.settings.models / champion.name) if champion else []
        self._champion_pairs = remap_to_current_chunks(kept, context.chunks)
        self.qrels = with_judged(plan.evaluation.qrels, plan.gathered)
        self._groups = groups_of(self.qrels, context.chunks)
        adapted = served["shared" if self._may_adapt_shared() else "start"]
        if context.group:
            _require_served(context.group, adapted, served)
        self.subject = f"a query adapter for {adapted.name}" if options.fast else context.settings.start_model
        self._decided: Recipe | None = None
        self._near: dict[str, list[NearestScores]] = {}
        self.keywords = keyword_search(context, served["base"].embedder)
        self.learnt: LearntWeight | None = None
        self._starts = dict[str, Vectors]()  # of query adapters, by the fingerprint of their model's queries
        self.factory = (
            self._adapter(adapted)
            if options.fast
            else self._tuner(self._recipe, options.kind, distils=context.settings.search != "hybrid")
        )

    @property
    def champion(self) -> Candidate:
        """Return the model that serves now."""
        return self._served["champion"]

    def pairs(self) -> list[Pair]:
        """Return the challenger's training pairs, with a hard negative each when training on ratings.

        Why not for a bootstrap: near the positive of a synthetic query other chunks are as right, and mining there
        lowered the metrics. A query adapter is trained against all chunks and needs no mined negatives.
        """
        examples = self._plan.examples
        if self._options.fast or self._options.kind == "bootstrap":
            return examples
        miner = self._served["champion"]
        queries = miner.embedder.embed_queries([pair.query for pair in examples])
        return add_negatives(examples, queries, self._chunks, miner.vectors, alike)

    def judge(self, challenger: Candidate, pairs: Sequence[Pair]) -> dict[str, Runs]:
        """Return each role's runs on the test queries; for a fold, challenger and champion are retrained.

        With hybrid search a challenger from ratings learns its weight here, `learnt`. A champion that has learnt one on
        some of these queries is judged in the same way, so neither is favoured. Queries made from the documents repeat
        their words, so a bootstrap learns no weight.
        """
        self._near = {}
        runs = evaluation_runs(self._rounds(challenger, pairs), self._chunks, matryoshka_dims, self.keywords)
        if self.keywords is None or self._options.kind == "bootstrap":
            return runs
        learnt = {"challenger": self._learn_weight(challenger, runs["challenger"], self.keywords)}
        if self.champion.dense_weight is not None:
            learnt["champion"] = self._learn_weight(self.champion, runs["champion"], self.keywords)
        self.learnt = learnt["challenger"]
        return runs | {role: ranked_by(runs[role], self.keywords, each.of_query) for role, each in learnt.items()}

    def _learn_weight(self, candidate: Candidate, runs: Runs, keywords: KeywordSearch) -> LearntWeight:
        """Learn a model's weight in hybrid search; an adapter changes its model too little for a tuned one's."""
        is_adapted = unadapted(candidate.embedder) is not candidate.embedder
        usual = DENSE_WEIGHT if is_adapted else TUNED_WEIGHT
        return learn_weight(runs, keywords, self.qrels, self._groups, usual)

    def weighted(self, challenger: Candidate) -> Candidate:
        """Return the challenger as it will serve, with the weight in hybrid search that it has learnt, if any."""
        return replace(challenger, dense_weight=self.learnt.weight if self.learnt else None)

    def fit_threshold(self, challenger: Candidate) -> dict[str, AbstentionThreshold]:
        """Return each role's abstention threshold; call `judge` first.

        Unanswerable questions are not training data, so each role is measured on them as it serves.
        """
        serving = {role: self._served[role] for role in ("base", "champion")} | {"challenger": challenger}
        found = {}
        for role, candidate in serving.items():
            absent = {
                kind: best_cosines(candidate.embedder.embed_queries(list(queries)), candidate.vectors)
                for kind, queries in self._plan.gathered.absent.items()
            }
            found[role] = fit_threshold(candidate.embedder.query_fingerprint, join_scores(self._near[role]), absent)
        return found

    def general(self, challenger: Candidate, pairs: Sequence[Pair]) -> tuple[Values, Values] | None:
        """Return the gate's metric of challenger and champion on held-out synthetic queries, None without any."""
        used = {pair.positive_id for pair in pairs}
        held = qrels_of([pair for pair in self._plan.gathered.general if is_held_out(pair.query)], self._chunks)
        new = [(query, ids) for query, ids in held.relevant.items() if ids.isdisjoint(used)]
        if not new:
            return None
        qrels = Qrels(dict(new[:MOST_GENERAL]))
        both = {"challenger": self.weighted(challenger), "champion": self._served["champion"]}
        rounds = [(qrels, candidates_for(both, qrels))]
        runs = evaluation_runs(rounds, self._chunks, lambda dim: (dim,), self.keywords)
        ours, theirs = (full(scores_of(runs[role], qrels))[GATE] for role in ("challenger", "champion"))
        return ours, theirs

    def verdict(self, challenger: Candidate, pairs: Sequence[Pair], runs: Mapping[str, Runs]) -> Verdict:
        """Return the gate's verdict; keep if another version was promoted during the training."""
        scores = {role: scores_of(each, self.qrels) for role, each in runs.items()}
        verdict = decide(
            *(full(scores[role])[GATE] for role in ("challenger", "champion", "base")),
            kind=self._plan.evaluation.kind,
            groups=self._groups,
            general=self.general(challenger, pairs),
            online=self._online(),
            queries=[content_id(normalise_query(query)) for query in self.qrels.relevant],
            before=replace(self._so_far(), needed=evidence_needed(self._made)),
        )
        if verdict.decision == "promote" and self._context.champion != self._champion:
            return replace(
                verdict, decision="keep", reason="another version was promoted during this training: train again"
            )
        return verdict

    def record_evidence(self, verdict: Verdict) -> None:
        """Record what this training adds to the evidence, for the next training against the same champion."""
        self._context.registry.set_evidence(self._context.key, self._account, verdict.evidence)

    def choose_precision(self, name: str) -> PrecisionChoice:
        """Choose the precision for a version that will serve; not measured after a bootstrap, to save time."""
        if self._options.kind == "bootstrap":
            return AFTER_BOOTSTRAP
        base, folders = self._settings.base_model, self._context.corpus.folders_id
        now = self._context.registry.precision(folders, self._champion, base)
        models = {"base": base, "challenger": str(self._settings.models / name)}
        return choose_precision(self._settings, models, self.qrels, self._chunks, now)

    def version(self, name: str, verdict: Verdict, trained: Challenger) -> Version:
        """Return the version's registry entry."""
        return Version(
            name=name,
            folders=self._context.key,
            fingerprint=trained.embedder.fingerprint,
            started_from=self._settings.start_model,
            kind=self._options.kind,
            verdict=verdict.decision,
            summary=verdict.line(name, self._served["champion"].name),
            created=datetime.now(UTC),
        )

    def results(
        self,
        version: Version,
        verdict: Verdict,
        trained: Challenger,
        runs: Mapping[str, Runs],
        abstain: Mapping[str, AbstentionThreshold],
        precision: PrecisionChoice | None = None,
    ) -> TrainingResults:
        """Return the data of the report."""
        settings, plan, chunks = self._settings, self._plan, self._chunks
        gathered, registry = plan.gathered, self._context.registry
        return TrainingResults(
            version=version,
            verdict=verdict,
            names={role: version.name if role == "challenger" else self._served[role].name for role in runs},
            runs=runs,
            qrels=self.qrels,
            groups=self._groups,
            scores={role: scores_of(each, self.qrels) for role, each in runs.items()},
            chunks={chunk.id: chunk for chunk in chunks},
            made=trained.facts,
            config=config_of(settings),
            data=data_of(self._context.corpus.id, chunks, plan.evaluation, trained.pairs),
            labels=labels_of(gathered.labels, gathered.made) if gathered.made else None,
            notes=[plan.summary(), *self._on_group(), *self._on_champion(), *unevaluated_options(settings)],
            seconds=self._clock.seconds,
            memory_mb=peak_memory_mb(),
            former=former_points(settings.runs, registry.versions(), version.folders),
            abstaining=abstain,
            precision=precision,
            ranking=self.learnt.summary() if self.learnt else USUAL_SUMMARY if self.keywords else "",
        )

    @property
    def _made(self) -> str:
        return "adapter" if self._options.fast else "fine-tuned"

    @property
    def _account(self) -> str:
        """Return under which name the evidence against this champion is kept; a rollback to it goes on there.

        Gains in hybrid search are no evidence on dense search, so each has an account of its own.
        """
        search = " hybrid" if self.keywords else ""
        return f"{self._served['champion'].embedder.query_fingerprint} {self._made}{search}"

    def _so_far(self) -> Evidence:
        return self._context.registry.evidence(self._context.key, self._account)

    def _online(self) -> WinRate | None:
        """Return the champion's blind win rate against base since its promotion, in a group by its raters alone.

        None without a champion.
        """
        if self._champion is None:
            return None
        feedback, group = self._context.store.feedback, self._context.group
        groups = read_groups(self._settings.home) if group else None
        ratings = [each for each in feedback.ratings() if groups is None or groups.of(each.rater) == group]
        found = outcomes(ratings, feedback.answers())
        return win_rate(found, self._champion.name, self._context.registry.promoted_at(self._champion.folders))

    def _on_group(self) -> list[str]:
        """Return a note for the report on whom the version is for, none where it is for everybody."""
        group, champion = self._context.group, self._served["champion"].name
        return [FOR_GROUP.format(group=group, champion=champion)] if group else []

    def _on_champion(self) -> list[str]:
        """Return notes for the report on a champion whose training data may include test queries."""
        if self._champion is None:
            return []
        if not self._champion_pairs:
            return [UNKNOWN_PAIRS.format(champion=self._champion.name)]
        if self._plan.evaluation.kind == "held out":
            return [
                trained_on_by_champion(
                    self._plan.evaluation.main, frozenset(pair.positive_id for pair in self._champion_pairs)
                )
            ]
        if self._began_elsewhere(self._champion):
            return [OTHER_START.format(champion=self._champion.name, start=self._champion.started_from)]
        recipe = trained_recipe(self._settings.models / self._champion.name)
        if recipe and recipe != with_current_loss(recipe):
            return [REMOVED_LOSS.format(champion=self._champion.name, loss=recipe.loss)]
        return []

    def _began_elsewhere(self, champion: Version) -> bool:
        """Return whether the champion was trained from another start model, so that its recipe cannot be repeated."""
        recipe = trained_recipe(self._settings.models / champion.name)
        return recipe is not None and champion.started_from != self._settings.start_model

    def _rounds(
        self, challenger: Candidate, pairs: Sequence[Pair]
    ) -> Iterator[tuple[Qrels, dict[str, ScoredCandidate]]]:
        ready = {
            (pair.query, pair.positive_id): pair for pair in reversed(pairs)
        }  # a rated pair takes precedence over a synthetic one
        evaluation = self._plan.evaluation
        for nth, part in enumerate(evaluation.splits):
            candidate = challenger
            if nth:
                pairs_of_fold = [
                    ready[key] for pair in with_replay(part) if (key := (pair.query, pair.positive_id)) in ready
                ]
                trained, name = self.factory.make(pairs_of_fold, challenger.name), challenger.name
                candidate = challenger_candidates(*(trained, name, self._chunks, self._clock.bar, self._settings.cache))
            champion = self._champion_on(part) if evaluation.kind == "cross-fitted" else self._served["champion"]
            roles = {"base": self._served["base"], "champion": champion, "challenger": candidate}
            candidates = candidates_for(roles, part.held_out)
            self._note_nearest(candidates, part.held_out)
            yield part.held_out, candidates
            self._clock.done(judging(nth + 1, len(evaluation.splits)))

    def _note_nearest(self, candidates: Mapping[str, ScoredCandidate], held_out: Qrels) -> None:
        """Record the best cosines for those queries of a split that a user would ask."""
        unasked, chunks, k = self._plan.gathered.unasked, self._chunks, self._settings.k
        rows = [n for n, query in enumerate(held_out.relevant) if normalise_query(query) not in unasked]
        relevant = [list(held_out.relevant.values())[n] for n in rows]
        for role, each in candidates.items():
            scores = nearest_scores(each.queries[rows], each.chunks, relevant, chunks, k, alike)
            self._near.setdefault(role, []).append(scores)

    def _may_adapt_shared(self) -> bool:
        """Return whether a query adapter may be fitted for everybody's champion without leakage in the folds.

        False where folds are used and that model was trained on ratings. A bootstrap's pairs affect champion and
        challenger alike.
        """
        if self._plan.evaluation.kind == "held out":
            return True
        model = Path(unadapted(self._served["shared"].embedder).reference).resolve()
        rated = {version.name for version in self._context.registry.versions() if version.kind == "ratings"}
        return model.parent != self._settings.models.resolve() or model.name not in rated

    def _champion_on(self, part: Split) -> Candidate:
        """Return the champion for a fold, retrained if its pairs leak."""
        champion, start = self._served["champion"], self._served["start"]
        if self._champion is None or self._began_elsewhere(self._champion):
            return champion
        recipe = trained_recipe(self._settings.models / self._champion.name)
        if recipe and self._options.fast and self._may_adapt_shared():
            return champion
        if recipe is None:
            again = self._adapter(champion)
        else:
            current = with_current_loss(recipe)
            kind: Kind = "bootstrap" if self._champion.kind == "bootstrap" else "ratings"
            distils = has_adapter(str(self._settings.models / self._champion.name))
            again = self._tuner(lambda pairs, model: current, kind, distils=distils)
        return retrain_without(
            *(champion, start, self._champion_pairs, again, part),
            *(self._chunks, self._clock.bar, self._settings.cache),
        )

    @cached_property
    def _teacher(self) -> Teacher:
        return make_teacher(self._chunks, self._options.seed)

    def _tuner(self, recipe_for: RecipeFor, kind: Kind, *, distils: bool) -> ChallengerFactory:
        """Return the fine-tuning factory; a bootstrap has no checkpoint selection, to save time.

        Hybrid search knows by itself what `distils` would teach.
        """
        start, chunks = self._served["start"], self._chunks
        reference, chooses = self._settings.start_model, kind != "bootstrap"
        teacher = self._teacher if distils else None
        return FineTuneFactory(
            *(self._settings, reference, recipe_for, unadapted(start.embedder), chunks, start.vectors, chooses),
            teacher=teacher,
            bar=self._clock.bar,
        )

    def _adapter(self, candidate: Candidate) -> ChallengerFactory:
        model, seed = unadapted(candidate.embedder), self._options.seed
        if model.query_fingerprint not in self._starts:
            self._starts[model.query_fingerprint] = distilled(
                model, candidate.vectors, self._teacher, seed, self._clock.bar
            )
        start, is_group = self._starts[model.query_fingerprint], bool(self._context.group)
        return AdapterFactory(model, self._chunks, candidate.vectors, start, seed, rejects=is_group)

    def _recipe(self, pairs: Sequence[Pair], model: SentenceTransformer) -> Recipe:
        """Return the recipe of the version that will serve (trained first), also for the fewer pairs of a fold.

        The champion's recipe does not change with a fold either: else equal recipes would be compared unequally.
        """
        if self._decided is None:
            self._decided = self._decide(pairs, model)
        return self._decided

    def _decide(self, pairs: Sequence[Pair], model: SentenceTransformer) -> Recipe:
        """Return the recipe for these pairs: the options given, else measured defaults."""
        options = self._options
        parameters = sum(weights.numel() for weights in model.parameters())
        full = int(model.get_embedding_dimension() or 0)
        check_dims([dim for dim in (*options.dims, options.serve_dim) if dim], full)
        whole = round(sum(pair.weight for pair in pairs))  # many pairs of small weight count as few
        recipe = Recipe(
            epochs=options.epochs or default_epochs(whole, bootstrap=options.kind == "bootstrap"),
            batch=options.batch or batch_for(whole, bootstrap=options.kind == "bootstrap"),
            rate=default_rate(parameters, options.lora),
            dims=options.dims or matryoshka_dims(full),
            loss=options.loss,
            lora=options.lora,
            seed=options.seed,
            bf16=native(self._settings) == "bf16",
            serve_dim=options.serve_dim,
        )
        return within_memory(recipe, self._settings.chunk_tokens, psutil.virtual_memory().available)


def _require_served(group: str, adapted: Candidate, served: Mapping[str, Candidate]) -> None:
    """Raise TrainingRefused where a group's adapter would be for a model whose table does not follow the documents."""
    model = unadapted(adapted.embedder).reference
    if model not in {unadapted(served[role].embedder).reference for role in ("base", "shared")}:
        raise TrainingRefused(SERVES_NOBODY.format(group=group, start=model))
