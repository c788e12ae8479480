"""The README of a version's folder: a model card that sentence-transformers and the hub read.

The idea a reader would miss: a card goes where the weights go, and the people whose questions taught them do not. So it
tells numbers and never a question, a text or a path; and it says which file beside it does hold them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rag.evaluation.metrics import GATE, METRICS
from rag.models.weights import BUILTIN, MATRIX
from train.reporting.markdown import bullets, plain, table
from train.reporting.results import TrainingResults, means
from train.tuning.version_folder import PAIRS

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

BUILTIN_ON_HUB = "sentence-transformers/all-MiniLM-L6-v2"  # whose hash the built-in weights are checked against
SENTENCE_TRANSFORMERS = ("sentence-transformers", "sentence-similarity", "feature-extraction", "dense")
LOSSES: dict[str, tuple[str, ...]] = {
    "matryoshka": ("MatryoshkaLoss", "MultipleNegativesRankingLoss"),
    "mnrl": ("MultipleNegativesRankingLoss",),
}
# our metrics by the names that sentence-transformers' InformationRetrievalEvaluator has for them
EVALUATOR_NAMES = {
    "hit_rate@1": "cosine_accuracy@1",
    "hit_rate@5": "cosine_accuracy@5",
    "mrr@10": "cosine_mrr@10",
    "ndcg@10": "cosine_ndcg@10",
}
RECIPE = ("epochs", "batch", "rate", "dims", "lora", "seed", "steps", "examples", "kept")  # what of `made` a card tells

USE_MODEL = """```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("path/to/this/folder")
queries = model.encode_query(["a question"], normalize_embeddings=True)
chunks = model.encode_document(["a passage", "another one"], normalize_embeddings=True)
print(model.similarity(queries, chunks))
```

Vectors may be cut to {dims} dimensions, and must be normalised after cutting: with `truncate_dim={last}` the above
does so."""
USE_ADAPTER = """The folder holds no model, only a matrix by which the queries of one are turned; the vectors of the
passages stay as they are.

```python
import numpy as np
from sentence_transformers import SentenceTransformer

model, matrix = SentenceTransformer("{base}"), np.load("{matrix}")
query = model.encode_query("a question", normalize_embeddings=True)
query = query + query @ matrix
query = query / np.linalg.norm(query)
```"""
LIMITS = (
    "It is meant to find passages in the documents it was trained for, or in others like them. Nothing is known of it "
    "elsewhere, nor of languages that nobody asked in.",
    "It ranks passages. It does not know whether a passage is true, and hardly whether there is an answer at all.",
    "Its licence follows from the licence of the model it began as and from what the documents allow.",
    "Who has the weights can find out something about the vocabulary of the documents: treat them as confidential as "
    "those.",
    f"`{PAIRS}` beside this card holds the questions and passages it learnt from. Delete that file before you give the "
    "folder away; thumbtune needs it only to compare this version with the next one.",
)


def model_card(facts: TrainingResults) -> str:
    """Return the text of a version's README.md."""
    base = _base_name(facts)
    what = "query adapter for" if _is_adapter(facts) else "sentence-transformers model, tuned from"
    sections = {
        "How to use it": _use(facts, base),
        "How good it is": _quality(facts),
        "When it does not know": _abstaining(facts),
        "What it learnt from": _learnt(facts),
        "What it is for, and its limits": "\n".join(f"- {limit}" for limit in LIMITS),
        "Made with": plain(str(facts.config.get("libraries", ""))),
    }
    head = (
        f"---\n{_front_matter(facts).to_yaml()}\n---\n\n# thumbtune {facts.version.name}\n\n"
        f"A {what} {plain(base)} by thumbtune on {facts.version.created:%Y-%m-%d}, so that passages are found which "
        "people said answer their questions."
    )
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections.items())]) + "\n"


def _front_matter(facts: TrainingResults) -> ModelCardData:
    """Return what machines read of the card."""
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


def _use(facts: TrainingResults, base: str) -> str:
    if _is_adapter(facts):
        return USE_ADAPTER.format(base=base, matrix=MATRIX)
    smaller = [str(dim) for dim in facts.scores["challenger"]][1:]
    return USE_MODEL.format(dims=", ".join(smaller), last=smaller[-1])


def _quality(facts: TrainingResults) -> str:
    challenger, base = means(facts.scores["challenger"]), means(facts.scores["base"])
    rows = [[str(dim), *(f"{values[metric]:.3f}" for metric in METRICS)] for dim, values in challenger.items()]
    off_the_shelf = base[max(base)][GATE]
    how = (
        "on queries that no version is ever trained on"
        if facts.verdict.kind == "held out"
        else "cross-fitted: by models made in the same way, each without the part of the queries that judged it"
    )
    return (
        f"Judged by {len(facts.qrels)} queries among {facts.data.chunks} passages, {how}. The model it was compared "
        f"with off the shelf had {GATE} {off_the_shelf:.3f}. What its makers decided: `{facts.version.summary}`\n\n"
        + table(["dimensions", *METRICS], rows)
    )


def _abstaining(facts: TrainingResults) -> str:
    measured = facts.abstaining.get("challenger")
    return f"It {measured.told()}." if measured else "No threshold was measured."


def _learnt(facts: TrainingResults) -> str:
    labels = facts.labels
    told: dict[str, object] = {
        "pairs": facts.data.pairs,
        "queries that people rated": labels.queries if labels else "none: the pairs were made from the documents",
        **{name: facts.made[name] for name in RECIPE if name in facts.made},
        "hash of pairs": facts.data.pairs_hash,
    }
    return bullets(told)


def _is_adapter(facts: TrainingResults) -> bool:
    return "adapts" in facts.made


def _base_name(facts: TrainingResults) -> str:
    """Return a name that tells nothing of this machine: on the hub, or a folder's last part."""
    return _hub_name(_reference(facts)) or Path(_reference(facts)).name


def _reference(facts: TrainingResults) -> str:
    return str(facts.made.get("adapts", facts.version.started_from))


def _hub_name(reference: str) -> str | None:
    """Return what a model is called on the hub, None for a folder."""
    if reference == BUILTIN:
        return BUILTIN_ON_HUB
    path = Path(reference).expanduser()
    if path.is_dir() or path.is_absolute() or reference.startswith("."):
        return None
    return reference if "/" in reference else f"sentence-transformers/{reference}"
