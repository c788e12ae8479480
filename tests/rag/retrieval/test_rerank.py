"""A cross-encoder scores the candidates; a model that would rank at random is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import BadModel
from rag.retrieval.rerank import load_reranker
from rag.settings import Settings
from tiny import TINY_DIM

TEXTS = ["The cat drinks warm milk.", "The dog keeps one bone in the garden.", "water"]


def build_tiny_reranker(tiny_model: Path, folder: Path, outputs: int = 1) -> Path:
    """Write a real cross-encoder with random weights: the tiny model's BERT under a layer of `outputs` numbers."""
    import torch
    from transformers import AutoConfig, AutoTokenizer, BertForSequenceClassification

    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(tiny_model)
    config.num_labels = outputs
    BertForSequenceClassification(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    assert config.hidden_size == TINY_DIM
    return folder


def test_a_local_cross_encoder_scores_each_text_for_the_query(
    settings: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    folder = build_tiny_reranker(tiny_model, tmp_path / "tiny-reranker")
    reranker = load_reranker(str(folder), settings)
    scores = reranker.score("what drinks the cat", TEXTS)
    assert reranker.name == "tiny-reranker"
    assert len(set(scores)) == len(TEXTS)
    alone = [reranker.score("what drinks the cat", [text])[0] for text in TEXTS]
    assert scores == pytest.approx(alone, abs=1e-5)  # independent of the other texts
    assert scores != reranker.score("where is the bone", TEXTS)


def test_a_model_without_a_trained_last_layer_is_refused(settings: Settings, tiny_model: Path) -> None:
    with pytest.raises(BadModel, match=r"not a reranker, its file lacks .*: name a cross-encoder"):
        load_reranker(str(tiny_model), settings)


def test_a_classifier_of_several_classes_is_no_reranker(settings: Settings, tiny_model: Path, tmp_path: Path) -> None:
    folder = build_tiny_reranker(tiny_model, tmp_path / "classes", outputs=3)
    with pytest.raises(BadModel, match="it has 3 outputs instead of one"):
        load_reranker(str(folder), settings)


def test_a_last_layer_that_is_missing_in_the_file_is_refused(
    settings: Settings, tiny_model: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = build_tiny_reranker(tiny_model, tmp_path / "headless")
    weights = load_file(folder / "model.safetensors")
    save_file({k: v for k, v in weights.items() if not k.startswith("classifier")}, folder / "model.safetensors")
    with pytest.raises(BadModel, match=r"its file lacks classifier.bias, classifier.weight"):
        load_reranker(str(folder), settings)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("builtin", "the built-in model embeds, it does not rerank"),
        ("./nowhere", "there is no such model folder"),
        ("cross-encoder/none-such", "not in the cache, and the hub did not give it"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_reported_on_one_line(settings: Settings, reference: str, reason: str) -> None:
    with pytest.raises(BadModel, match=reason) as error:
        load_reranker(reference, settings)
    assert "\n" not in str(error.value)


def test_an_empty_folder_is_no_cross_encoder(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadModel, match="no cross-encoder loads from"):
        load_reranker(str(tmp_path / "empty"), settings)
