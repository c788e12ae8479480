"""Fine-tuning, query adapter, checkpoint selection.

trainer               MatryoshkaLoss around MultipleNegativesRankingLoss
checkpoint_selection  which checkpoint is kept; step 0 is a candidate
reporters             loss and learning rate to experiment trackers, by transformers' integrations
hybrid_teacher        what hybrid search makes of queries that nobody labelled
distillation          a matrix for queries, taught by that
query_adapter         a matrix for queries, distilled, then trained in seconds on cached vectors
challenger            pairs -> a challenger, fine-tuned or adapted
version_folder        what a version's folder holds: weights, pairs, recipe, card
"""
