"""Per-request context, thread history.

context        app state, session state and request context
payload        validation of what a browser sends with an action
thread_store   threads in SQLite, by Chainlit's data layer
thread_search  full-text search over threads
"""
