"""What each command of `python -m rag` does: read the settings, call what does the work, print.

documents  index, ask, show, stats, settings
labels     import, export, review, gaps, check
home       forget, backup, restore, copy-chats, doctor
"""
