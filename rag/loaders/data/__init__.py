"""Files that programs write: data, markup languages of data, notebooks, subtitles.

json_yaml  JSON, JSON Lines and YAML as lines under their keys
xml        the text of an XML file, and its records
notebook   Jupyter notebooks: cells and text outputs
subtitles  SubRip and WebVTT, without a time stamp on each line
"""
