"""What indexing and searching cost and find, compared with named peers."""
