//! `_KUSER_SHARED_DATA`: the page that the kernel shows to every process, with the time and the version.
//!
//! Source: `ntddk.h` of the Windows Driver Kit, which gives its address (`KI_USER_SHARED_DATA`) and members.

use osier_memory::{AddressSpace, VirtAddr};
use osier_osi::{Absent, Seen};

/// The page's address, the same in every Windows since NT 3.5.
const PLACE_64: VirtAddr = VirtAddr(0xffff_f780_0000_0000);
const PLACE_32: VirtAddr = VirtAddr(0xffdf_0000);

/// `NtMajorVersion` and `NtMinorVersion`, in the same place since Windows 2000.
const MAJOR_VERSION: u64 = 0x26c;
const MINOR_VERSION: u64 = 0x270;

/// `NtProductType`, likewise.
const PRODUCT_TYPE: u64 = 0x264;
/// `SystemCallReturn`, of 32-bit systems since XP: where a system call comes back to.
pub(crate) const SYSTEM_CALL_RETURN: u64 = 0x304;

/// Where the page lies in the kernel's half.
pub(crate) fn place(space: &AddressSpace) -> VirtAddr {
    match space.mode().pointer_bytes() {
        4 => PLACE_32,
        _ => PLACE_64,
    }
}

/// `NtProductType`.
pub(crate) fn product(space: &AddressSpace) -> Seen<u32> {
    let at = place(space).plus(PRODUCT_TYPE);
    match space.read_uint(at, 4)? {
        product @ 1..=3 => Ok(product as u32),
        other => {
            let rule = "a system is a workstation, a domain controller or a server: 1 to 3";
            Err(Absent::implausible(other, rule, Some(at)))
        }
    }
}

/// Major and minor version of the system, 5.0 to 10.0 as yet; `None` where the page cannot be read or shows
/// nothing like it.
pub(crate) fn version(space: &AddressSpace) -> Option<(u32, u32)> {
    let number = |offset| {
        let word = space.read_uint(place(space).plus(offset), 4).ok()?;
        u32::try_from(word).ok()
    };
    let (major, minor) = (number(MAJOR_VERSION)?, number(MINOR_VERSION)?);
    ((4..=20).contains(&major) && minor < 10).then_some((major, minor))
}
