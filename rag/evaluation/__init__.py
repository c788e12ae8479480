"""Evaluation: retrieval metrics, confidence intervals, win rates, Bradley-Terry, scoreboard numbers.

metrics        hit_rate@k, mrr@k and ndcg@k per query; unjudged hits
intervals      paired bootstrap, Wilson intervals, number of queries needed for significance
evidence       what the trainings against one champion showed so far, as e-values
sequential     tests that hold at every look: e-values of a difference, confidence sequences of win rates
same_answers   identical and near-identical answers
duel_columns   duels of answers and ratings by columns: who won each
win_rates      blind duels: how often raters preferred the tuned arm
bradley_terry  model strengths from duel results
agreement      Krippendorff's alpha between raters
gaps           what the documents lack: unanswered questions by subject
coverage       which documents the queries reach, and which queries have no answer
scoreboard     all numbers of the scoreboard
"""
