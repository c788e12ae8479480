"""The scoreboard page.

routes  /scoreboard, as a page and as a command
page    the page, from the numbers
charts  charts as Plotly data
html    HTML pieces, escaped
"""
