"""Excel workbooks and CSV.

number_formats  numbers as a cell of a workbook shows them
sheet_extras    comments, charts and text boxes of a sheet
sheet_layout    hidden rows and columns, merged cells of a sheet
spreadsheet     .xlsx and .csv: rows with the names of their columns
xls             .xls of Excel 97 to 2003
xls_drawings    text boxes and the names in charts of an .xls
"""
