"""Metrics, confidence intervals, win rates, Bradley-Terry, scoreboard numbers.

metrics        hit_rate@k, mrr@k, ndcg@k
intervals      paired bootstrap, Wilson intervals, how many more queries would decide
win_rates      blind duels: how often raters preferred tuned to base
bradley_terry  model strengths from duel results
agreement      Krippendorff's alpha between raters
coverage       which documents the questions reach
scoreboard     all numbers of the scoreboard
"""
