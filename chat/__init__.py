"""What only the browser side needs."""
