"""Show: the browser side, on Chainlit.

web         sign-in, cookies, security headers
elements    the comparison card and the other live elements
session     per-request context, thread history
actions     what buttons and commands do
training    the training panel and its process
scoreboard  the scoreboard page
language    texts of the screen in the browser's language
passwords   python -m chat.passwords: the file of names and password hashes
__main__    python -m chat: index, bootstrap, open the chat
"""

from rag.deferred import defer

defer("traceloop.sdk", "Traceloop")  # before any module here imports Chainlit
