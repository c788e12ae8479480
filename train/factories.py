"""The models that one training makes, by the same calls: the challenger, those of its folds, the champion on a fold.

Why factories: cross-fitting trains a challenger and a champion for each fold, and they must be what would serve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import psutil
from sentence_transformers import SentenceTransformer

from rag.errors import TrainingRefused
from rag.models.embedder import Vectors, unadapted
from rag.models.precision import native
from rag.models.registry import Version
from rag.models.weights import has_adapter
from rag.records import Pair
from train.context import TrainingContext
from train.dataset.earlier_versions import trained_pairs
from train.dataset.plan import Kind, TrainingOptions, TrainingPlan
from train.dataset.split import Split
from train.judging.contenders import Candidate, remap_to_current_chunks, retrain_without
from train.progress import StageReporter
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
from train.tuning.challenger import AdapterFactory, ChallengerFactory, FineTuneFactory, RecipeFor, distilled
from train.tuning.hybrid_teacher import Teacher, make_teacher
from train.tuning.version_folder import trained_recipe

SERVES_NOBODY = (
    "group {group}: with so few rated questions its adapter can only be fitted for the start weights ({start}), which "
    "serve neither arm: rate more questions, or set THUMBTUNE_BASE_MODEL to the start model"
)


class ModelFactories:
    """Makes the models of one training.

    `served` has candidates by role (base, champion, start, shared), `champion` is the champion's registry entry,
    `champion_pairs` what it was trained on, on the present chunks; `subject` says what the challenger is made from.
    Raises TrainingRefused for a group's adapter whose model has no table that follows the documents.
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
        self.champion_pairs = remap_to_current_chunks(kept, context.chunks)
        self._decided: Recipe | None = None
        self._starts = dict[str, Vectors]()  # of query adapters, by the fingerprint of their model's queries
        adapted = served["shared" if self._may_adapt_shared() else "start"]
        if context.group:
            _require_served(context.group, adapted, served)
        self.subject = f"a query adapter for {adapted.name}" if options.fast else context.settings.start_model
        self._adapted = adapted

    def of_challenger(self) -> ChallengerFactory:
        """Return the factory of the version that will serve, and of its like for each fold."""
        if self._options.fast:
            return self._adapter(self._adapted)
        return self._tuner(self._recipe, self._options.kind, distils=self._settings.search != "hybrid")

    def champion_on(self, part: Split) -> Candidate:
        """Return the champion for a fold, retrained if its pairs leak."""
        champion, start = self._served["champion"], self._served["start"]
        if self._champion is None or self.began_elsewhere():
            return champion
        recipe = self._recipe_of_champion
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
            *(champion, start, self.champion_pairs, again, part),
            *(self._chunks, self._clock.bar, self._settings.cache),
        )

    def began_elsewhere(self) -> bool:
        """Return whether the champion was trained from another start model, so that its recipe cannot be repeated."""
        champion = self._champion
        return (
            champion is not None
            and self._recipe_of_champion is not None
            and champion.started_from != self._settings.start_model
        )

    def removed_loss(self) -> str:
        """Return the loss that the champion was trained with if it was removed since, else an empty string."""
        recipe = self._recipe_of_champion
        return recipe.loss if recipe and recipe != with_current_loss(recipe) else ""

    @cached_property
    def _recipe_of_champion(self) -> Recipe | None:
        return trained_recipe(self._settings.models / self._champion.name) if self._champion else None

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
