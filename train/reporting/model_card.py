"""Model card: the README.md of a version's folder, rendered from templates/model_card.md, readable by the hub.

Why: the card is shared with the weights, so it has numbers only, never a question, a text, a rater or a path; it names
the file next to it that holds the training pairs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rag.evaluation.metrics import GATE, METRICS
from rag.models.weights import BUILTIN, MATRIX
from train.dataset.earlier_versions import PAIRS
from train.reporting.markdown import bullets, plain, table
from train.reporting.results import TrainingResults, means
from train.tuning.challenger import DISTILLED

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData
    from jinja2 import Template

BUILTIN_ON_HUB = "sentence-transformers/all-MiniLM-L6-v2"  # the built-in weights are checked against its hash
SENTENCE_TRANSFORMERS = ("sentence-transformers", "sentence-similarity", "feature-extraction", "dense")
LOSSES: dict[str, tuple[str, ...]] = {
    "matryoshka": ("MatryoshkaLoss", "MultipleNegativesRankingLoss"),
    "mnrl": ("MultipleNegativesRankingLoss",),
}
# our metrics as sentence-transformers' InformationRetrievalEvaluator names them
EVALUATOR_NAMES = {
    "hit_rate@1": "cosine_accuracy@1",
    "hit_rate@5": "cosine_accuracy@5",
    "mrr@10": "cosine_mrr@10",
    "ndcg@10": "cosine_ndcg@10",
}
# fields of `made` that are on the card
RECIPE = ("epochs", "batch", "rate", "dims", "lora", "seed", "steps", "examples", "kept")


def model_card(facts: TrainingResults) -> str:
    """Return the text of a version's README.md: YAML metadata for the hub, then Markdown."""
    smaller = [str(dim) for dim in facts.scores["challenger"]][1:]
    base_scores = means(facts.scores["base"])
    measured = facts.abstaining.get("challenger")
    return _template().render(
        front_matter=_front_matter(facts).to_yaml(),
        name=facts.version.name,
        created=facts.version.created,
        adapter=_is_adapter(facts),
        distilled=DISTILLED in facts.made,
        base=_base_name(facts),
        matrix=MATRIX,
        smaller_dims=smaller,
        queries=len(facts.qrels),
        chunks=facts.data.chunks,
        held_out=facts.verdict.kind == "held out",
        gate_metric=GATE,
        base_score=base_scores[max(base_scores)][GATE],
        summary=facts.version.summary,
        scores=_score_table(facts),
        ranking=facts.ranking,
        abstention=f"It {measured.summary()}." if measured else "No threshold was measured.",
        training_data=_training_data(facts),
        pairs_file=PAIRS,
        libraries=str(facts.config.get("libraries", "")),
    )


def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("train.reporting"),
        autoescape=False,  # the card is Markdown: other people's text goes through `plain`
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = plain
    return environment.get_template("model_card.md")


def _front_matter(facts: TrainingResults) -> ModelCardData:
    """Return the card's YAML metadata."""
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="information-retrieval",
            task_name="Information Retrieval",
            dataset_type="unknown",
            dataset_name=f"rated queries, {dim} dimensions",
            dataset_config=f"dim_{dim}",
            metric_type=EVALUATOR_NAMES[metric],
            metric_name=metric,
            metric_value=round(value, 4),
        )
        for dim, by_metric in means(facts.scores["challenger"]).items()
        for metric, value in by_metric.items()
    ]
    losses = [f"loss:{loss}" for loss in _losses(facts)]
    kind = ["query-adapter"] if _is_adapter(facts) else list(SENTENCE_TRANSFORMERS)
    return ModelCardData(
        model_name=f"thumbtune {facts.version.name}",
        base_model=_hub_name(_reference(facts)),
        library_name=None if _is_adapter(facts) else "sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=[*kind, "thumbtune", f"dataset_size:{facts.data.pairs}", *losses],
        metrics=[EVALUATOR_NAMES[metric] for metric in METRICS],
        eval_results=results,
    )


def _losses(facts: TrainingResults) -> list[str]:
    *around, inner = LOSSES.get(str(facts.made.get("loss")), ("",))
    return [*around, f"Cached{inner}" if facts.made.get("mini_batch") else inner] if inner else []


def _score_table(facts: TrainingResults) -> str:
    challenger = means(facts.scores["challenger"])
    rows = [[str(dim), *(f"{values[metric]:.3f}" for metric in METRICS)] for dim, values in challenger.items()]
    return table(["dimensions", *METRICS], rows)


def _training_data(facts: TrainingResults) -> str:
    labels = facts.labels
    values: dict[str, object] = {
        **({"group of raters": facts.version.group} if facts.version.group else {}),
        "pairs": facts.data.pairs,
        "rated queries": labels.queries if labels else "none: the pairs were generated from the documents",
        **{name: facts.made[name] for name in RECIPE if name in facts.made},
        "hash of pairs": facts.data.pairs_hash,
    }
    return bullets(values)


def _is_adapter(facts: TrainingResults) -> bool:
    return "adapts" in facts.made


def _base_name(facts: TrainingResults) -> str:
    """Return the base model's name on the hub, or the last part of its folder: no path of this machine."""
    return _hub_name(_reference(facts)) or Path(_reference(facts)).name


def _reference(facts: TrainingResults) -> str:
    return str(facts.made.get("adapts", facts.version.started_from))


def _hub_name(reference: str) -> str | None:
    """Return a model's name on the hub, None for a folder."""
    if reference == BUILTIN:
        return BUILTIN_ON_HUB
    path = Path(reference).expanduser()
    if path.is_dir() or path.is_absolute() or reference.startswith("."):
        return None
    return reference if "/" in reference else f"sentence-transformers/{reference}"
