"""What starting and serving costs, with one rater and with many at once."""
