"""What is made around strategies for people: advice, and how much of the capital may be put to work."""
