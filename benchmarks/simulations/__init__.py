"""Simulations of the statistics, with a known truth: how often they are wrong, and how long they take to be right.

look_any_day  a year of daily trainings: how often the gate promotes a model that is no better
interleaving  votes that team-draft interleaving needs, compared with answers side by side
judges        what an LLM's judgements add to people's labels, and whether a lying judge misleads
"""
