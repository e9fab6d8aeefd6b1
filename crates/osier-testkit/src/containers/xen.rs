//! Cores of Xen guests (Xen `docs/misc/dump-core-format.txt`).

/// A core of `pages`, each a page frame and its bytes. With `own_tables` the guest is not
/// paravirtualised and `.xen_pfn` names the frames; otherwise `.xen_p2m` does.
pub fn core(own_tables: bool, processors: u64, pages: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut notes = Vec::new();
    for word in [4, 32, 0x0200_0001_u32] {
        notes.extend(word.to_le_bytes());
    }
    notes.extend(b"Xen\0");
    for word in [0xf00f_ebed, processors, pages.len() as u64, 4096] {
        notes.extend(word.to_le_bytes());
    }
    let mut frames = Vec::new();
    for (frame, _) in pages {
        frames.extend(frame.to_le_bytes());
        if !own_tables {
            frames.extend((frame ^ 0x5555).to_le_bytes());
        }
    }
    let names = b"\0.shstrtab\0.note.Xen\0.xen_pages\0.xen_pfn\0.xen_p2m\0";
    let table = if own_tables { 32_u32 } else { 41 };
    let memory: Vec<u8> = pages.iter().flat_map(|(_, bytes)| bytes.clone()).collect();

    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend([4, 0, 62, 0, 1, 0, 0, 0]); // ET_CORE, EM_X86_64, EV_CURRENT
    for word in [0, 0, 64_u64] {
        out.extend(word.to_le_bytes()); // no program headers; section headers follow
    }
    out.extend([0; 4]);
    for half in [64, 0, 0, 64, 5, 1_u16] {
        out.extend(half.to_le_bytes());
    }
    let mut at = 64 + 5 * 64;
    let sections = [
        (0, &[][..]),
        (1, names),
        (11, &notes),
        (table, &frames),
        (21, &memory),
    ];
    for (name, bytes) in &sections {
        out.extend(u64::from(*name).to_le_bytes()); // sh_name, sh_type
        out.extend([0; 16]); // sh_flags, sh_addr
        out.extend((at as u64).to_le_bytes());
        out.extend((bytes.len() as u64).to_le_bytes());
        out.extend([0; 24]);
        at += bytes.len();
    }
    for (_, bytes) in sections {
        out.extend(bytes);
    }
    out
}
