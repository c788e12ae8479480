"""LanceDB tables by name, in a folder on disk or on an object store.

tables           LanceTables: open, read, upsert, delete and compact tables
backend          what depends on where tables lie, and LanceDB's errors as one line
on_disk          tables in a folder: found by listing it, synced, compacted as they age
on_object_store  tables of a shared home: remembered for a second, fenced, compacted under a lease
"""
