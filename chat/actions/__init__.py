"""What buttons and commands do.

ask        a question -> both answers, streamed into one card
rate       thumbs, preferences and undo
scope      restrict questions to chosen documents
teach      mark the passage that answers; which question helps most
export     serve a chat as a Markdown file
options    how a person's own questions are searched and answered
passages   the panel that shows a passage in its document
own_ratings  /ratings: a rater's own ratings, with undo
rating_files  export and import ratings in the browser
review     /review: the review queue
documents  /documents and uploads
payloads   what a browser sends with each action, as pydantic models
resume     bring a thread back after a reload or a restart
"""
