"""A home on object storage: objects with conditional puts, leases, cached folders and files

home     what a process does with the home at an address
objects  get, list, delete, put, put-if-absent, put-if-unchanged; errors in one line
lease    locks with an owner, a time to live and a fencing token
probe    whether a store honours conditional puts
files    small files: an object and its local copy
folders  versions and reports: put when complete, fetched by hash
tables   what is remembered of LanceDB tables there, and which writes are fenced
mirror   uploads: a local folder with the same files
"""
