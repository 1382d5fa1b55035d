"""What is made of strategies for people: advice, and whatever else serves a client rather than a market."""
