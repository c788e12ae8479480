"""Bring the tables up to date with the files: index runs, watch mode, uploads, background maintenance.

update       update the documents table and one vector table per model, incrementally
engine        the option --engine
on_ray        parse and embed on a Ray cluster
indexer      run the update for both arms, with progress bars; used by the command line and the chat
file_report  the report on all files: read, read in part, skipped, left out
progress     progress bars in a terminal, lines elsewhere
running      status file of a running update, for the chat
watch        index --watch: re-index when files in the documents folders change
uploads      add an uploaded file to the corpus that is served, and remove it
show         show what is read of a document and where it is cut
language_note  say once that most documents are not in the built-in model's language
maintenance  background thread of a running chat: vector indexes, notes on arms that lack documents
"""
