//! Class `KernelJournal`: the journal and the snapshot beside it, for the shell and for tests.

use std::path::PathBuf;

use capstan_engine::event::Event;
use capstan_engine::journal::{Contents, Header, Journal, JournalError};
use capstan_engine::store;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::kernel::{each_event, with_bytes};

fn failed(error: JournalError) -> PyErr {
    match error {
        JournalError::Io(error) => PyOSError::new_err(error),
        JournalError::Locked => {
            pyo3::exceptions::PyBlockingIOError::new_err("the journal is in use by another process")
        }
        other => PyValueError::new_err(other.to_string()),
    }
}

#[pyclass(module = "capstan_native")]
pub struct KernelJournal {
    journal: Journal,
    header: Header,
    snapshot: PathBuf,
    recovered: Vec<u8>,
}

#[pymethods]
impl KernelJournal {
    #[new]
    fn new(path: PathBuf, run: u16, seed: u64, config: [u8; 32]) -> PyResult<Self> {
        let header = Header { run, seed, config };
        let (journal, recovered) = Journal::open(&path, &header).map_err(failed)?;
        Ok(Self { journal, header, snapshot: path.with_extension("snapshot"), recovered })
    }

    #[getter]
    fn count(&self) -> u64 {
        self.journal.count()
    }

    #[pyo3(signature = (skip = 0))]
    fn recovered<'py>(&self, py: Python<'py>, skip: u64) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let mut events = Vec::new();
        let contents = Contents::read(&self.recovered).map_err(failed)?;
        contents.each(skip, |event: &Event, payload: &[u8]| -> PyResult<()> {
            let mut record = bytemuck::bytes_of(event).to_vec();
            record.extend_from_slice(payload);
            record.resize(record.len().next_multiple_of(64), 0);
            events.push(PyBytes::new(py, &record));
            Ok(())
        })?;
        Ok(events)
    }

    fn append(&mut self, events: &Bound<'_, PyAny>) -> PyResult<()> {
        with_bytes(events, |bytes| {
            each_event(bytes, |event, payload| self.journal.append(event, payload).map_err(failed))
        })
    }

    fn flush(&mut self) -> PyResult<()> {
        self.journal.flush().map_err(failed)
    }

    fn sync(&mut self, py: Python<'_>) -> PyResult<()> {
        let journal = &mut self.journal;
        py.detach(|| journal.sync()).map_err(failed)
    }

    /// Flushes first: a snapshot is never ahead of its journal.
    fn write_snapshot(&mut self, state: &[u8]) -> PyResult<()> {
        self.journal.flush().map_err(failed)?;
        store::write(&self.snapshot, &self.header, self.journal.count(), state).map_err(failed)
    }

    fn read_snapshot<'py>(&self, py: Python<'py>) -> Option<(u64, Bound<'py, PyBytes>)> {
        let (events, state) = store::read(&self.snapshot, &self.header)?;
        (events <= self.journal.count()).then(|| (events, PyBytes::new(py, &state)))
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<KernelJournal>()
}
