//! Why nothing was signed.

/// A key's or an encoder's no. Nothing was sent, and what was counted before a fault stays counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The key was wiped.
    Closed,
    /// Only what takes orders back is signed.
    Frozen,
    /// The certificate is over, or not begun.
    NotValidNow,
    /// The certificate does not list this instrument or call.
    NotListed,
    /// One order's value is above the certificate's limit.
    OrderLimit,
    /// The window's total value would be above the certificate's limit.
    WindowLimit,
    /// The window's number of orders would be.
    WindowCount,
    /// Custody's allotment is used up or over.
    NoAllotment,
    /// A market order has no value that a limit could be held to.
    NoValue,
    /// The venue has no such request.
    Unsupported(&'static str),
    /// Not a price, size, instrument or id that can be written.
    Malformed(&'static str),
    /// A key, certificate or allotment is not what it should be.
    Untrusted(&'static str),
    /// The signature does not verify: a fault of the machine.
    Fault,
}

impl Refusal {
    /// Returns the rule's name, as custody names its own.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Frozen => "frozen",
            Self::NotValidNow => "expired",
            Self::NotListed => "not-listed",
            Self::OrderLimit => "amount",
            Self::WindowLimit => "velocity",
            Self::WindowCount => "count",
            Self::NoAllotment => "allotment",
            Self::NoValue => "no-value",
            Self::Unsupported(_) => "unsupported",
            Self::Malformed(_) => "malformed",
            Self::Untrusted(_) => "untrusted",
            Self::Fault => "fault",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the key was wiped"),
            Self::Frozen => f.write_str("the signer is frozen: only cancels are signed"),
            Self::NotValidNow => f.write_str("the key's certificate is not valid now"),
            Self::NotListed => f.write_str("the key's certificate does not list it"),
            Self::OrderLimit => f.write_str("more than one order may be worth under the key's certificate"),
            Self::WindowLimit => f.write_str("more than the window may be worth under the key's certificate"),
            Self::WindowCount => f.write_str("more orders than the window may hold under the key's certificate"),
            Self::NoAllotment => f.write_str("custody's allotment is used up or over"),
            Self::NoValue => f.write_str("a market order has no value that a limit could be held to"),
            Self::Unsupported(what) | Self::Malformed(what) | Self::Untrusted(what) => f.write_str(what),
            Self::Fault => f.write_str("the signature does not verify"),
        }
    }
}

impl std::error::Error for Refusal {}
