"""What indexing and searching cost and find, beside named peers."""
