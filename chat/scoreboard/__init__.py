"""The scoreboard page.

routes  /scoreboard, as a page and as a command
page    the page and its tables, rendered from templates/scoreboard.html
charts  charts as Plotly data
"""
