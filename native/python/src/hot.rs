//! Hot keys, their limits, and the encoders of orders.

use std::sync::{Arc, Mutex, PoisonError};

use capstan_engine::command::Command;
use capstan_engine::instrument::Decimal;
use capstan_hot::{binance, evm, hyperliquid, keys};
use capstan_hot::{Encoder, Frames, FreezeSwitch, Guard, Key, Listing, Refusal, Warden};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use zeroize::Zeroizing;

create_exception!(capstan_native, SigningRefused, PyException, "Nothing was signed. Its arguments: rule, reason.");

pub fn refused(refusal: Refusal) -> PyErr {
    match refusal {
        Refusal::Malformed(what) => PyValueError::new_err(what),
        refusal => SigningRefused::new_err((refusal.rule(), refusal.to_string())),
    }
}

fn array<const N: usize>(what: &str, bytes: &[u8]) -> PyResult<[u8; N]> {
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("{what} has {N} bytes, found {}", bytes.len())))
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A key until a signer takes it.
#[pyclass(frozen, module = "capstan_native", name = "HotKey")]
pub struct PyHotKey {
    key: Mutex<Option<Key>>,
    #[pyo3(get)]
    name: String,
}

#[pymethods]
impl PyHotKey {
    #[new]
    fn new(kind: &str, secret: String) -> PyResult<Self> {
        let secret = Zeroizing::new(secret);
        let key = keys::read(kind, &secret).map_err(refused)?;
        Ok(Self { name: key.name(), key: Mutex::new(Some(key)) })
    }

    fn __repr__(&self) -> String {
        format!("HotKey({}, ***)", self.name.split(':').next().unwrap_or(""))
    }
}

impl PyHotKey {
    fn take(&self) -> PyResult<Key> {
        lock(&self.key).take().ok_or_else(|| PyValueError::new_err("the key was given to a signer already"))
    }
}

#[pyclass(frozen, module = "capstan_native", name = "FreezeSwitch")]
#[derive(Clone)]
pub struct PyFreezeSwitch(FreezeSwitch);

#[pymethods]
impl PyFreezeSwitch {
    #[new]
    fn new() -> Self {
        Self(FreezeSwitch::default())
    }

    fn freeze(&self) {
        self.0.freeze();
    }

    #[getter]
    fn is_frozen(&self) -> bool {
        self.0.is_frozen()
    }
}

#[pyclass(frozen, module = "capstan_native", name = "SessionWarden")]
pub struct PyWarden {
    warden: Arc<Mutex<Warden>>,
    switch: FreezeSwitch,
}

#[pymethods]
impl PyWarden {
    #[new]
    fn new(
        certificate: &[u8],
        signature: &[u8],
        authority: &[u8],
        key: &PyHotKey,
        switch: &PyFreezeSwitch,
    ) -> PyResult<Self> {
        let (signature, authority) = (array("a signature", signature)?, array("an authority's key", authority)?);
        let warden = Warden::new(certificate, &signature, authority, &key.name, switch.0.clone()).map_err(refused)?;
        Ok(Self { warden: Arc::new(Mutex::new(warden)), switch: switch.0.clone() })
    }

    #[getter]
    fn key_id(&self) -> u64 {
        lock(&self.warden).certificate().id
    }

    #[getter]
    fn instance(&self) -> String {
        lock(&self.warden).instance()
    }

    fn allot(&self, allotment: &[u8], signature: &[u8], now_ns: i64) -> PyResult<()> {
        lock(&self.warden).allot(allotment, &array("a signature", signature)?, now_ns).map_err(refused)
    }

    fn allotted(&self, now_ns: i64) -> (i128, u32) {
        lock(&self.warden).allotted(now_ns)
    }

    fn newest(&self, now_ns: i64) -> Option<(u64, i128, u32, i64)> {
        lock(&self.warden).newest(now_ns)
    }

    #[getter]
    fn is_closed(&self) -> bool {
        lock(&self.warden).is_closed()
    }
}

fn guard(switch: Option<&PyFreezeSwitch>, warden: Option<&PyWarden>) -> PyResult<Guard> {
    match (switch, warden) {
        (Some(switch), None) => Ok(Guard::freeze_only(switch.0.clone())),
        (None, Some(warden)) => Ok(Guard::certified(warden.switch.clone(), warden.warden.clone())),
        _ => Err(PyValueError::new_err("a signer has a warden, or else a switch")),
    }
}

type Instrument = (u32, String, i64, u8, i64, u8);

fn listing((index, symbol, tick_digits, tick_scale, lot_digits, lot_scale): Instrument) -> Listing {
    Listing {
        index,
        symbol,
        tick: Decimal { digits: tick_digits, scale: tick_scale },
        lot: Decimal { digits: lot_digits, scale: lot_scale },
    }
}

pub type Shared = Arc<Mutex<dyn Encoder>>;

enum Venue {
    Binance(Arc<Mutex<binance::Binance>>),
    Hyperliquid(Arc<Mutex<hyperliquid::Hyperliquid>>),
}

/// One account at one venue.
#[pyclass(frozen, module = "capstan_native", name = "OrderSigner")]
pub struct PyOrderSigner {
    venue: Venue,
    frames: Mutex<Frames>,
}

impl PyOrderSigner {
    fn new(venue: Venue) -> Self {
        Self { venue, frames: Mutex::new(Frames::new()) }
    }

    pub fn shared(&self) -> Shared {
        match &self.venue {
            Venue::Binance(encoder) => encoder.clone(),
            Venue::Hyperliquid(encoder) => encoder.clone(),
        }
    }
}

#[pymethods]
impl PyOrderSigner {
    #[staticmethod]
    #[pyo3(signature = (venue, key, instruments, *, door, api_key, host="", recv_window_ms=5_000, switch=None, warden=None))]
    #[allow(clippy::too_many_arguments)]
    fn binance(
        venue: String,
        key: &PyHotKey,
        instruments: Vec<Instrument>,
        door: &str,
        api_key: String,
        host: &str,
        recv_window_ms: u32,
        switch: Option<&PyFreezeSwitch>,
        warden: Option<&PyWarden>,
    ) -> PyResult<Self> {
        let door = match door {
            "rest" => binance::Door::Rest { host: host.to_owned() },
            "websocket" => binance::Door::WebSocket,
            "session" => binance::Door::Session,
            _ => return Err(PyValueError::new_err("doors are rest, websocket and session")),
        };
        let instruments = instruments.into_iter().map(listing).collect();
        let config = binance::Config { venue, door, api_key, recv_window_ms, instruments };
        let guard = guard(switch, warden)?;
        let encoder = binance::Binance::new(config, key.take()?, guard).map_err(refused)?;
        Ok(Self::new(Venue::Binance(Arc::new(Mutex::new(encoder)))))
    }

    #[staticmethod]
    #[pyo3(signature = (venue, key, instruments, *, warden, host=None, is_mainnet=false))]
    fn hyperliquid(
        venue: String,
        key: &PyHotKey,
        instruments: Vec<(Instrument, u32)>,
        warden: &PyWarden,
        host: Option<String>,
        is_mainnet: bool,
    ) -> PyResult<Self> {
        let instruments = instruments.into_iter().map(|(instrument, asset)| (listing(instrument), asset)).collect();
        let config = hyperliquid::Config { venue, is_mainnet, host, instruments };
        let guard = guard(None, Some(warden))?;
        let encoder = hyperliquid::Hyperliquid::new(config, key.take()?, guard).map_err(refused)?;
        Ok(Self::new(Venue::Hyperliquid(Arc::new(Mutex::new(encoder)))))
    }

    // The interpreter lock is kept: it takes microseconds, and another thread may keep the lock for 5 ms.
    fn encode<'py>(&self, py: Python<'py>, command: &[u8], now_ns: i64) -> PyResult<Bound<'py, PyList>> {
        let command: Command = bytemuck::try_pod_read_unaligned(command)
            .map_err(|_| PyValueError::new_err("a command is a record of 64 bytes"))?;
        let mut frames = lock(&self.frames);
        frames.clear();
        let shared = self.shared();
        let mut encoder = shared.lock().unwrap_or_else(PoisonError::into_inner);
        encoder.encode(&command, now_ns, &mut frames).map_err(refused)?;
        PyList::new(py, frames.iter().map(|frame| PyBytes::new(py, frame)))
    }

    fn logon<'py>(&self, py: Python<'py>, now_ns: i64) -> PyResult<Bound<'py, PyBytes>> {
        let Venue::Binance(encoder) = &self.venue else {
            return Err(refused(Refusal::Unsupported("only sessions log on")));
        };
        let mut frames = Frames::new();
        lock(encoder).logon(now_ns, &mut frames).map_err(refused)?;
        let frame = frames.iter().next().unwrap_or_default();
        Ok(PyBytes::new(py, frame))
    }

    fn set_offset(&self, offset_ns: i64) {
        let shared = self.shared();
        let mut encoder = shared.lock().unwrap_or_else(PoisonError::into_inner);
        encoder.set_offset(offset_ns);
    }

    fn close(&self) {
        let shared = self.shared();
        let mut encoder = shared.lock().unwrap_or_else(PoisonError::into_inner);
        encoder.close();
    }
}

/// One account's calls on one chain.
#[pyclass(frozen, module = "capstan_native", name = "ContractCaller")]
struct PyContractCaller(Mutex<evm::Caller>);

#[pymethods]
impl PyContractCaller {
    #[new]
    fn new(chain_id: u64, key: &PyHotKey, warden: &PyWarden) -> PyResult<Self> {
        let guard = guard(None, Some(warden))?;
        Ok(Self(Mutex::new(evm::Caller::new(chain_id, key.take()?, guard).map_err(refused)?)))
    }

    #[pyo3(signature = (*, nonce, to, value_wei, data, gas_limit, max_fee_per_gas_wei, max_priority_fee_per_gas_wei, now_ns))]
    #[allow(clippy::too_many_arguments)]
    fn sign<'py>(
        &self,
        py: Python<'py>,
        nonce: u64,
        to: &[u8],
        value_wei: u128,
        data: &[u8],
        gas_limit: u64,
        max_fee_per_gas_wei: u128,
        max_priority_fee_per_gas_wei: u128,
        now_ns: i64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let to = array("an address", to)?;
        let call =
            evm::Call { nonce, to, value_wei, data, gas_limit, max_fee_per_gas_wei, max_priority_fee_per_gas_wei };
        let mut frames = Frames::new();
        lock(&self.0).sign(&call, now_ns, &mut frames).map_err(refused)?;
        let frame = frames.iter().next().unwrap_or_default();
        Ok(PyBytes::new(py, frame))
    }

    fn close(&self) {
        lock(&self.0).close();
    }
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("SigningRefused", m.py().get_type::<SigningRefused>())?;
    m.add_class::<PyHotKey>()?;
    m.add_class::<PyFreezeSwitch>()?;
    m.add_class::<PyWarden>()?;
    m.add_class::<PyOrderSigner>()?;
    m.add_class::<PyContractCaller>()
}
