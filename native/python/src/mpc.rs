use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use capstan_mpc::{
    frost, AnyShare, Fault, Identity, Kind, Lost, Output, Presign, Presignature, Roster, Session, Sign, SignRequest,
};
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
struct MpcShare(AnyShare);

#[pymethods]
impl MpcShare {
    #[staticmethod]
    #[pyo3(signature = (blob, kek, wallet, party, epoch, kind="secp256k1"))]
    fn open(blob: &[u8], kek: &[u8], wallet: &str, party: u8, epoch: u32, kind: &str) -> PyResult<Self> {
        let kek = array("a key-encryption key", kek)?;
        let kind = Kind::of(kind).map_err(bad)?;
        AnyShare::open(blob, &kek, kind, wallet, party, epoch).map(Self).map_err(bad)
    }

    fn seal<'py>(&self, py: Python<'py>, kek: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let kek = array("a key-encryption key", kek)?;
        Ok(PyBytes::new(py, &self.0.seal(&kek).map_err(bad)?))
    }

    fn public_key<'py>(&self, py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.public_key(path).map_err(bad)?))
    }

    #[getter]
    fn chain_code<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        match &self.0 {
            AnyShare::Secp256k1(share) => Ok(PyBytes::new(py, &share.chain_code())),
            AnyShare::Ed25519(_) => Err(PyValueError::new_err("an Ed25519 key has no chain code")),
        }
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind().name()
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
struct MpcPresignature(Mutex<Option<Presignature>>, [u8; 32]);

#[pymethods]
impl MpcPresignature {
    #[getter]
    fn presignature_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.1)
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
    #[pyo3(signature = (identity, party, peers, wallet, threshold, attempt, kind="secp256k1"))]
    fn generate(
        identity: &MpcIdentity,
        party: u8,
        peers: BTreeMap<u8, Vec<u8>>,
        wallet: &str,
        threshold: u8,
        attempt: &[u8],
        kind: &str,
    ) -> PyResult<Self> {
        let roster = roster(identity, party, peers)?;
        Self::made(Kind::of(kind).and_then(|kind| capstan_mpc::generate(kind, wallet, threshold, roster, attempt)))
    }

    #[staticmethod]
    fn refresh(
        identity: &MpcIdentity,
        share: &MpcShare,
        peers: BTreeMap<u8, Vec<u8>>,
        attempt: &[u8],
    ) -> PyResult<Self> {
        let roster = roster(identity, share.0.index(), peers)?;
        Self::made(share.0.refresh(roster, attempt))
    }

    #[staticmethod]
    #[pyo3(signature = (identity, party, share, peers, wallet, epoch, target, attempt, kind="secp256k1"))]
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
        kind: &str,
    ) -> PyResult<Self> {
        let roster = roster(identity, party, peers)?;
        let lost = Lost { kind: Kind::of(kind).map_err(bad)?, wallet, epoch, target };
        Self::made(capstan_mpc::repair(share.map(|share| &share.0), roster, &lost, attempt))
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
        match &share.0 {
            AnyShare::Secp256k1(share) => Self::made(Sign::session(share, roster, &request)),
            AnyShare::Ed25519(_) => Err(PyValueError::new_err("an Ed25519 key signs messages, not digests")),
        }
    }

    #[staticmethod]
    fn presign(
        identity: &MpcIdentity,
        share: &MpcShare,
        peers: BTreeMap<u8, Vec<u8>>,
        path: &str,
        attempt: &[u8],
    ) -> PyResult<Self> {
        let roster = roster(identity, share.0.index(), peers)?;
        match &share.0 {
            AnyShare::Secp256k1(share) => Self::made(Presign::session(share, roster, path, attempt)),
            AnyShare::Ed25519(_) => Err(PyValueError::new_err("an Ed25519 key has no presignatures")),
        }
    }

    #[staticmethod]
    fn sign_presigned(
        identity: &MpcIdentity,
        presignature: &MpcPresignature,
        party: u8,
        peers: BTreeMap<u8, Vec<u8>>,
        digest: &[u8],
        attempt: &[u8],
    ) -> PyResult<Self> {
        let roster = roster(identity, party, peers)?;
        let digest = array("a digest", digest)?;
        // Taken whatever comes of it: it is there once.
        let taken = presignature.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        let taken = taken.ok_or_else(|| PyValueError::new_err("the presignature was used"))?;
        Self::made(taken.sign(roster, digest, attempt))
    }

    #[staticmethod]
    fn sign_ed25519(
        identity: &MpcIdentity,
        share: &MpcShare,
        peers: BTreeMap<u8, Vec<u8>>,
        message: &[u8],
        attempt: &[u8],
    ) -> PyResult<Self> {
        let roster = roster(identity, share.0.index(), peers)?;
        match &share.0 {
            AnyShare::Ed25519(share) => Self::made(frost::Sign::session(share, roster, message, attempt)),
            AnyShare::Secp256k1(_) => Err(PyValueError::new_err("the share is not of an Ed25519 key")),
        }
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
        let share = self.lock().take_output().and_then(AnyShare::from_output);
        share.map(MpcShare).ok_or_else(|| PyValueError::new_err("the session has no share to give"))
    }

    fn take_presignature(&self) -> PyResult<MpcPresignature> {
        match self.lock().take_output() {
            Some(Output::Presignature(made)) => {
                let id = made.id();
                Ok(MpcPresignature(Mutex::new(Some(*made)), id))
            }
            _ => Err(PyValueError::new_err("the session has no presignature to give")),
        }
    }

    fn take_signature<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        match self.lock().take_output() {
            Some(Output::Signature(signature)) => Ok(PyBytes::new(py, &signature)),
            Some(Output::Ed25519Signature(signature)) => Ok(PyBytes::new(py, &signature)),
            _ => Err(PyValueError::new_err("the session has no signature to give")),
        }
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("MpcAbort", m.py().get_type::<MpcAbort>())?;
    m.add_class::<MpcIdentity>()?;
    m.add_class::<MpcShare>()?;
    m.add_class::<MpcPresignature>()?;
    m.add_class::<MpcSession>()
}
