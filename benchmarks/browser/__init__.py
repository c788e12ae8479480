"""What the card costs a browser; screenshots and drawings for the docs."""
