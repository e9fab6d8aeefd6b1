//! `peer-vmi RAW PROFILE CR3 SLIDE`: a line `PID NAME` for each process that vmi's Linux layer finds.
//!
//! vmi has no driver for raw dumps; this one maps the file. It takes the place of the kernel from
//! the LSTAR register, which raw dumps do not have, so the two numbers are given.

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::ops::Deref;
use std::rc::Rc;

use isr_core::Profile;
use isr_core::schema::ArchivedProfile;
use memmap2::Mmap;
use vmi_arch_amd64::{Amd64, Cr0, Cr3, Cr4, MsrEfer, Registers, SegmentAccess, SegmentDescriptor};
use vmi_core::driver::VmiRead;
use vmi_core::os::VmiOsProcess as _;
use vmi_core::{Gfn, VmiCore, VmiDriver, VmiError, VmiInfo, VmiMappedPage, VmiOs as _};
use vmi_core::{VmiSession, VmiState};
use vmi_os_linux::LinuxOs;

const PAGE: usize = 4096;

struct Raw(Rc<Mmap>);

struct Page(Rc<Mmap>, usize);

impl Deref for Page {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0[self.1..self.1 + PAGE]
    }
}

impl VmiDriver for Raw {
    type Architecture = Amd64;

    fn info(&self) -> Result<VmiInfo, VmiError> {
        Ok(VmiInfo {
            page_size: PAGE as u64,
            page_shift: 12,
            max_gfn: Gfn((self.0.len() / PAGE) as u64),
            vcpus: 1,
        })
    }
}

impl VmiRead for Raw {
    fn read_page(&self, gfn: Gfn) -> Result<VmiMappedPage, VmiError> {
        let start = usize::try_from(gfn.0).unwrap_or(usize::MAX / PAGE) * PAGE;
        if start + PAGE > self.0.len() {
            return Err(VmiError::OutOfBounds);
        }
        Ok(VmiMappedPage::new(Page(self.0.clone(), start)))
    }
}

fn number(text: &str) -> Result<u64, Box<dyn Error>> {
    Ok(u64::from_str_radix(text.trim_start_matches("0x"), 16)?)
}

fn map(path: &str) -> Result<Mmap, Box<dyn Error>> {
    // SAFETY: nobody changes the file meanwhile.
    Ok(unsafe { Mmap::map(&File::open(path)?)? })
}

fn main() -> Result<(), Box<dyn Error>> {
    let [raw, profile, cr3, slide] = std::env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "peer-vmi RAW PROFILE CR3 SLIDE")?;
    let profile = map(&profile)?;
    let profile = rkyv::access::<ArchivedProfile, rkyv::rancor::Error>(&profile)?;
    let profile = Profile::from_archived(profile);
    let entry = profile
        .symbols()
        .find(|symbol| symbol.name == "entry_SYSCALL_64");
    let entry = entry.ok_or("no entry_SYSCALL_64 in the profile")?.rva;
    // A processor in long mode with 4-level paging.
    let registers = Registers {
        cr0: Cr0(0x8005_0033),
        cr4: Cr4(0x0000_06f0),
        msr_efer: MsrEfer(0xd01),
        cs: SegmentDescriptor {
            access: SegmentAccess(1 << 9),
            ..SegmentDescriptor::default()
        },
        cr3: Cr3(number(&cr3)?),
        msr_lstar: entry.wrapping_add(number(&slide)?),
        ..Registers::default()
    };
    let core = VmiCore::new(Raw(Rc::new(map(&raw)?)))?;
    let os = LinuxOs::new(&profile)?;
    let session = VmiSession::new(&core, &os);
    let state = VmiState::new(&session, &registers);
    let mut out = std::io::stdout().lock();
    for process in LinuxOs::processes(state)? {
        let process = process?;
        writeln!(out, "{} {}", process.id()?, process.name()?.escape_debug())?;
    }
    Ok(())
}
