//! A resolved member: where it lies, how wide it is, how to read it.

use std::marker::PhantomData;

use osier_memory::{AddressSpace, Cause, Fault, VirtAddr};

use crate::{Kind, Member};

/// A resolved member of a kernel structure, read as a `T`.
#[derive(Debug)]
pub struct Field<T> {
    /// Offset in bytes from the start of the structure.
    pub offset: i64,
    /// Bytes to read; 0 for an embedded structure whose size the source does not give.
    pub bytes: u64,
    /// A bit field's first bit and width.
    pub bits: Option<(u8, u8)>,
    /// Whether its place is known.
    known: bool,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Field<T> {}

/// An unsigned integer.
#[derive(Debug)]
pub enum UInt {}
/// A signed integer.
#[derive(Debug)]
pub enum SInt {}
/// A pointer, to the kernel structure that `S` names for the reader's sake.
#[derive(Debug)]
pub struct Ptr<S>(PhantomData<fn() -> S>);
/// A structure or array held in place; only its address is taken.
#[derive(Debug)]
pub struct Embed<S>(PhantomData<fn() -> S>);
/// An integer or bit field, read unsigned.
#[derive(Debug)]
pub enum Bits {}

/// What a field of a layout accepts.
pub trait FieldKind {
    /// What it wants, in words, for the error.
    const WANTS: &'static str;
    /// Whether a member of this kind and size can be read so.
    fn accepts(member: &Member) -> bool;
}

fn integer_sized(member: &Member) -> bool {
    matches!(member.bytes, 1 | 2 | 4 | 8) && member.bits.is_none()
}

impl FieldKind for UInt {
    const WANTS: &'static str = "an integer of 1, 2, 4 or 8 bytes";
    fn accepts(member: &Member) -> bool {
        // A structure of one integer (kuid_t, atomic_t, spinlock_t) reads as that integer.
        integer_sized(member)
    }
}

impl FieldKind for SInt {
    const WANTS: &'static str = "an integer of 1, 2, 4 or 8 bytes";
    fn accepts(member: &Member) -> bool {
        integer_sized(member)
    }
}

impl FieldKind for Bits {
    const WANTS: &'static str = "an integer or a bit field";
    fn accepts(member: &Member) -> bool {
        matches!(member.bytes, 1..=8)
    }
}

impl<S> FieldKind for Ptr<S> {
    const WANTS: &'static str = "a pointer";
    fn accepts(member: &Member) -> bool {
        matches!(
            member.kind,
            Kind::Pointer { .. } | Kind::Int { .. } | Kind::Unknown
        ) && matches!(member.bytes, 4 | 8)
    }
}

impl<S> FieldKind for Embed<S> {
    const WANTS: &'static str = "a structure, union or array held in place";
    fn accepts(_: &Member) -> bool {
        true
    }
}

impl<T> Field<T> {
    /// A field at a known place.
    pub const fn at(offset: i64, bytes: u64, bits: Option<(u8, u8)>) -> Self {
        Self {
            offset,
            bytes,
            bits,
            known: true,
            kind: PhantomData,
        }
    }

    /// A field whose place nobody knows: each read of it is the fault [`Cause::NotInferred`].
    pub const fn unknown() -> Self {
        Self {
            offset: 0,
            bytes: 0,
            bits: None,
            known: false,
            kind: PhantomData,
        }
    }

    /// The member's address in the structure at `base`.
    pub const fn place(&self, base: VirtAddr) -> VirtAddr {
        base.plus(self.offset.cast_unsigned())
    }

    /// The structure whose member of this kind is at `member`: the kernel's `container_of`.
    pub const fn container(&self, member: VirtAddr) -> VirtAddr {
        member.minus(self.offset.cast_unsigned())
    }

    fn raw(&self, space: &AddressSpace, base: VirtAddr) -> Result<u64, Fault> {
        if !self.known {
            return Err(Fault::new(Cause::NotInferred));
        }
        let raw = space.read_uint(self.place(base), self.bytes.min(8) as usize)?;
        Ok(match self.bits {
            Some((first, width)) if width < 64 => {
                let mask = (1_u64 << width).wrapping_sub(1);
                raw.checked_shr(u32::from(first)).unwrap_or(0) & mask
            }
            _ => raw,
        })
    }
}

impl Field<UInt> {
    /// Reads the integer in the structure at `base`.
    ///
    /// # Errors
    ///
    /// The fault of the member's bytes.
    pub fn read(&self, space: &AddressSpace, base: VirtAddr) -> Result<u64, Fault> {
        self.raw(space, base)
    }
}

impl Field<Bits> {
    /// Reads the integer or bit field in the structure at `base`.
    ///
    /// # Errors
    ///
    /// The fault of the member's bytes.
    pub fn read(&self, space: &AddressSpace, base: VirtAddr) -> Result<u64, Fault> {
        self.raw(space, base)
    }
}

impl Field<SInt> {
    /// Reads the integer in the structure at `base`, sign-extended.
    ///
    /// # Errors
    ///
    /// The fault of the member's bytes.
    pub fn read(&self, space: &AddressSpace, base: VirtAddr) -> Result<i64, Fault> {
        let raw = self.raw(space, base)?;
        let unused = 64_u32
            .saturating_sub((self.bytes.min(8) as u32).saturating_mul(8))
            .min(63);
        Ok(raw.wrapping_shl(unused).cast_signed() >> unused)
    }
}

impl<S> Field<Ptr<S>> {
    /// Reads the pointer in the structure at `base`.
    ///
    /// # Errors
    ///
    /// The fault of the member's bytes.
    pub fn read(&self, space: &AddressSpace, base: VirtAddr) -> Result<VirtAddr, Fault> {
        self.raw(space, base).map(VirtAddr)
    }
}
