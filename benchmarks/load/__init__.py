"""What starting and serving costs."""
