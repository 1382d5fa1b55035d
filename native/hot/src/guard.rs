//! What every encoder asks before it signs.

use std::sync::{Arc, Mutex, PoisonError};

use capstan_engine::command::{Command, Kind, OrderType};
use capstan_engine::instrument::Decimal;

use crate::limits::{Request, Warden};
use crate::{FreezeSwitch, Refusal};

/// An instrument as the run numbers it, with its venue's name and grid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub index: u32,
    pub symbol: String,
    pub tick: Decimal,
    pub lot: Decimal,
}

/// The freeze and, for keys that custody certified, the limits.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    switch: FreezeSwitch,
    warden: Option<Arc<Mutex<Warden>>>,
}

impl Guard {
    /// Holds to a freeze alone: for API keys, which belong to the venue's adapter.
    pub fn freeze_only(switch: FreezeSwitch) -> Self {
        Self { switch, warden: None }
    }

    /// Holds to a certificate, its allotments and a freeze.
    pub fn certified(switch: FreezeSwitch, warden: Arc<Mutex<Warden>>) -> Self {
        Self { switch, warden: Some(warden) }
    }

    /// Returns what a tick times a lot of an instrument counts; refuses what the certificate does not list, or lists otherwise.
    pub(crate) fn value_of(&self, listing: &Listing) -> Result<i128, Refusal> {
        match &self.warden {
            Some(warden) => lock(warden).certificate().value_of(&listing.symbol, listing.tick, listing.lot),
            None => Ok(0),
        }
    }

    /// Returns whether keys of this certificate are for this place (`venue/…`, `chain/…`).
    pub(crate) fn check_scope(&self, scope: &str) -> Result<(), Refusal> {
        match &self.warden {
            Some(warden) if lock(warden).certificate().scope != scope => {
                Err(Refusal::Untrusted("the certificate is for another place"))
            }
            _ => Ok(()),
        }
    }

    /// Lets a command pass and counts it. `value` is of one tick times one lot.
    pub(crate) fn permit(&self, command: &Command, value: i128, now_ns: i64) -> Result<(), Refusal> {
        let gives = command.kind == Kind::Place as u8 || command.kind == Kind::Amend as u8;
        if !gives {
            return self.permit_value(Request::TakeBack, now_ns);
        }
        if self.warden.is_none() {
            return self.permit_value(Request::Spend(0), now_ns);
        }
        if command.order_type == OrderType::Market as u8 {
            return Err(Refusal::NoValue);
        }
        let lots = i128::from(command.price) * i128::from(command.size);
        let value = lots.checked_mul(value).ok_or(Refusal::OrderLimit)?;
        self.permit_value(Request::Spend(value), now_ns)
    }

    pub(crate) fn permit_value(&self, request: Request, now_ns: i64) -> Result<(), Refusal> {
        if self.switch.is_frozen() && request != Request::TakeBack {
            return Err(Refusal::Frozen);
        }
        match &self.warden {
            Some(warden) => lock(warden).permit(request, now_ns),
            None => Ok(()),
        }
    }

    pub(crate) fn warden(&self) -> Option<&Arc<Mutex<Warden>>> {
        self.warden.as_ref()
    }
}

/// Nothing in a warden is left half changed by a panic, so a poisoned lock is as good as another.
pub(crate) fn lock(warden: &Mutex<Warden>) -> std::sync::MutexGuard<'_, Warden> {
    warden.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An amend of the kernel keeps the order's id, and its size holds what is filled already. Venues that replace the order
/// would order the filled part again; so there an amend names the new order's id in `aux[0]`, with that order's own size.
pub(crate) const AMEND_IN_PLACE: Refusal =
    Refusal::Unsupported("the venue replaces orders, it does not amend them: configure it with can_amend false");

/// Turns commands into the bytes that one venue takes.
pub trait Encoder: Send {
    /// Appends the frames of a command, signed; on a refusal none, and nothing was counted that is not said so.
    ///
    /// `now_ns` is UTC by the caller's clock; it is the request's time and what limits are held to. Commands that are none
    /// of the venue's (timers, stages) are refused as unsupported.
    fn encode(&mut self, command: &Command, now_ns: i64, out: &mut crate::Frames) -> Result<(), Refusal>;

    /// Moves the requests' time to the venue's clock.
    fn set_offset(&mut self, offset_ns: i64);

    /// Wipes the key. Nothing is signed any more.
    fn close(&mut self);
}
