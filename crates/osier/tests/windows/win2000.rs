//! Windows 2000: a layout of which only parts are published, and PDBs named by a signature (`NB10`).

use std::path::PathBuf;

use osier::MappingKind;
use osier::osier_memory::Paging;
use osier::osier_profile::BuildId;
use osier::symbol_path::PdbFile;
use osier::{Error, Guest, Located, Options, profile_of_pdb};
use osier_testkit::windows::{Plan, Process, WindowsMachine, win2000_sp4_x86};

use super::layouts::Layout;
use super::machines::{Folder, attach, store};
use super::rows::{found, planned};

const PDB: &str = "ntoskrnl.pdb";
const KEY: &str = "3EE650B31";

fn layout() -> Layout {
    Layout {
        name: "2000 SP4 x86".to_owned(),
        profile: win2000_sp4_x86(),
    }
}

fn machine(layout: &Layout, mode: Paging) -> WindowsMachine {
    let mut plan = Plan::new(&layout.profile);
    plan.paging = mode;
    (plan.version, plan.build) = ((5, 0), 2195);
    assert_eq!(plan.pdb, PDB);
    let shell = Process::new(648, "explorer.exe")
        .child_of(8)
        .in_session(0)
        .runs(
            "C:\\WINNT\\Explorer.EXE",
            "C:\\WINNT\\Explorer.EXE",
            0x40_0000,
            0x3_f000,
        )
        .loads(0x77f8_0000, 0x7_9000, "C:\\WINNT\\System32\\ntdll.dll");
    plan.processes.push(shell);
    let gone = Process::new(700, "gone.exe").child_of(648);
    plan.processes
        .push(gone.exited(0x01cb_3000_0000_0000).in_session(0));
    plan.run(652);
    plan.write(&layout.profile)
}

#[test]
fn what_is_published_is_answered_and_the_rest_is_said_to_be_absent() {
    let layout = layout();
    for mode in [Paging::Legacy, Paging::LegacyNoPse] {
        let machine = machine(&layout, mode);
        for snapshot in [machine.machine(), machine.without_registers()] {
            let osi = attach(&layout, &snapshot);
            let (rows, bad) = found(&osi);
            let mut wanted = planned(&machine.plan);
            // The system process has a session, as this kernel keeps the number itself.
            wanted.processes[0].session = Some(0);
            // No SeAuditProcessCreationInfo tells what an exited process was.
            wanted.processes[2].path = None;
            assert_eq!(rows.processes, wanted.processes);
            assert_eq!(rows.handles, wanted.handles);
            assert_eq!(rows.current, wanted.current);
            assert_eq!(rows.modules, wanted.modules);
            assert!(rows.threads.is_empty());
            let images = &machine.process(648).modules;
            assert_eq!(rows.mappings.len(), images.len());
            for (row, image) in rows.mappings.iter().zip(images) {
                assert_eq!((row.base, row.size, row.pid), (image.base, image.size, 648));
                assert_eq!(row.file.as_deref(), Some(image.path.as_str()));
                assert_eq!((row.kind, row.perms.as_str()), (MappingKind::Image, ""));
            }
            let said = |end: &String| {
                let start = end.contains("NoStart");
                start && (end.starts_with("threads") || end.starts_with("vads"))
            };
            assert!(!bad.is_empty() && bad.iter().all(said), "{bad:?}");
        }
    }
}

#[test]
fn its_kernel_is_known_by_the_signature_of_its_pdb() {
    let folder = Folder::new("windows-2000");
    let layout = layout();
    let machine = machine(&layout, Paging::Legacy);
    let options = store(&folder.0, &layout);
    let (raw, dump) = (folder.0.join("memory.raw"), folder.0.join("memory.dmp"));
    machine.write_raw(&raw).unwrap();
    machine.write_crash_dump(&dump).unwrap();
    for file in [raw, dump] {
        let guest = Guest::open(&file, &options).unwrap();
        let Located::Windows(located) = guest.located() else {
            panic!("Windows");
        };
        assert_eq!(located.pdb.as_deref(), Some(PDB));
        let id = located.build_id.as_ref().unwrap();
        assert_eq!(*id, BuildId::of_nb10(0x3ee6_50b3, 1));
        assert_eq!(id.symbol_server_key().as_deref(), Some(KEY));
        assert_eq!(found(guest.provider().as_ref()).0.processes.len(), 3);
        // Without the profile, the error names the file and the command that fetches it.
        let error = Guest::open(&file, &Options::default()).err().unwrap();
        let text = error.to_string();
        assert!(matches!(error, Error::Missing(_)), "{text}");
        let command = format!("osier profile fetch {PDB} {KEY}");
        assert!(text.contains(&command), "{text}");
    }
}

#[test]
fn its_pdb_is_looked_for_where_symbol_servers_keep_it() {
    let folder = Folder::new("windows-2000-symbols");
    let build: PathBuf = folder.0.join(PDB).join(KEY);
    std::fs::create_dir_all(&build).unwrap();
    std::fs::write(build.join(PDB), b"no PDB").unwrap();
    let file = PdbFile::new(PDB, BuildId::of_nb10(0x3ee6_50b3, 1)).unwrap();
    assert_eq!(file.key(), KEY);
    assert_eq!(file.candidates(&folder.0), [build.join(PDB)]);
    let options = Options {
        symbol_folders: vec![folder.0.clone()],
        ..Options::default()
    };
    let error = profile_of_pdb(&file, &options).unwrap_err().to_string();
    let tried = build.join(PDB).display().to_string();
    assert!(error.contains(&tried), "{error}");
}
