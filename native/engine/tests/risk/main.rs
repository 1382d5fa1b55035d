//! The gate: one claim a rule, then the stages.

mod rules;
mod stages;
mod world;
