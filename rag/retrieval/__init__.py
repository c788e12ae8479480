"""Dense and hybrid search, MMR, reranking, passage search.

search          retrieve the ranked hits of one arm for a query
fusion          sum of scores, reciprocal rank fusion, maximal marginal relevance
rerank          cross-encoder reranking, shared by both arms
passage_search  search both arms and BM25 together, for a person who looks for a passage
"""
