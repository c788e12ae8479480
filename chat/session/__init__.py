"""Per-request context, thread history.

context        app state, session state and request context
thread_store   threads in SQLite, by Chainlit's data layer
thread_search  full-text search over threads
"""
