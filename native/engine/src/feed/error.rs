use capstan_core::grid::GridError;
use capstan_core::json::JsonError;
use std::fmt;

/// Says why a message could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedError {
    /// Not JSON, or not the JSON such a message is made of.
    Malformed { expected: &'static str, at: usize },
    /// A price off tick, or a number that is none or too large.
    Number { what: &'static str, at: usize, why: GridError },
    /// No source has this symbol.
    UnknownSymbol(String),
    /// Fields are missing or contradict one another.
    Unexpected(&'static str),
}

impl fmt::Display for FeedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { expected, at } => write!(f, "expected {expected} at byte {at}"),
            Self::Number { what, at, why } => write!(f, "{what} at byte {at}: {why}"),
            Self::UnknownSymbol(symbol) => write!(f, "no source for symbol {symbol:?}"),
            Self::Unexpected(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for FeedError {}

impl From<JsonError> for FeedError {
    fn from(e: JsonError) -> Self {
        Self::Malformed { expected: e.expected, at: e.at }
    }
}
