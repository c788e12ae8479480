"""Serve: documents -> index -> retrieval -> answers -> ratings.

loaders          file formats -> text
ingest           documents folder -> documents -> chunks
store            LanceDB tables and their indexes
models           embedding models, their versions, and which serves each arm
indexing         bring the tables up to date
retrieval        query -> ranked hits
answering        hits -> answers; both arms at once
feedback         ratings -> labels -> training pairs
evaluation       metrics, confidence intervals, win rates, scoreboard numbers
upkeep           find and repair damage, back up and restore, a person's data
tracing          spans for OpenTelemetry, votes as scores; off by default
web              what every web server here needs: hosts and origins, rate limits
settings         every setting, read once from the environment and .env
records          the frozen dataclasses that travel between stages
columns          answers and ratings by columns, for statistics of many
groups           which raters share a retriever of their own
home             the home folder's format, and who may read it
errors           errors a user can fix, printed as one line
deferred         import a package without what it loads and nothing here uses
heading_path     the headings above a chunk, within its token budget
languages        the language of a text, by its script and stop words
training_status  status file of the current or last training
commands         what each command does
__main__         python -m rag: index, ask, stats, import, export, forget, back up, restore, doctor
"""
