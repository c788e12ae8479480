"""Bring the tables up to date; watch; uploads; maintenance.

update       update the documents table and one vector table per model, only where something changed
indexer      run the update for both arms, with progress; used by the command line and the chat
watch        index --watch: follow the documents folders
uploads      add an uploaded file to the corpus, and remove it
maintenance  background work of a running chat: vector indexes, and arms that lack documents
"""
