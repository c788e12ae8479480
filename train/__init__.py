"""Learn: pairs from ratings -> fine-tuning -> evaluation -> promote or keep.

synthetic         questions from documents or by an LLM
dataset           pairs -> train/test split, hard negatives
tuning            fine-tuning, query adapter, checkpoint selection
judging           evaluation, abstention threshold, precision, the promotion gate
reporting         report, plots, model card, metrics.json
pipeline          one training, start to end
session           state of one training: serving models, challenger and per-fold models
context           settings, store, registry, corpus and chunks, as one value
progress          stage, progress bars and time left, published for the chat
chunk_vectors     the vectors of all chunks, on disk where there are many; exact search in blocks
recipe            epochs, batch size and learning rate from the number of pairs; label weights
compare_versions  evaluate, compare, list and show versions
compare_settings  compare two ways to search: models, hybrid search, rerankers, chunk sizes
commands          what the command line does
__main__          python -m train: train; list, show, evaluate, compare, promote, rollback
"""
