"""Evaluation, abstention threshold, precision, the promotion gate.

evaluate           models x held-out queries -> metrics over the whole corpus, per dimension
contenders         base, champion and challenger for every split; retrained where pairs would leak
fusion_weight      learn a model's weight in hybrid search, cross-fitted
abstention         the cosine below which a model abstains, and how often that is right
serving_precision  the fastest precision within 0.005 ndcg@10 of fp32
pinned             pins that a promotion would break
gate               promote or keep, from the metrics; pure
promotion          build the new index, then swap the registry
"""
