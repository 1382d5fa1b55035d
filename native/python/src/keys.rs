use capstan_keys::{address, complete, keccak256, Envelope, Fault, SigningKey};
use pyo3::exceptions::{PyArithmeticError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use zeroize::Zeroizing;

fn error(fault: Fault) -> PyErr {
    match fault {
        Fault::NotAKey => PyValueError::new_err("a private key lies between zero and the curve's order"),
        Fault::UnknownType => PyValueError::new_err("transactions of type 0, 1, 2 and 4 are signed"),
        Fault::NotRecovered => PyArithmeticError::new_err("the signature does not recover to its own key"),
    }
}

fn array<const N: usize>(what: &str, bytes: &[u8]) -> PyResult<[u8; N]> {
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("{what} has {N} bytes, found {}", bytes.len())))
}

// The interpreter lock is kept while signing: it takes 50 us, and another thread may keep the lock for 5 ms.
#[pyclass(frozen, module = "capstan_native", name = "SigningKey")]
struct PySigningKey(SigningKey);

#[pymethods]
impl PySigningKey {
    #[new]
    fn new(secret: &[u8]) -> PyResult<Self> {
        let secret = Zeroizing::new(array("a private key", secret)?);
        SigningKey::new(&secret).map(Self).map_err(error)
    }

    #[getter]
    fn public_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.public_key())
    }

    fn reveal<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.reveal().as_ref())
    }

    fn sign_digest_unchecked<'py>(&self, py: Python<'py>, digest: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let signature = self.0.sign_digest_unchecked(&array("a digest", digest)?).map_err(error)?;
        Ok(PyBytes::new(py, &signature))
    }

    fn sign_transaction<'py>(
        &self,
        py: Python<'py>,
        kind: u8,
        chain_id: u64,
        body: &[u8],
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)> {
        let envelope = Envelope::new(kind, chain_id).map_err(error)?;
        let raw = self.0.sign_transaction(envelope, body).map_err(error)?;
        Ok((PyBytes::new(py, &raw), PyBytes::new(py, &keccak256(&raw))))
    }
}

#[pyfunction]
fn complete_signature<'py>(
    py: Python<'py>,
    raw: &[u8],
    digest: &[u8],
    public_key: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let (raw, digest) = (array("a device's signature", raw)?, array("a digest", digest)?);
    let bytes = complete(&raw, &digest, &array("a public key", public_key)?).map_err(error)?;
    Ok(PyBytes::new(py, &bytes))
}

#[pyfunction(name = "keccak256")]
fn py_keccak256<'py>(py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &keccak256(data))
}

#[pyfunction]
fn address_of(public_key: &[u8]) -> PyResult<String> {
    Ok(address(&array("a public key", public_key)?))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PySigningKey>()?;
    m.add_function(wrap_pyfunction!(complete_signature, m)?)?;
    m.add_function(wrap_pyfunction!(py_keccak256, m)?)?;
    m.add_function(wrap_pyfunction!(address_of, m)?)
}
