//! The kernel's types, as far as the profile keeps them, and objects in memory.

use std::sync::{Arc, Mutex, PoisonError};

use osier::osier_profile::{Kind, TypeKind};
use osier::{AddressSpace, Fault, Profile, VirtAddr};
use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::errors::{fault, plain};
use crate::held::Held;
use crate::memory::WINDOW;

/// Elements of an array that are read.
const ELEMENTS: u64 = 1 << 16;

/// A member of a structure or union.
#[pyclass(frozen, get_all, module = "pyosier", eq)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its name.
    name: String,
    /// Bytes from the start of the type.
    offset: i64,
    /// Its size in bytes; of a bit field, of its storage; 0 when the source does not say.
    size: u64,
    /// Of a bit field: its first bit from the least significant one, and its width.
    bits: Option<(u8, u8)>,
    /// What it holds: int, unsigned, pointer, struct, array or unknown.
    kind: &'static str,
    /// The type that it points to or holds; empty when the profile does not name it.
    of: String,
    /// Elements of an array.
    count: u64,
}

impl Member {
    fn new(member: &osier::osier_profile::Member) -> Self {
        let (kind, of) = kind(&member.kind);
        Self {
            name: member.name.clone(),
            offset: member.offset,
            size: member.bytes,
            bits: member.bits,
            kind,
            of: of.to_owned(),
            count: match &member.kind {
                Kind::Array { count, .. } => *count,
                _ => 0,
            },
        }
    }
}

/// The word of what a member holds, and the type that is named.
fn kind(kind_of: &Kind) -> (&'static str, &str) {
    match kind_of {
        Kind::Int { signed: true } => ("int", ""),
        Kind::Int { signed: false } => ("unsigned", ""),
        Kind::Pointer { to } => ("pointer", to),
        Kind::Embedded { name } => ("struct", name),
        Kind::Array { of, .. } => ("array", kind(of).1),
        Kind::Unknown => ("unknown", ""),
    }
}

#[pymethods]
impl Member {
    fn __repr__(&self) -> String {
        let (name, offset, size, kind) = (&self.name, self.offset, self.size, self.kind);
        format!(
            "Member(name='{name}', offset={offset}, size={size}, kind='{kind}', of='{}')",
            self.of
        )
    }
}

/// A structure or union of the kernel, as far as the profile keeps it.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Type(Arc<Profile>, String);

/// The type called `name`.
pub(crate) fn find<'a>(
    py: Python<'_>,
    profile: &'a Profile,
    name: &str,
) -> PyResult<&'a osier::osier_profile::Type> {
    profile.find_type(name).ok_or_else(|| {
        let name = osier_text::visible(name);
        plain(
            py,
            "UnknownNameError",
            format!("the profile has no type {name}"),
        )
    })
}

impl Type {
    pub(crate) fn new(py: Python<'_>, profile: &Arc<Profile>, name: &str) -> PyResult<Self> {
        find(py, profile, name)?;
        Ok(Self(profile.clone(), name.to_owned()))
    }
}

#[pymethods]
impl Type {
    /// The name, without struct.
    #[getter]
    fn name(&self) -> &str {
        &self.1
    }

    /// The size in bytes; 0 when the source does not say.
    #[getter]
    fn size(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(find(py, &self.0, &self.1)?.bytes)
    }

    /// struct or union.
    #[getter]
    fn kind(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(match find(py, &self.0, &self.1)?.kind {
            TypeKind::Struct => "struct",
            TypeKind::Union => "union",
        })
    }

    /// The members that the profile keeps, by name.
    #[getter]
    fn members<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let members = PyDict::new(py);
        for member in find(py, &self.0, &self.1)?.members() {
            members.set_item(&member.name, Member::new(member))?;
        }
        Ok(members)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (kind, name, size) = (self.kind(py)?, &self.1, self.size(py)?);
        Ok(format!("<{kind} {name}, {size} bytes>"))
    }
}

/// A structure in the guest's memory. Its members are attributes, and read when they are asked for.
///
/// Integers are int, pointers to a type that the profile keeps are objects (None when they are null) and
/// other pointers addresses, structures are objects, arrays of bytes are bytes and other arrays lists.
/// What is no member ends in an underscore.
#[pyclass(frozen, module = "pyosier")]
pub(crate) struct Object {
    held: Held,
    profile: Arc<Profile>,
    /// Its translations are one thread's at a time.
    space: Arc<Mutex<AddressSpace>>,
    name: String,
    at: VirtAddr,
}

impl Object {
    pub(crate) fn new(
        py: Python<'_>,
        (held, profile): (Held, Arc<Profile>),
        space: AddressSpace,
        name: &str,
        at: u64,
    ) -> PyResult<Self> {
        find(py, &profile, name)?;
        Ok(Self {
            held,
            profile,
            space: Arc::new(Mutex::new(space)),
            name: name.to_owned(),
            at: VirtAddr(at),
        })
    }

    fn other(&self, name: &str, at: VirtAddr) -> Self {
        Self {
            held: self.held.clone(),
            profile: self.profile.clone(),
            space: self.space.clone(),
            name: name.to_owned(),
            at,
        }
    }

    fn with<T>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(&AddressSpace) -> Result<T, Fault>,
    ) -> PyResult<T> {
        self.held.guest(py)?;
        // Reading a value is short, so that it is done attached; the lock is let go of before anything else.
        let space = self.space.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read(&space).map_err(|why| fault(py, why));
        drop(space);
        self.held.sound(py, read)
    }

    fn bytes<'py>(&self, py: Python<'py>, at: VirtAddr, size: u64) -> PyResult<Bound<'py, PyAny>> {
        let read = self.with(py, |space| {
            let mut bytes = vec![0; size.min(WINDOW) as usize];
            space.read(at, &mut bytes)?;
            Ok(bytes)
        })?;
        Ok(PyBytes::new(py, &read).into_any())
    }

    fn value<'py>(
        &self,
        py: Python<'py>,
        kind: &Kind,
        at: VirtAddr,
        (size, bits): (u64, Option<(u8, u8)>),
    ) -> PyResult<Bound<'py, PyAny>> {
        let width = size as usize;
        let known = |name: &str| self.profile.find_type(name).is_some();
        match kind {
            Kind::Int { signed } if (1..=8).contains(&width) => {
                let raw = self.with(py, |space| space.read_uint(at, width))?;
                let storage = u32::from(u8::try_from(width).unwrap_or(8)).saturating_mul(8);
                let (first, count) = bits.map_or((0, storage), |(first, count)| {
                    (u32::from(first), u32::from(count).clamp(1, 64))
                });
                let raw = raw.checked_shr(first).unwrap_or(0);
                let unused = 64_u32.saturating_sub(count);
                let raw = raw.wrapping_shl(unused);
                Ok(if *signed {
                    let value = raw.cast_signed().wrapping_shr(unused);
                    value.into_pyobject(py)?.into_any()
                } else {
                    raw.wrapping_shr(unused).into_pyobject(py)?.into_any()
                })
            }
            Kind::Pointer { to } => {
                let to_at = self.with(py, |space| space.read_pointer(at))?;
                if !known(to) {
                    return Ok(to_at.0.into_pyobject(py)?.into_any());
                }
                if to_at.is_null() {
                    return Ok(py.None().into_bound(py));
                }
                Ok(Bound::new(py, self.other(to, to_at))?.into_any())
            }
            Kind::Embedded { name } if known(name) => {
                Ok(Bound::new(py, self.other(name, at))?.into_any())
            }
            Kind::Array { of, count } if *count > 0 && **of != Kind::Unknown => {
                let element = size.checked_div(*count).unwrap_or(0);
                if element <= 1 {
                    return self.bytes(py, at, size);
                }
                let elements = PyList::empty(py);
                for nth in 0..(*count).min(ELEMENTS) {
                    let place = at.plus(nth.saturating_mul(element));
                    elements.append(self.value(py, of, place, (element, None))?)?;
                }
                Ok(elements.into_any())
            }
            Kind::Unknown if matches!(width, 1 | 2 | 4 | 8) => {
                let raw = self.with(py, |space| space.read_uint(at, width))?;
                Ok(raw.into_pyobject(py)?.into_any())
            }
            _ => self.bytes(py, at, size),
        }
    }

    fn member<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(member) = find(py, &self.profile, &self.name)?.member(name) else {
            return Ok(None);
        };
        let at = VirtAddr(self.at.0.wrapping_add_signed(member.offset));
        let value = self.value(py, &member.kind, at, (member.bytes, member.bits))?;
        Ok(Some(value))
    }
}

#[pymethods]
impl Object {
    /// The address.
    #[getter]
    const fn address_(&self) -> u64 {
        self.at.0
    }

    /// The type.
    #[getter]
    fn type_(&self, py: Python<'_>) -> PyResult<Type> {
        Type::new(py, &self.profile, &self.name)
    }

    fn __getattr__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.member(py, name)?.ok_or_else(|| {
            let wrong = format!("the profile has no member {name} of {}", self.name);
            PyAttributeError::new_err(wrong)
        })
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        self.member(py, name)?.ok_or_else(|| {
            let wrong = format!("the profile has no member {name} of {}", self.name);
            plain(py, "UnknownNameError", wrong)
        })
    }

    fn __dir__(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let members = find(py, &self.profile, &self.name)?.members().iter();
        let names = members.map(|member| member.name.clone());
        Ok(names
            .chain(["address_".to_owned(), "type_".to_owned()])
            .collect())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| {
            let other = other.get();
            self.name == other.name && self.at == other.at
        })
    }

    const fn __hash__(&self) -> u64 {
        self.at.0
    }

    fn __repr__(&self) -> String {
        format!("<{} at {:#x}>", self.name, self.at.0)
    }
}
