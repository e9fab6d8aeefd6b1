//! One piece of what a compressed file is a row of, and what its own sums say against it.

use std::io::Read;

/// One member, which gives its unpacked bytes and then nothing more.
pub(super) trait Member: Read {
    /// The file offset of what was not used: after the end, of what is behind the member.
    fn offset(&self) -> u64;

    /// After the end: whether the member is whole, and has the bytes that its checksums stand for.
    ///
    /// # Errors
    ///
    /// What contradicts what. [`Doubt::Bytes`] leaves the length right, so that the next member
    /// lies where it should.
    fn check(&mut self) -> Result<(), Doubt>;
}

/// What a decoder of ours says; those of libraries speak of their inside.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Own(pub(super) String);

/// What a member's own sums say against it.
pub(super) enum Doubt {
    /// As many bytes as there should be, but others.
    Bytes(String),
    /// Too few bytes, or too many.
    Length(String),
}

/// The word on a checksum that differs.
pub(super) fn differs(name: &str, sum: u32, wanted: u32) -> Result<(), Doubt> {
    if sum == wanted {
        return Ok(());
    }
    let text = format!("its {name} is {sum:#010x} and should be {wanted:#010x}");
    Err(Doubt::Bytes(text))
}
