"""Per-request context, thread history, checks of what browsers send.

context        app state, session state and request context
payload        validation of what a browser sends with an action
incoming       socket events and action calls, checked before Chainlit reads them
roles          who may change documents, models and the ratings of others
thread_store   threads in SQLite or Postgres, by Chainlit's data layer
outage         a page is told that the chats cannot be reached
forgotten      tabs leave the threads that `rag forget` deleted
garbage        full collections of garbage wait until no question is being answered
memory         few arenas of malloc, freed memory given back
thread_search  full-text search over threads
"""
