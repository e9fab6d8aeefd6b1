//! A guest, as C holds it, and what a program says to open one.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use osier::{AddressSpace, OsKind, PhysAddr, VirtAddr};

use crate::error::{Error, ErrorKind, text};
use crate::reached::Reached;

/// What is known of a snapshot before it is opened. All zeros, but for `struct_size`, is nothing.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// `sizeof(osier_options)`, as the program was compiled with it.
    pub struct_size: usize,
    /// The kernel's profile or symbols: a file; or NULL.
    pub profile: *const c_char,
    /// A folder with profiles; or NULL.
    pub profiles: *const c_char,
    /// The operating system, as PANDA's `-os` names it; or NULL.
    pub os: *const c_char,
    /// A folder for what is kept between runs; or NULL, and nothing is kept.
    pub cache: *const c_char,
    /// A file with registers; or NULL.
    pub registers: *const c_char,
    /// Physical address of a page-table root, when `has_table_root`.
    pub table_root: u64,
    /// Not 0 when `table_root` is said.
    pub has_table_root: u8,
    /// Not 0 to leave aside the profiles that come with Osier.
    pub no_shipped: u8,
    /// Not 0 to infer the structures of a Linux kernel that has neither types nor a profile. What its memory
    /// does not prove is absent.
    pub infer: u8,
    /// Not 0 to read a snapshot behind an address to its end where that is needed.
    pub search: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            profile: ptr::null(),
            profiles: ptr::null(),
            os: ptr::null(),
            cache: ptr::null(),
            registers: ptr::null(),
            table_root: 0,
            has_table_root: 0,
            no_shipped: 0,
            infer: 0,
            search: 0,
        }
    }
}

/// What a program said, in Rust's words.
#[derive(Debug, Default)]
pub(crate) struct Said<'a> {
    pub(crate) profile: Option<&'a CStr>,
    pub(crate) profiles: Option<&'a CStr>,
    pub(crate) os: Option<&'a CStr>,
    pub(crate) cache: Option<&'a CStr>,
    pub(crate) registers: Option<&'a CStr>,
    pub(crate) table_root: Option<u64>,
    pub(crate) no_shipped: bool,
    pub(crate) infer: bool,
    pub(crate) search: bool,
}

/// A snapshot whose kernel was found.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_field_names,
    reason = "C's guest stands for the engine's"
)]
pub struct Guest {
    pub(crate) guest: osier::Guest,
    pub(crate) reached: Reached,
    kernel: CString,
}

impl Guest {
    pub(crate) fn open(path: &CStr, said: &Said<'_>) -> Result<Self, Error> {
        let os = said.os.map(CStr::to_str).transpose();
        let os = os.map_err(|_| Error::new(ErrorKind::Usage, "the system's name is not UTF-8"))?;
        let owned = |path: &CStr| path_of(path).to_owned();
        let cache = said.cache.map(owned);
        let reached = Reached::new(cache.as_deref(), said.search);
        let options = osier::Options {
            reach: reached.reach(),
            profile: said.profile.map(owned),
            profiles: said.profiles.map(owned).into_iter().collect(),
            os: os.map(str::to_owned),
            cache,
            registers: said.registers.map(owned),
            table_root: said.table_root.map(PhysAddr),
            no_shipped: said.no_shipped,
            infer: said.infer,
            ..osier::Options::default()
        };
        let opened = osier::Guest::open(path_of(path), &options);
        let guest = reached.opened(opened)?;
        let kernel = text(guest.kernel().banner.clone());
        Ok(Self {
            guest,
            reached,
            kernel,
        })
    }

    /// The kernel's banner or build string.
    pub(crate) fn kernel(&self) -> &CStr {
        &self.kernel
    }

    pub(crate) fn is_windows(&self) -> bool {
        self.guest.kernel().os == OsKind::Windows
    }

    /// Fills `into` with the bytes at `address`: of the process at `of`, or as the kernel sees them.
    pub(crate) fn read(
        &self,
        of: Option<VirtAddr>,
        address: u64,
        into: &mut [u8],
    ) -> Result<(), Error> {
        let read = self.memory(of, address, into);
        self.reached.sound()?;
        read
    }

    fn memory(&self, of: Option<VirtAddr>, address: u64, into: &mut [u8]) -> Result<(), Error> {
        let osi = self.guest.provider();
        let read = |space: &AddressSpace, into: &mut [u8]| {
            space
                .read(VirtAddr(address), into)
                .map_err(|fault| Error::new(ErrorKind::Fault, fault.to_string()))
        };
        match of {
            None => read(osi.kernel_space(), into),
            Some(taskd) => {
                let space = osi.address_space(taskd);
                let space =
                    space.map_err(|absent| Error::new(ErrorKind::Fault, absent.to_string()))?;
                read(&space, into)
            }
        }
    }
}

fn path_of(text: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(text.to_bytes()))
}
