//! The buffer of kernels before v5.10: where it lies, and the numbers beside it.

use osier_memory::VirtAddr;
use osier_osi::WalkEnds;

use super::line::no_start;
use crate::guest::Guest;
use crate::symbols;

/// The largest buffer of old kernels that is believed.
const MOST_BYTES: u64 = 1 << 30;

/// The buffer of old kernels.
pub(super) struct Buffer {
    pub(super) at: VirtAddr,
    pub(super) bytes: u64,
}

impl Buffer {
    pub(super) fn read(guest: &Guest) -> Result<Self, WalkEnds> {
        let symbol = guest.symbol(symbols::log_buf);
        let symbol = symbol.ok_or_else(|| no_start("the symbol log_buf", None))?;
        let at = guest.space.read_pointer(symbol);
        let at = at.map_err(|fault| no_start(symbols::log_buf, Some(fault)))?;
        let bytes = number(guest, symbols::log_buf_len, 4)?;
        if bytes == 0 || bytes > MOST_BYTES || !guest.is_kernel_address(at) {
            return Err(no_start(
                "log_buf and log_buf_len: a buffer of the kernel",
                None,
            ));
        }
        Ok(Self { at, bytes })
    }
}

/// The number of `bytes` bytes at the symbol `name`.
pub(super) fn number(guest: &Guest, name: &'static str, bytes: usize) -> Result<u64, WalkEnds> {
    let at = guest.symbol(name);
    let at = at.ok_or_else(|| no_start("symbols of the log in the profile", None))?;
    let number = guest.space.read_uint(at, bytes);
    number.map_err(|fault| no_start(name, Some(fault)))
}
