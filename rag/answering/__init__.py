"""Prompt, LLM or extractive answer, follow-ups, the duel of both arms.

prompt         hits -> numbered passages -> messages; an answer's text -> cited numbers
token_counter  count LLM tokens with tiktoken, or estimate high
llm            the chat model behind an OpenAI-compatible endpoint, or the extractive answerer
extractive     answer by quoting sentences of the hits; no LLM
chain          the LCEL chain of one arm: retrieve | assign(answer)
query_rewrite  rewrite a follow-up question to stand alone
duel           one query -> both arms at once -> one stream of events
service        opens store, models and answerer once per process
"""
