"""Answering: prompt, LLM or extractive answer, follow-up questions, the duel of both arms.

prompt            build the prompt from the hits: no fence, no template token, nothing invisible in them
token_counter     count LLM tokens with tiktoken, or estimate high
llm               chat model behind an OpenAI-compatible endpoint, retries, error messages; extractive answerer
reply_limits      a stream ends as a complete answer, a whole reply within a time and a size; tokens joined
local_llm         a GGUF model by llama.cpp's server in this process
extractive        answer by quoting sentences of the hits; no LLM
sentence_vectors  vectors of sentences: cached, and embedded ahead
quotable          what may be quoted of a passage: sentences, list items, table rows, code blocks
chain             LCEL chain of one arm: retrieve | assign(answer), with abstention below a cosine
query_rewrite     rewrite a follow-up question to stand alone
duel              run both arms concurrently for one query, as one stream of events
options           what a person may choose for their own questions; both arms get the same
service           opens store, models and answerer once per process
evidence/         what an answer rests on: citations, attributed passages, refusals; cleaning of its text
"""
