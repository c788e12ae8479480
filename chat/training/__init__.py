"""The training panel and its process.

panel           /train: labels, progress and result
process         run python -m train as a child process; find and stop it
ratings_needed  how many more ratings until a training, or a clear result, is likely
report_files    serve report.html and plots
"""
