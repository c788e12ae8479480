"""SERVE: ingest -> index -> retrieve -> answer -> rate."""
