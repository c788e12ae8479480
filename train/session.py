"""State of one training: the serving models, and factories for the challenger and the models of each fold.

Why here: cross-fitting needs a challenger and a champion of its own in each fold. All are made by the same calls as the
one that is to serve.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
from sentence_transformers import SentenceTransformer

from rag.evaluation.metrics import GATE, Values
from rag.evaluation.win_rates import WinRate, outcomes, win_rate
from rag.models.embedder import unadapted
from rag.models.precision import native
from rag.models.registry import Version
from rag.records import Pair, Qrels, normalise_query
from train.context import TrainingContext
from train.dataset.hard_negatives import add_negatives
from train.dataset.plan import Kind, TrainingOptions, TrainingPlan, with_judged, with_replay
from train.dataset.split import Split, alike, is_held_out, qrels_of
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
from train.judging.evaluate import Runs, ScoredCandidate, full, scores_of, trial_runs
from train.judging.gate import Verdict, decide
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
    beyond,
    config_of,
    data_of,
    former_points,
    labels_of,
    peak_memory_mb,
    trained_on_by_champion,
)
from train.tuning.challenger import AdapterFactory, Challenger, ChallengerFactory, FineTuneFactory, RecipeFor
from train.tuning.version_folder import trained_pairs, trained_recipe

MOST_GENERAL = 300  # general queries looked at: embedding them takes seconds
UNKNOWN_PAIRS = (
    "the champion {champion} has no list of the pairs it learnt from (deleted, or an earlier release kept none): it "
    "was judged as it is, which may favour it"
)
OTHER_START = (
    "the champion {champion} began as {start}, where trainings no longer begin: its recipe cannot be repeated, and it "
    "was judged as it is, which may favour it"
)
REMOVED_LOSS = (
    "the champion {champion} was trained with the loss {loss}, which was removed: where it had to be retrained without "
    "the queries of a fold, the default loss was used"
)


class TrainingSession:
    """The models of one training: those that served at its start, and the factories of what is compared with them.

    `served` has candidates by role (base, champion, start); `champion` is the champion's entry in the registry.
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
        learnt = trained_pairs(context.settings.models / champion.name) if champion else []
        self._learnt = remap_to_current_chunks(learnt, context.chunks)  # by the champion
        self.qrels = with_judged(plan.trial.qrels, plan.gathered)
        adapted = served["champion" if self._may_adapt_champion() else "start"]
        self.subject = f"the queries of {adapted.name}" if options.fast else context.settings.start_model
        self._decided: Recipe | None = None
        self._near: dict[str, list[NearestScores]] = {}
        self.maker = self._adapter(adapted) if options.fast else self._tuner(self._recipe, options.kind)

    def pairs(self) -> list[Pair]:
        """Return what the challenger learns from, each pair with a hard negative where that does good.

        Near a chunk of one's own making stand others that are as right: mining there did harm. An adapter is fitted
        against all chunks and needs none.
        """
        examples = self._plan.examples
        if self._options.fast or self._options.kind == "bootstrap":
            return examples
        miner = self._served["champion"]
        queries = miner.embedder.embed_queries([pair.query for pair in examples])
        return add_negatives(examples, queries, self._chunks, miner.vectors, alike)

    def judge(self, challenger: Candidate, pairs: Sequence[Pair]) -> dict[str, Runs]:
        """Return what each role ranked for the trial's queries; for a fold, challenger and champion are made anew."""
        self._near = {}
        return trial_runs(self._rounds(challenger, pairs), self._chunks, matryoshka_dims)

    def fit_threshold(self, challenger: Candidate) -> dict[str, AbstentionThreshold]:
        """Return when each role says that it does not know, and how that goes; `judge` comes first.

        The questions without an answer taught nobody, so each role meets them as it serves.
        """
        serving = {role: self._served[role] for role in ("base", "champion")} | {"challenger": challenger}
        found = {}
        for role, entrant in serving.items():
            absent = {
                kind: best_cosines(entrant.embedder.embed_queries(list(queries)), entrant.vectors)
                for kind, queries in self._plan.gathered.absent.items()
            }
            found[role] = fit_threshold(entrant.embedder.query_fingerprint, join_scores(self._near[role]), absent)
        return found

    def general(self, challenger: Candidate, pairs: Sequence[Pair]) -> tuple[Values, Values] | None:
        """Return the gate's metric of challenger and champion on queries made from the documents, new to both."""
        taught = {pair.positive_id for pair in pairs}
        held = qrels_of([pair for pair in self._plan.gathered.general if is_held_out(pair.query)], self._chunks)
        new = [(query, ids) for query, ids in held.relevant.items() if ids.isdisjoint(taught)]
        if not new:
            return None
        qrels = Qrels(dict(new[:MOST_GENERAL]))
        both = {"challenger": challenger, "champion": self._served["champion"]}
        runs = trial_runs([(qrels, candidates_for(both, qrels))], self._chunks, lambda dim: (dim,))
        ours, theirs = (full(scores_of(runs[role], qrels))[GATE] for role in ("challenger", "champion"))
        return ours, theirs

    def verdict(self, challenger: Candidate, pairs: Sequence[Pair], runs: Mapping[str, Runs]) -> Verdict:
        """Return the gate's verdict; where another version was promoted during the training, keep that one."""
        scores = {role: scores_of(each, self.qrels) for role, each in runs.items()}
        verdict = decide(
            *(full(scores[role])[GATE] for role in ("challenger", "champion", "base")),
            kind=self._plan.trial.kind,
            general=self.general(challenger, pairs),
            online=self._online(),
        )
        if verdict.word == "promote" and self._context.champion != self._champion:
            return replace(verdict, word="keep", reason="another version was promoted meanwhile: train again")
        return verdict

    def choose_precision(self, name: str) -> PrecisionChoice:
        """Return the precision for a version that is to serve; after a bootstrap it is not measured, as users wait."""
        if self._options.kind == "bootstrap":
            return AFTER_BOOTSTRAP
        base, folders = self._settings.base_model, self._context.corpus.folders_id
        now = self._context.registry.precision(folders, self._champion, base)
        models = {"base": base, "challenger": str(self._settings.models / name)}
        return choose_precision(self._settings, models, self.qrels, self._chunks, now)

    def version(self, name: str, verdict: Verdict, made: Challenger) -> Version:
        """Return the version's entry in the registry."""
        return Version(
            name=name,
            folders=self._context.corpus.folders_id,
            fingerprint=made.embedder.fingerprint,
            started_from=self._settings.start_model,
            kind=self._options.kind,
            verdict=verdict.word,
            summary=verdict.line(name, self._served["champion"].name),
            created=datetime.now(UTC),
        )

    def results(
        self,
        version: Version,
        verdict: Verdict,
        made: Challenger,
        runs: Mapping[str, Runs],
        abstain: Mapping[str, AbstentionThreshold],
        precision: PrecisionChoice | None = None,
    ) -> TrainingResults:
        """Return all that is known of the training, for its report."""
        settings, plan, chunks = self._settings, self._plan, self._chunks
        gathered, registry = plan.gathered, self._context.registry
        return TrainingResults(
            version=version,
            verdict=verdict,
            names={role: version.name if role == "challenger" else self._served[role].name for role in runs},
            runs=runs,
            qrels=self.qrels,
            scores={role: scores_of(each, self.qrels) for role, each in runs.items()},
            chunks={chunk.id: chunk for chunk in chunks},
            made=made.facts,
            config=config_of(settings),
            data=data_of(self._context.corpus.id, chunks, plan.trial, made.pairs),
            labels=labels_of(gathered.labels, gathered.made) if gathered.made else None,
            notes=[plan.told(), *self._on_champion(), *beyond(settings)],
            seconds=self._clock.seconds,
            memory_mb=peak_memory_mb(),
            former=former_points(settings.runs, registry.versions(), version.folders),
            abstaining=abstain,
            precision=precision,
        )

    def _online(self) -> WinRate | None:
        """Return the champion's blind win rate against base since it serves; None where nothing was promoted."""
        if self._champion is None:
            return None
        feedback = self._context.store.feedback
        found = outcomes(feedback.ratings(), feedback.answers())
        return win_rate(found, self._champion.name, self._context.registry.promoted_at(self._champion.folders))

    def _on_champion(self) -> list[str]:
        """Return what is to be told of a champion that is judged as it is, though it may know what judges."""
        if self._champion is None:
            return []
        if not self._learnt:
            return [UNKNOWN_PAIRS.format(champion=self._champion.name)]
        if self._plan.trial.kind == "held out":
            return [trained_on_by_champion(self._plan.trial.main, frozenset(pair.positive_id for pair in self._learnt))]
        if self._began_elsewhere(self._champion):
            return [OTHER_START.format(champion=self._champion.name, start=self._champion.started_from)]
        recipe = trained_recipe(self._settings.models / self._champion.name)
        if recipe and recipe != with_current_loss(recipe):
            return [REMOVED_LOSS.format(champion=self._champion.name, loss=recipe.loss)]
        return []

    def _began_elsewhere(self, champion: Version) -> bool:
        """Return whether the champion was tuned from another model: its recipe on today's would be another model."""
        recipe = trained_recipe(self._settings.models / champion.name)
        return recipe is not None and champion.started_from != self._settings.start_model

    def _rounds(
        self, challenger: Candidate, pairs: Sequence[Pair]
    ) -> Iterator[tuple[Qrels, dict[str, ScoredCandidate]]]:
        ready = {(pair.query, pair.positive_id): pair for pair in reversed(pairs)}  # a rater's word before a replay
        trial = self._plan.trial
        for nth, part in enumerate(trial.splits):
            ours = challenger
            if nth:
                few = [ready[key] for pair in with_replay(part) if (key := (pair.query, pair.positive_id)) in ready]
                ours = challenger_candidates(
                    self.maker.make(few, challenger.name), challenger.name, self._chunks, self._clock.bar
                )
            theirs = self._champion_on(part) if trial.kind == "cross-fitted" else self._served["champion"]
            roles = {"base": self._served["base"], "champion": theirs, "challenger": ours}
            contenders = candidates_for(roles, part.held_out)
            self._look(contenders, part.held_out)
            yield part.held_out, contenders
            self._clock.done(judging(nth + 1, len(trial.splits)))

    def _look(self, contenders: Mapping[str, ScoredCandidate], held_out: Qrels) -> None:
        """Note how near the chunks are to those queries of a split that somebody would ask."""
        unasked, chunks, k = self._plan.gathered.unasked, self._chunks, self._settings.k
        rows = [n for n, query in enumerate(held_out.relevant) if normalise_query(query) not in unasked]
        relevant = [list(held_out.relevant.values())[n] for n in rows]
        for role, each in contenders.items():
            looked = nearest_scores(each.queries[rows], each.chunks, relevant, chunks, k, alike)
            self._near.setdefault(role, []).append(looked)

    def _may_adapt_champion(self) -> bool:
        """Return whether an adapter may stand on the champion's weights: not where folds judge and these saw them.

        What the weights of a bootstrap saw, they saw for champion and challenger alike.
        """
        if self._plan.trial.kind == "held out":
            return True
        model = Path(unadapted(self._served["champion"].embedder).reference).resolve()
        rated = {version.name for version in self._context.registry.versions() if version.kind == "ratings"}
        return model.parent != self._settings.models.resolve() or model.name not in rated

    def _champion_on(self, part: Split) -> Candidate:
        """Return the champion as a fold may judge it."""
        champion, start = self._served["champion"], self._served["start"]
        if self._champion is None or self._began_elsewhere(self._champion):
            return champion
        recipe = trained_recipe(self._settings.models / self._champion.name)
        if recipe and self._options.fast and self._may_adapt_champion():
            return champion
        if recipe is None:
            again = self._adapter(champion)
        else:
            current = with_current_loss(recipe)
            again = self._tuner(lambda pairs, model: current, self._champion.kind)
        return retrain_without(champion, start, self._learnt, again, part, self._chunks, self._clock.bar)

    def _tuner(self, recipe_for: RecipeFor, kind: Kind) -> ChallengerFactory:
        """Return how to tune; no choice of weights in a bootstrap, for which a newcomer waits."""
        start, chunks = self._served["start"], self._chunks
        reference, chooses = self._settings.start_model, kind != "bootstrap"
        return FineTuneFactory(self._settings, reference, recipe_for, start.embedder, chunks, start.vectors, chooses)

    def _adapter(self, entrant: Candidate) -> ChallengerFactory:
        return AdapterFactory(unadapted(entrant.embedder), self._chunks, entrant.vectors, self._options.seed)

    def _recipe(self, pairs: Sequence[Pair], model: SentenceTransformer) -> Recipe:
        """Return the recipe of what is to serve, which is made first, also for the fewer pairs of a fold.

        The champion's recipe does not change with a fold either: else a training would differ from its own repetition.
        """
        if self._decided is None:
            self._decided = self._decide(pairs, model)
        return self._decided

    def _decide(self, pairs: Sequence[Pair], model: SentenceTransformer) -> Recipe:
        """Return how to tune on so many pairs: what the user said, else what was measured."""
        options = self._options
        parameters = sum(weights.numel() for weights in model.parameters())
        full = int(model.get_embedding_dimension() or 0)
        check_dims([dim for dim in (*options.dims, options.serve_dim) if dim], full)
        whole = round(sum(pair.weight for pair in pairs))  # many small shares of thumbs are few pairs
        recipe = Recipe(
            epochs=options.epochs or default_epochs(whole, bootstrap=options.kind == "bootstrap"),
            batch=batch_for(whole, bootstrap=options.kind == "bootstrap"),
            rate=default_rate(parameters, options.lora),
            dims=options.dims or matryoshka_dims(full),
            loss=options.loss,
            lora=options.lora,
            seed=options.seed,
            bf16=native(self._settings) == "bf16",
            serve_dim=options.serve_dim,
        )
        return within_memory(recipe, self._settings.chunk_tokens, psutil.virtual_memory().available)
