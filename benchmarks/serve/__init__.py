"""What asking through the server for other programs costs and teaches, beside the chat's own service."""
