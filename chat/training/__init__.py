"""The training panel and its process.

panel           /train: labels, progress and result
first_start     index and train the first model in the background of an open chat
process         run python -m train as a child process; find and stop it
ratings_needed  how many more ratings until a training, or a clear result, is likely
report_files    serve report.html and plots
"""
