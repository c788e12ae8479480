"""A real sentence-transformers model, small enough to be built by each test run."""

from __future__ import annotations

from pathlib import Path

WORDS = """
how do i the a to of is are in on for and or what which when where why who can not model models train training
chat chunk chunks document documents index query queries answer answers rate rating ratings thumb up down promote roll
back install run make test file files folder port key cat cats dog dogs bird birds fish sleeps eats drinks milk bone
seed water warm cold red blue green house garden river mountain night day opens closes needs shows finds stores keeps
first second third one two three four five six seven eight nine ten""".split()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
TINY_DIM, TINY_MAX_TOKENS = 32, 64  # of the model that tests build


def build_tiny_model(folder: Path, seed: int) -> None:
    """Write a tiny model to a folder, all from here: word-piece vocabulary, weights, pooling, normalisation."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    pieces += [*".,:;!?#-*`[]()\"'", *dict.fromkeys(WORDS)]
    bert = folder / "bert"
    bert.mkdir()
    (bert / "vocab.txt").write_text("\n".join(dict.fromkeys(pieces)))
    BertTokenizerFast(str(bert / "vocab.txt"), model_max_length=TINY_MAX_TOKENS).save_pretrained(bert)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(dict.fromkeys(pieces)),
        hidden_size=TINY_DIM,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=TINY_MAX_TOKENS,
    )
    BertModel(config).save_pretrained(bert)
    transformer = Transformer(str(bert), max_seq_length=TINY_MAX_TOKENS)
    pooling = Pooling(transformer.get_embedding_dimension())
    SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu").save(str(folder))
