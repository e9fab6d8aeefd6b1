//! The kernel facts that the walkers read; a profile must hold these.
//!
//! They are named where they are read: structures by their layouts, symbols in `symbols.rs`. A test holds this list of layouts to those that there are.

use osier_profile::{Wanted, names};

use crate::{entries, layouts, symbols};

/// What the Windows provider wants of a profile. A kernel has some of it: shapes changed over time.
pub static WANTED: Wanted = Wanted {
    types: &[
        entries::PagingFile::WANTED,
        entries::Partition::WANTED,
        entries::Software::WANTED,
        entries::SystemInformation::WANTED,
        layouts::driver::Driver::WANTED,
        layouts::driver::Pool::WANTED,
        layouts::handles::Entry::WANTED,
        layouts::handles::FreeList::WANTED,
        layouts::handles::Header::WANTED,
        layouts::handles::Table::WANTED,
        layouts::current::Pcr::WANTED,
        layouts::current::Prcb::WANTED,
        layouts::current::WholePcr::WANTED,
        layouts::loader::Data::WANTED,
        layouts::loader::Kernel::WANTED,
        layouts::loader::User::WANTED,
        layouts::object::CreatorInfo::WANTED,
        layouts::object::Device::WANTED,
        layouts::object::Directory::WANTED,
        layouts::object::DirectoryEntry::WANTED,
        layouts::object::Header::WANTED,
        layouts::object::KeyBody::WANTED,
        layouts::object::KeyControlBlock::WANTED,
        layouts::object::NameBlock::WANTED,
        layouts::object::NameInfo::WANTED,
        layouts::object::Type::WANTED,
        layouts::peb::Native::WANTED,
        layouts::peb::Parameters::WANTED,
        layouts::process::Fields::WANTED,
        layouts::process::PspSessionSpace::WANTED,
        layouts::process::SessionSpace::WANTED,
        layouts::process::Wow64::WANTED,
        layouts::section::Area::WANTED,
        layouts::section::ControlArea::WANTED,
        layouts::section::FileObject::WANTED,
        layouts::section::Flags::WANTED,
        layouts::section::Segment::WANTED,
        layouts::section::Subsection::WANTED,
        layouts::threads::Fields::WANTED,
        layouts::threads::Teb::WANTED,
        layouts::token::LogonSession::WANTED,
        layouts::token::LuidAndAttributes::WANTED,
        layouts::token::SidAndAttributes::WANTED,
        layouts::token::Token::WANTED,
        layouts::trap::Frame::WANTED,
        layouts::trap::Stack::WANTED,
        layouts::vad::AvlTable::WANTED,
        layouts::vad::AvlTree::WANTED,
        layouts::vad::Flags::WANTED,
        layouts::vad::Flags1::WANTED,
        layouts::vad::Long::WANTED,
        layouts::vad::Short::WANTED,
        UNREAD.types,
    ],
    symbols: &[symbols::ALL, UNREAD.symbols],
    constants: &[],
};

/// Names that no layout and no look-up in this crate has.
struct More {
    types: &'static [&'static str],
    symbols: &'static [&'static str],
}

/// What no walker reads by name, and a profile keeps for others: the search for a kernel, exports to other
/// tools' formats, machines that are made for tests, and the next look at a kernel that is there already.
const UNREAD: More = More {
    types: names![
        _CURDIR _EX_FAST_REF _KDDEBUGGER_DATA64 _KGDTENTRY _KIDTENTRY
        _KIDTENTRY64 _KSPECIAL_REGISTERS _LIST_ENTRY _MMPTE _MMPTE_HARDWARE _MMPTE_PROTOTYPE
        _MMPTE_SUBSECTION _MMPTE_TRANSITION _MMVAD_LONG _MSUBSECTION _OBJECT_NAME_INFORMATION _PEB32 _SEGMENT _TEB32 _UNICODE_STRING
    ],
    symbols: names![
        CmNtCSDVersion KdVersionBlock KeActiveProcessors KeNumberProcessors KiDivideErrorFault
        KiDivideErrorFaultShadow KiInitialPCR KiSystemCall64 KiSystemCall64Shadow MmPteBase
        MmSubsectionBase MmSystemRangeStart MmUserProbeAddress NtBuildLabEx PsNtosImageBase
        PspCreateProcessNotifyRoutine PspCreateThreadNotifyRoutine PspLoadImageNotifyRoutine
    ],
};
