"""Labels in and out as files.

import_export   labels in and out
jsonl           labels as JSON Lines
pair_files      pairs and triplets in the columns of sentence-transformers
argilla_dataset labels as a dataset of Argilla
beir            labels as a BEIR folder
label_files     read and write label files, all or nothing
programs        ratings exported by Open WebUI, LangSmith, Langfuse and Argilla
"""
