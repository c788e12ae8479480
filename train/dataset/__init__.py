"""Pairs -> train/test split, hard negatives.

gather              collect labels, chunks and questions from the tables
held_out            which queries are held out: groups that share a passage, by a hash
earlier_versions    what earlier versions were trained on and what was held out from them
split               train/test split of the pairs, without leaks
synthetic_split     which queries made from documents judge a bootstrap: by passages
near_duplicates     texts that are nearly the same; groups of queries that share one
folds               cross-fitting: with few labels every rated query is tested once
plan                the training plan that --dry-run prints
hard_negatives      mine one hard negative per pair
unanswerable        questions without an answer, to set the abstention threshold
generate_questions  confirm the cost, then let the LLM write questions
"""
