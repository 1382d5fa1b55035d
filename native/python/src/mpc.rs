use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use capstan_mpc::{Fault, Generate, Identity, Output, Refresh, Repair, Roster, Session, Share, Sign, SignRequest};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

create_exception!(capstan_native, MpcAbort, PyException);

fn abort(fault: Fault) -> PyErr {
    MpcAbort::new_err((fault.reason, fault.culprit))
}

fn bad(fault: Fault) -> PyErr {
    PyValueError::new_err(fault.reason)
}

fn array<const N: usize>(what: &str, bytes: &[u8]) -> PyResult<[u8; N]> {
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("{what} has {N} bytes, found {}", bytes.len())))
}

#[pyclass(frozen, module = "capstan_native")]
struct MpcIdentity(Identity);

#[pymethods]
impl MpcIdentity {
    #[staticmethod]
    fn generate() -> PyResult<Self> {
        Identity::generate().map(Self).map_err(bad)
    }

    #[staticmethod]
    fn open(blob: &[u8], kek: &[u8], party: u8) -> PyResult<Self> {
        let kek = array("a key-encryption key", kek)?;
        Identity::open(blob, &kek, party).map(Self).map_err(bad)
    }

    fn seal<'py>(&self, py: Python<'py>, kek: &[u8], party: u8) -> PyResult<Bound<'py, PyBytes>> {
        let kek = array("a key-encryption key", kek)?;
        let blob = self.0.seal(&kek, party).map_err(bad)?;
        Ok(PyBytes::new(py, &blob))
    }

    #[getter]
    fn public_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.public_key())
    }
}

#[pyclass(frozen, module = "capstan_native")]
struct MpcShare(Share);

#[pymethods]
impl MpcShare {
    #[staticmethod]
    fn open(blob: &[u8], kek: &[u8], wallet: &str, party: u8, epoch: u32) -> PyResult<Self> {
        let kek = array("a key-encryption key", kek)?;
        Share::open(blob, &kek, wallet, party, epoch).map(Self).map_err(bad)
    }

    fn seal<'py>(&self, py: Python<'py>, kek: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let kek = array("a key-encryption key", kek)?;
        Ok(PyBytes::new(py, &self.0.seal(&kek).map_err(bad)?))
    }

    fn public_key<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.public_key(path).map_err(bad)?))
    }

    #[getter]
    fn chain_code<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.chain_code())
    }

    #[getter]
    fn wallet(&self) -> &str {
        self.0.wallet()
    }

    #[getter]
    fn epoch(&self) -> u32 {
        self.0.epoch()
    }

    #[getter]
    fn party(&self) -> u8 {
        self.0.index()
    }

    #[getter]
    fn threshold(&self) -> u8 {
        self.0.threshold()
    }

    #[getter]
    fn parties(&self) -> u8 {
        self.0.parties()
    }
}

#[pyclass(frozen, module = "capstan_native")]
struct MpcSession(Mutex<Session>);

impl MpcSession {
    fn lock(&self) -> MutexGuard<'_, Session> {
        // A panic inside a step is caught there; a poisoned lock holds a session that has ended.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn made(session: Result<Session, Fault>) -> PyResult<Self> {
        Ok(Self(Mutex::new(session.map_err(bad)?)))
    }
}

fn roster(identity: &MpcIdentity, party: u8, peers: BTreeMap<u8, Vec<u8>>) -> PyResult<Roster> {
    let peers = peers
        .into_iter()
        .map(|(peer, key)| Ok((peer, array("a peer's public key", &key)?)))
        .collect::<PyResult<_>>()?;
    Ok(Roster { identity: identity.0.clone(), party, peers })
}

#[pymethods]
impl MpcSession {
    #[staticmethod]
    fn generate(
        identity: &MpcIdentity,
        party: u8,
        peers: BTreeMap<u8, Vec<u8>>,
        wallet: &str,
        threshold: u8,
        attempt: &[u8],
    ) -> PyResult<Self> {
        let roster = roster(identity, party, peers)?;
        Self::made(Generate::session(wallet, threshold, roster, attempt))
    }

    #[staticmethod]
    fn refresh(
        identity: &MpcIdentity,
        share: &MpcShare,
        peers: BTreeMap<u8, Vec<u8>>,
        attempt: &[u8],
    ) -> PyResult<Self> {
        let roster = roster(identity, share.0.index(), peers)?;
        Self::made(Refresh::session(&share.0, roster, attempt))
    }

    #[staticmethod]
    #[pyo3(signature = (identity, party, share, peers, wallet, epoch, target, attempt))]
    #[allow(clippy::too_many_arguments)]
    fn repair(
        identity: &MpcIdentity,
        party: u8,
        share: Option<&MpcShare>,
        peers: BTreeMap<u8, Vec<u8>>,
        wallet: &str,
        epoch: u32,
        target: u8,
        attempt: &[u8],
    ) -> PyResult<Self> {
        let roster = roster(identity, party, peers)?;
        let share = share.map(|share| &share.0);
        Self::made(Repair::session(share, roster, wallet, epoch, target, attempt))
    }

    #[staticmethod]
    fn sign(
        identity: &MpcIdentity,
        share: &MpcShare,
        peers: BTreeMap<u8, Vec<u8>>,
        path: &str,
        digest: &[u8],
        attempt: &[u8],
    ) -> PyResult<Self> {
        let roster = roster(identity, share.0.index(), peers)?;
        let request = SignRequest { path, digest: array("a digest", digest)?, attempt };
        Self::made(Sign::session(&share.0, roster, &request))
    }

    #[getter]
    fn session_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.lock().id())
    }

    #[getter]
    fn is_done(&self) -> bool {
        self.lock().is_done()
    }

    fn step<'py>(&self, py: Python<'py>, inbound: Vec<Vec<u8>>) -> PyResult<Vec<(u8, Bound<'py, PyBytes>)>> {
        let outbound = py.detach(|| self.lock().step(&inbound)).map_err(abort)?;
        Ok(outbound.into_iter().map(|(to, envelope)| (to, PyBytes::new(py, &envelope))).collect())
    }

    fn take_share(&self) -> PyResult<MpcShare> {
        match self.lock().take_output() {
            Some(Output::Share(share)) => Ok(MpcShare(*share)),
            _ => Err(PyValueError::new_err("the session has no share to give")),
        }
    }

    fn take_signature<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        match self.lock().take_output() {
            Some(Output::Signature(signature)) => Ok(PyBytes::new(py, &signature)),
            _ => Err(PyValueError::new_err("the session has no signature to give")),
        }
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("MpcAbort", m.py().get_type::<MpcAbort>())?;
    m.add_class::<MpcIdentity>()?;
    m.add_class::<MpcShare>()?;
    m.add_class::<MpcSession>()
}
