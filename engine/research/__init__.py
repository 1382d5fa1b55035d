"""Research: what a result is worth. Statistics, walk-forward, search, Monte-Carlo, and the check for look-ahead."""
