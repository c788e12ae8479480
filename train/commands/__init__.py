"""What `python -m train` and its commands do: read the settings, call what does the work, print.

training  one training at a time in a home
versions  list, show, evaluate, compare, promote, rollback, push, pull
"""
