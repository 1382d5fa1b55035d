//! The live path for Python: one object that is fed what sockets received.

use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::Zeroable;
use capstan_engine::command::Command;
use capstan_engine::event::{Event, PAYLOAD};
use capstan_engine::feed::Outcome;
use capstan_hot::live::{LiveError, LivePath as Core};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::book::DecodeError;
use crate::feed::{decoder, SourceRow};
use crate::hot::PyOrderSigner;
use crate::kernel::KernelBroken;
use crate::sdk::{self, Failure};

const RECORD: usize = std::mem::size_of::<Event>();

fn error(why: LiveError) -> PyErr {
    match why {
        LiveError::Feed(why) => DecodeError::new_err(why.to_string()),
        LiveError::Broken(why) => KernelBroken::new_err(why.to_string()),
        LiveError::Payload => PyValueError::new_err("an event's payload is not as long as it says"),
    }
}

#[pyclass(module = "capstan_native")]
struct LivePath {
    /// Never locked: Python's borrow of the whole object is exclusive. It makes the object one that threads may share.
    core: Mutex<Core>,
    failure: Arc<Failure>,
}

impl LivePath {
    fn core(&mut self) -> &mut Core {
        self.core.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn frames<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.failure.check()?;
        PyList::new(py, self.core().frames().map(|(venue, frame)| (venue, PyBytes::new(py, frame))))
    }
}

#[pymethods]
impl LivePath {
    #[new]
    fn new(
        py: Python<'_>,
        config: &Bound<'_, PyAny>,
        strategies: Vec<Bound<'_, PyAny>>,
        sources: Vec<SourceRow>,
        signers: Vec<(u16, PyRef<'_, PyOrderSigner>)>,
    ) -> PyResult<Self> {
        let failure = Arc::new(Failure::default());
        let engine = sdk::engine(py, config, strategies, &[], &failure, &Arc::new(sdk::Signals::unkept()))?;
        let mut core = Core::new(engine, decoder(sources)?);
        for (venue, signer) in signers {
            if !core.set_encoder(venue, signer.shared()) {
                return Err(PyValueError::new_err(format!("the configuration has no venue {venue}")));
            }
        }
        Ok(Self { core: Mutex::new(core), failure })
    }

    // The interpreter lock is kept: it takes microseconds, and a Python strategy wants it anyway.
    #[pyo3(signature = (message, now_ns, asked=None))]
    fn on_message<'py>(
        &mut self,
        py: Python<'py>,
        message: &[u8],
        now_ns: i64,
        asked: Option<u32>,
    ) -> PyResult<(&'static str, Bound<'py, PyList>)> {
        let outcome = match self.core().on_message(message, now_ns, asked).map_err(error)? {
            Outcome::Events => "events",
            Outcome::Old => "old",
            Outcome::Kept => "kept",
            Outcome::Gap => "gap",
            Outcome::TooOld => "too_old",
            Outcome::Ignored => "ignored",
        };
        Ok((outcome, self.frames(py)?))
    }

    fn on_event<'py>(&mut self, py: Python<'py>, record: &[u8]) -> PyResult<Bound<'py, PyList>> {
        let (head, rest) = record
            .split_first_chunk::<RECORD>()
            .ok_or_else(|| PyValueError::new_err("an event is a record of 64 bytes, then its payload"))?;
        let mut event = Event::zeroed();
        bytemuck::bytes_of_mut(&mut event).copy_from_slice(head);
        // In journals payloads are padded to whole records; so they may be here.
        let length = if event.flags & PAYLOAD == 0 { 0 } else { usize::try_from(event.aux[1]).unwrap_or(usize::MAX) };
        let is_whole = rest.len() == length || length.checked_next_multiple_of(RECORD) == Some(rest.len());
        if !is_whole {
            return Err(error(LiveError::Payload));
        }
        self.core().on_event(&event, &rest[..length]).map_err(error)?;
        self.frames(py)
    }

    fn on_disconnected<'py>(&mut self, py: Python<'py>, now_ns: i64) -> PyResult<Bound<'py, PyList>> {
        self.core().on_disconnected(now_ns).map_err(error)?;
        self.frames(py)
    }

    #[getter]
    fn commands<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, bytemuck::cast_slice::<Command, u8>(self.core().commands()))
    }

    #[getter]
    fn refused(&mut self) -> Vec<(u64, &'static str, String)> {
        let refused = self.core().refused().iter();
        refused.map(|refused| (refused.command.client_id, refused.why.rule(), refused.why.to_string())).collect()
    }

    fn take_journal<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let journal = PyBytes::new(py, self.core().journal());
        self.core().clear_journal();
        journal
    }

    fn digest<'py>(&mut self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.core().engine.kernel.digest())
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<LivePath>()
}
