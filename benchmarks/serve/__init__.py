"""What asking through the server for other programs costs, beside the chat's own service."""
