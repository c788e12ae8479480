"""State of one training: it judges the challenger by the serving models, and says what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from rag.evaluation.evidence import Evidence
from rag.evaluation.metrics import GATE, Values
from rag.evaluation.win_rates import WinRate, outcomes, win_rate
from rag.feedback.pairs import alike
from rag.groups import read_groups
from rag.models.embedder import unadapted
from rag.models.registry import Version
from rag.records import Pair, Qrels, content_id, normalise_query
from rag.retrieval.fusion import DENSE_WEIGHT
from train.context import TrainingContext
from train.dataset.folds import groups_of
from train.dataset.hard_negatives import add_negatives
from train.dataset.held_out import is_held_out
from train.dataset.plan import TrainingOptions, TrainingPlan, with_judged, with_replay
from train.dataset.split import qrels_of
from train.factories import ModelFactories
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
    matryoshka_dims,
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
    Challenger,
)

MOST_GENERAL = 300  # synthetic queries for the regression set: embedding them takes seconds
UNKNOWN_PAIRS = (
    "the champion {champion} has no list of its training pairs (deleted, or not kept by an earlier release): it was "
    "evaluated as it serves, which may favour it"
)
FOR_GROUP = (
    "for group {group} alone: trained and tested on its raters' labels, and compared with {champion}, which serves it"
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
    """The serving models of one training, what judges it, and the factory of its challenger.

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
        self.qrels = with_judged(plan.evaluation.qrels, plan.gathered)
        self._groups = groups_of(self.qrels, context.chunks)
        self._near: dict[str, list[NearestScores]] = {}
        self.keywords = keyword_search(context, served["base"].embedder)
        self.learnt: LearntWeight | None = None
        self._models = ModelFactories(context, options, plan, served, champion, clock)
        self.subject, self.factory = self._models.subject, self._models.of_challenger()

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
        pairs = self._models.champion_pairs
        if not pairs:
            return [UNKNOWN_PAIRS.format(champion=self._champion.name)]
        if self._plan.evaluation.kind == "held out":
            return [trained_on_by_champion(self._plan.evaluation.main, frozenset(pair.positive_id for pair in pairs))]
        if self._models.began_elsewhere():
            return [OTHER_START.format(champion=self._champion.name, start=self._champion.started_from)]
        if loss := self._models.removed_loss():
            return [REMOVED_LOSS.format(champion=self._champion.name, loss=loss)]
        return []

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
            champion = self._models.champion_on(part) if evaluation.kind == "cross-fitted" else self._served["champion"]
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
