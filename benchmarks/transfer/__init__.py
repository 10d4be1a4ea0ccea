"""What is learned in one language or of one catalogue, and of use in another."""
