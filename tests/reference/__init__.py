"""Plain, readable versions of the Rust kernels: the oracles of differential tests, never part of the product."""
