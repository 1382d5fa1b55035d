//! Memory that Rust fills and NumPy looks at, and cells that the interpreter lock guards.

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_void, CStr};
use std::ptr;

use bytemuck::Pod;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PySlice;

/// A value that is touched by the thread that holds the interpreter lock, or, while a strategy is not being called, by
/// the one thread that owns the strategy.
pub struct GilCell<T>(UnsafeCell<T>);

// SAFETY: `with` and `get` are reached through the two owners named above only, one at a time: a strategy's owner calls
// Python while it waits itself, and Python code runs under the lock.
unsafe impl<T: Send> Sync for GilCell<T> {}

impl<T> GilCell<T> {
    pub fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Lends the value; `f` must not reach the same cell again.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: see `Sync` above; none of the closures in this crate calls back into Python or the same cell.
        f(unsafe { &mut *self.0.get() })
    }
}

impl<T: Copy> GilCell<T> {
    #[inline]
    pub fn get(&self) -> T {
        // SAFETY: as for `with`.
        unsafe { *self.0.get() }
    }
}

/// A fixed run of records whose address never changes. NumPy arrays over it keep it alive.
#[pyclass(frozen, module = "capstan_native")]
pub struct Memory {
    bytes: GilCell<Box<[u64]>>,
    length: usize,
}

impl Memory {
    /// Returns zeroed memory for `count` records.
    pub fn new<T: Pod>(count: usize) -> Self {
        let length = count * std::mem::size_of::<T>();
        Self { bytes: GilCell::new(vec![0; length.div_ceil(8)].into_boxed_slice()), length }
    }

    /// Lends the records to fill.
    #[inline]
    pub fn fill<T: Pod, R>(&self, f: impl FnOnce(&mut [T]) -> R) -> R {
        self.bytes.with(|words| {
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(words);
            f(bytemuck::cast_slice_mut(&mut bytes[..self.length]))
        })
    }
}

const BYTES: &CStr = c"B";

#[pymethods]
impl Memory {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        if flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
            return Err(PyBufferError::new_err("the kernel's memory is for reading"));
        }
        let memory = slf.get();
        // SAFETY: the caller gave a Py_buffer to fill; the memory lives as long as `obj`, which the view now owns.
        unsafe {
            (*view).buf = memory.bytes.with(|words| words.as_mut_ptr()).cast::<c_void>();
            (*view).len = memory.length as isize;
            (*view).readonly = 1;
            (*view).itemsize = 1;
            (*view).format = if flags & ffi::PyBUF_FORMAT == ffi::PyBUF_FORMAT {
                BYTES.as_ptr().cast_mut()
            } else {
                ptr::null_mut::<c_char>()
            };
            (*view).ndim = 1;
            (*view).shape = if flags & ffi::PyBUF_ND == ffi::PyBUF_ND { &raw mut (*view).len } else { ptr::null_mut() };
            (*view).strides = if flags & ffi::PyBUF_STRIDES == ffi::PyBUF_STRIDES {
                &raw mut (*view).itemsize
            } else {
                ptr::null_mut()
            };
            (*view).suboffsets = ptr::null_mut();
            (*view).internal = ptr::null_mut();
            (*view).obj = slf.into_any().into_ptr();
        }
        Ok(())
    }
}

/// A NumPy array over a [`Memory`], and its beginnings of every length that was asked for, made once each.
pub struct Window {
    memory: Py<Memory>,
    array: Py<PyAny>,
    heads: GilCell<Vec<Option<Py<PyAny>>>>,
}

impl Window {
    /// Returns a window of `count` records; `dtype` and `shape` are NumPy's.
    pub fn new<T: Pod>(py: Python<'_>, count: usize, dtype: &Bound<'_, PyAny>, columns: usize) -> PyResult<Self> {
        let memory = Py::new(py, Memory::new::<T>(count))?;
        let numpy = py.import("numpy")?;
        let mut array = numpy.call_method1("frombuffer", (&memory, dtype))?;
        if columns > 1 {
            array = array.call_method1("reshape", (-1, columns))?;
        }
        let rows = array.len()?;
        let heads = GilCell::new((0..=rows).map(|_| None).collect());
        Ok(Self { memory, array: array.unbind(), heads })
    }

    #[inline]
    pub fn fill<T: Pod, R>(&self, f: impl FnOnce(&mut [T]) -> R) -> R {
        self.memory.get().fill(f)
    }

    /// Returns the first `rows` rows, as a view.
    pub fn head<'py>(&self, py: Python<'py>, rows: usize) -> PyResult<Bound<'py, PyAny>> {
        if let Some(known) = self.heads.with(|heads| heads[rows].as_ref().map(|head| head.clone_ref(py))) {
            return Ok(known.into_bound(py));
        }
        let made = self.array.bind(py).get_item(PySlice::new(py, 0, rows as isize, 1))?;
        let kept = made.clone().unbind();
        self.heads.with(|heads| heads[rows] = Some(kept));
        Ok(made)
    }
}
