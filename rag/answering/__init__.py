"""Answering: prompt, LLM or extractive answer, follow-up questions, the duel of both arms.

prompt         build the prompt from the hits
citations      read citations in every form that models write, and write them in one
cleaning       clean what a model wrote: template tokens, fence marks, dead links; loops
refusals       recognise an abstention in whatever words
attribution    find the passage that an uncited statement was drawn from; unsupported citations
words          words of a text, without endings, for comparing
token_counter  count LLM tokens with tiktoken, or estimate high
llm            chat model behind an OpenAI-compatible endpoint, retries, error messages; extractive answerer
local_llm      a GGUF model by llama.cpp's server in this process
extractive     answer by quoting sentences of the hits; no LLM
quotable       what may be quoted of a passage: sentences, list items, table rows, code blocks
chain          LCEL chain of one arm: retrieve | assign(answer), with abstention below a cosine
query_rewrite  rewrite a follow-up question to stand alone
duel           run both arms concurrently for one query, as one stream of events
service        opens store, models and answerer once per process
"""
