"""What strategies and research compute of prices: each an incremental class, and a function over whole arrays."""
