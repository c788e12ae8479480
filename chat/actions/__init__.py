"""What buttons and commands do.

ask        a question -> both answers, streamed into one card
rate       thumbs, preferences and undo
teach      mark the passage that answers; which question helps most
export     serve a chat as a Markdown file
passages   the panel that shows a passage in its document
review     /review: the review queue
documents  /documents and uploads
payloads   what a browser sends with each action, as pydantic models
resume     bring a thread back after a reload or a restart
"""
