"""The model card is parsed by the hub's library and sentence-transformers, and has no user text."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from sentence_transformers import SentenceTransformer

from results import ABSTAINING, LOST, WON, facts
from train.reporting.model_card import BUILTIN_ON_HUB, EVALUATOR_NAMES, model_card
from train.reporting.results import LabelSummary, TrainingResults
from train.tuning.version_folder import CARD

MADE = {"loss": "matryoshka", "epochs": 2, "mini_batch": 0, "dims": (32, 16), "kept": "the last epoch"}


def read(given: TrainingResults) -> ModelCard:
    return ModelCard(model_card(given))


def test_the_hub_reads_what_the_model_is():
    data = read(facts(made=MADE)).data
    assert data.library_name == "sentence-transformers"
    assert data.pipeline_tag == "sentence-similarity"
    assert data.base_model == BUILTIN_ON_HUB
    assert {"sentence-transformers", "dense", "dataset_size:30", "loss:MatryoshkaLoss"} <= set(data.tags)
    assert "loss:MultipleNegativesRankingLoss" in data.tags


def test_the_hub_reads_each_metric_at_each_dimension():
    results = {(each.dataset_config, each.metric_type): each.metric_value for each in read(facts()).data.eval_results}
    assert len(results) == 2 * len(EVALUATOR_NAMES)
    assert results["dim_8", "cosine_mrr@10"] == pytest.approx(0.5625)
    assert results["dim_4", "cosine_ndcg@10"] == 0


@pytest.mark.parametrize(
    ("made", "losses"),
    [
        ({"loss": "mnrl"}, {"loss:MultipleNegativesRankingLoss"}),
        ({"loss": "matryoshka", "mini_batch": 16}, {"loss:MatryoshkaLoss", "loss:CachedMultipleNegativesRankingLoss"}),
        ({}, set()),
    ],
)
def test_the_losses_are_named_as_sentence_transformers_names_them(made, losses):
    import sentence_transformers.sentence_transformer.losses as known

    tags = {tag for tag in read(facts(made=made)).data.tags if tag.startswith("loss:")}
    assert tags == losses
    assert all(hasattr(known, tag.removeprefix("loss:")) for tag in tags)


def test_the_card_says_when_the_model_does_not_know():
    assert "It declines below a cosine of 0.600: recall 100% of 20" in model_card(facts(abstaining=ABSTAINING))
    assert "No threshold was measured." in model_card(facts())


@pytest.mark.parametrize(
    ("started_from", "base"),
    [
        ("Snowflake/snowflake-arctic-embed-m", "Snowflake/snowflake-arctic-embed-m"),
        ("all-mpnet-base-v2", "sentence-transformers/all-mpnet-base-v2"),
        ("/home/ann/secret project/model", None),
        ("./model", None),
    ],
)
def test_a_base_model_is_named_where_the_hub_has_it(started_from, base):
    card = read(facts(version=replace(facts().version, started_from=started_from)))
    assert card.data.base_model == base
    assert "/home/ann" not in card.content


def test_no_question_text_rater_or_path_is_in_a_card():
    labels = LabelSummary(
        9, {"rating": (7, 2)}, 5, 1, [(6, 0.8)], 2, 1, 1, 1, [("a private question", "a private text", "why")]
    )
    given = facts(labels=labels, made=MADE, config={"documents": "/home/ann/papers", "libraries": "torch 2"})
    text = model_card(given)
    for private in (WON, LOST, "chunk 1", "private", "/home/ann"):
        assert private not in text
    assert "rated queries: 9" in text
    assert "`pairs.jsonl` next to this card holds the training questions" in text


def test_other_peoples_text_is_no_markup_of_the_card():
    text = model_card(facts(config={"libraries": "torch 2 <b>*bold*</b> {{ 7 * 7 }}"}))
    assert r"torch 2 \<b>\*bold\*\</b> {{ 7 \* 7 }}" in text


def test_the_card_says_how_the_model_was_evaluated():
    assert "4 queries over 12 passages, none of which any version is ever trained on" in model_card(facts())
    crossed = facts(verdict=replace(facts().verdict, kind="cross-fitted"))
    assert "cross-fitted: each query by a model made in the same way" in model_card(crossed)


def test_a_model_loads_with_its_card_and_the_card_s_example_runs(tiny_model: Path, tmp_path: Path):
    folder = tmp_path / "v3"
    shutil.copytree(tiny_model, folder)
    (folder / CARD).write_text(model_card(facts(made=MADE)), "utf-8")
    assert SentenceTransformer(str(folder), device="cpu", local_files_only=True).get_embedding_dimension() == 32
    found = run_example((folder / CARD).read_text("utf-8"), "path/to/this/folder", str(folder))
    assert found["queries"].shape == (1, 32)
    assert found["chunks"].shape == (2, 32)


def test_cutting_by_the_model_normalises_afterwards_as_the_card_says(tiny_model: Path):
    model = SentenceTransformer(str(tiny_model), device="cpu", local_files_only=True, truncate_dim=16)
    vector = model.encode_query("a question", normalize_embeddings=True)
    assert vector.shape == (16,)
    assert np.linalg.norm(vector) == pytest.approx(1)


def test_the_card_of_an_adapter_names_its_model_and_its_example_runs(tiny_model: Path, tmp_path: Path, monkeypatch):
    card = read(facts(made={"adapts": str(tiny_model), "kept": "learned", "steps": 12}))
    assert card.data.library_name is None
    assert "query-adapter" in card.data.tags
    assert "sentence-transformers" not in card.data.tags
    assert str(tiny_model.parent) not in card.content
    monkeypatch.chdir(tmp_path)
    np.save("adapter.npy", np.eye(32, dtype=np.float32))
    query = run_example(card.content, tiny_model.name, str(tiny_model))["query"]
    plain = SentenceTransformer(str(tiny_model), device="cpu", local_files_only=True).encode_query("a question")
    assert query == pytest.approx(plain, abs=1e-5)


def run_example(card: str, name: str, folder: str) -> dict[str, np.ndarray]:
    """Run the code that a card shows, with a folder in the place of the name it gives, and return what it defines."""
    code = card.partition("```python\n")[2].partition("```")[0]
    defined: dict[str, np.ndarray] = {}
    exec(code.replace(f'"{name}"', repr(folder)), defined)
    return defined
