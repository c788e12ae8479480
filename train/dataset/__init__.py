"""Pairs -> train/test split, hard negatives.

gather              collect labels, chunks and questions from the tables
split               held-out queries, by a hash of the normalised query
folds               cross-fitting: with few labels every rated query is tested once
plan                the training plan that --dry-run prints
hard_negatives      mine one hard negative per pair
unanswerable        questions without an answer, to set the abstention threshold
generate_questions  confirm the cost, then let the LLM write questions
"""
