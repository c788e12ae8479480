"""The command `thumbtune`, and the Python API.

__main__    the command: all programs in one
"""
