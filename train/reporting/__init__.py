"""Report, plots, model card, metrics.json.

results     the results of a training, and its metrics.json
tables      metrics, costs and differences side by side
query_diff  the queries won and lost most
plots       plots as SVG
markdown    Markdown -> one self-contained HTML page
report      report.html
model_card  the model card of a version
portable    a model's folder in the format that all releases of sentence-transformers read
publishing  push a version to a folder or the hub; pull a model as a version
"""
