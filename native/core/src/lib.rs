//! Capstan's hot path, on the standard library alone.
#![forbid(unsafe_code)]
