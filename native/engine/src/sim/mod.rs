//! The simulator: venues that answer the kernel's commands as the recorded market would have.

pub mod draw;
pub mod pool_venue;
