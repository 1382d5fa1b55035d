"""How the API is served: TLS, what a connection may take of us, and an end that loses no answer."""
