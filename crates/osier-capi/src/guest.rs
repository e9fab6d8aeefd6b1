//! A guest, as C holds it, and what a program says to open one.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use osier::{AddressSpace, OsKind, PhysAddr, VirtAddr};

use crate::error::{Error, ErrorKind, text};

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
}

/// A snapshot whose kernel was found.
#[derive(Clone, Debug)]
pub struct Guest {
    pub(crate) guest: osier::Guest,
    kernel: CString,
}

impl Guest {
    pub(crate) fn open(path: &CStr, said: &Said<'_>) -> Result<Self, Error> {
        let (mut open, mut attach) = (osier::Open::new(), osier::Attach::new());
        if let Some(file) = said.profile {
            attach = attach.profile(path_of(file));
        }
        if let Some(folder) = said.profiles {
            attach = attach.profiles(path_of(folder));
        }
        if let Some(os) = said.os {
            let os = os.to_str();
            let os =
                os.map_err(|_| Error::new(ErrorKind::Usage, "the system's name is not UTF-8"))?;
            attach = attach.os(os);
        }
        if let Some(folder) = said.cache {
            open = open.cache(path_of(folder));
            attach = attach.cache(path_of(folder));
        }
        if let Some(file) = said.registers {
            open = open.registers(path_of(file));
        }
        if let Some(root) = said.table_root {
            attach = attach.table_root(PhysAddr(root));
        }
        if said.no_shipped {
            attach = attach.no_shipped();
        }
        if said.infer {
            attach = attach.infer();
        }
        let guest = attach.to(open.open(path_of(path))?)?;
        let kernel = text(guest.kernel().banner.clone());
        Ok(Self { guest, kernel })
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
