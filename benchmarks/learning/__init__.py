"""What learning gains: labels, ratings, noise, cold start."""
