"""Share: the tuned retriever for other programs, by OpenAI's protocol.

app            the routes, and the server of its own
access         who asks: the key of a request, its scopes and limits
keys           the keys of clients: made, stored as hashes, looked up
bodies         read a request's JSON, and refuse what is wrong with it
errors         errors in OpenAI's shape
conversation   the messages of a request -> question and earlier turns
completions    /v1/chat/completions: one arm's answer, whole or streamed
feedback       /v1/feedback: a thumb and marks from another program
retrieval      /retrieval for Dify, /v1/embeddings, /v1/rerank
metrics        numbers for Prometheus
mcp_server     tools for agents: search, ask, rate, list_documents
citations      passages as Open WebUI's sources and as OpenAI's annotations
__main__       python -m serve: serve, make and remove keys
"""
