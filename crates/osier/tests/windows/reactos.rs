//! Kernels of Windows's kind that are not Microsoft's, and processes at the ends of their lives: the shapes
//! that ReactOS has, and suspended and exited processes of every layout.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use osier::osier_memory::VirtAddr;
use osier::osier_profile::{BuildId, Profile, ProfileBuilder};
use osier::osier_windows::{AttachError, KnownKernel, Windows, locate};
use osier::{Error, Guest, MappingKind, Options, Osi, ProcessExtra, SeenExt as _, WalkEnd, Why};
use osier_testkit::Patched;
use osier_testkit::windows::{DebuggerData, Module, PdbRecord, Process, Wow64, reactos_x86};

use super::layouts::{self, Layout};
use super::machines::{Folder, attach, compare, crowd, modes, store};
use super::rows::found;

fn reactos() -> Layout {
    Layout {
        name: "ReactOS x86".to_owned(),
        profile: reactos_x86(),
    }
}

/// `_KPCR` points to its `_KPRCB`, and the registers name the `_KPCR`.
#[test]
fn what_runs_is_told_where_a_kpcr_points_to_its_block() {
    let layout = reactos();
    let machine = crowd(&layout, modes(&layout)[0]).write(&layout.profile);
    assert!(machine.cpus.len() == 2 && !machine.machine().cpus.is_empty());
    let osi = attach(&layout, &machine.machine());
    let mut cpus = Vec::new();
    let ends = osi.current(&mut |row| {
        cpus.push(row.cpu);
        ControlFlow::Continue(())
    });
    assert!(ends.is_complete(), "{ends:?}");
    assert_eq!(cpus, [0, 1]);
}

/// The registers' `_KPCR` is told when the table does not know its block.
#[test]
fn a_kpcr_that_points_elsewhere_is_told() {
    let layout = reactos();
    let machine = crowd(&layout, modes(&layout)[0]).write(&layout.profile);
    let table = layout.profile.symbol("KiProcessorBlock").unwrap();
    let at = machine.plan.kernel_base.plus(table).plus(4);
    let osi = attach(&layout, &machine.machine());
    let pa = osi.kernel_space().translate(at).unwrap();
    let mut memory = Patched::new(machine.machine().memory);
    memory.write_uint(pa, 0, 4);
    let mut whole = machine.machine();
    whole.memory = Arc::new(memory);
    let ends = attach(&layout, &whole).current(&mut |_| ControlFlow::Continue(()));
    assert!(!ends.is_complete(), "a processor is missing");
}

#[test]
fn a_suspended_process_shows_what_it_was_made_with() {
    for layout in layouts::all() {
        let mut plan = crowd(layout, modes(layout)[0]);
        let path = "C:\\Windows\\System32\\later.exe";
        let made = Process::new(2404, "later.exe").child_of(1012);
        let made = made.runs(path, "later.exe --when asked", 0x40_0000, 0x1_0000);
        plan.processes.push(made.suspended());
        if layout.profile.identity().pointer_bytes == 8 {
            let path = "C:\\Windows\\SysWOW64\\later32.exe";
            let mut half = Process::new(2504, "later32.exe").child_of(1012);
            half = half.runs(path, "later32.exe /q", 0x40_0000, 0x1_0000);
            half.wow64 = Some(Wow64 {
                modules: vec![Module::new(0x40_0000, 0x1_0000, path)],
                ..Wow64::default()
            });
            plan.processes.push(half.suspended());
        }
        let machine = plan.write(&layout.profile);
        compare(&attach(layout, &machine.machine()), &machine, &layout.name);
    }
}

/// A process that has exited and whose `_EPROCESS` still names its PEB, which is gone with its memory.
#[test]
fn a_process_that_exited_with_its_peb_is_no_loss() {
    for layout in layouts::all() {
        let mut plan = crowd(layout, modes(layout)[0]);
        let gone = plan.processes.iter_mut().find(|p| p.pid == 1400).unwrap();
        gone.stale_peb = Some(VirtAddr(0x7ffd_f000));
        let machine = plan.write(&layout.profile);
        let osi = attach(layout, &machine.machine());
        compare(&osi, &machine, &layout.name);
        let mut told = 0;
        let _ = osi.processes(&mut |row| {
            if row.pid.value() == Some(1400) {
                let ProcessExtra::Windows(more) = &row.extra else {
                    panic!("Windows");
                };
                for absent in [more.peb.as_ref().err(), more.cmdline.as_ref().err()] {
                    let why = absent.expect("there is none").why;
                    assert_eq!(why, Why::NotApplicable("the process has exited"));
                    told += 1;
                }
            }
            ControlFlow::Continue(())
        });
        assert_eq!(told, 2, "{}", layout.name);
    }
}

/// An image has a descriptor for each segment, and none of them a control area.
#[test]
fn an_image_of_segments_is_one_image() {
    let layout = reactos();
    let machine = crowd(&layout, modes(&layout)[0]).write(&layout.profile);
    let osi = attach(&layout, &machine.machine());
    let (rows, bad) = found(&osi);
    assert!(bad.is_empty(), "{bad:?}");
    let ntdll = machine.process(1012).modules[1].clone();
    let inside = |base: u64| ntdll.base <= base && base < ntdll.base + ntdll.size;
    let rows = rows
        .mappings
        .iter()
        .filter(|row| row.pid == 1012 && inside(row.base));
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows.iter().map(|row| row.size).sum::<u64>(), ntdll.size);
    for row in rows {
        assert_eq!(row.kind, MappingKind::Image);
        assert_eq!(row.file.as_deref(), Some(ntdll.path.as_str()));
    }
}

/// The kernel has only begun to start: that is said, and the profile is not called another kernel's.
#[test]
fn a_kernel_that_has_built_no_lists_yet() {
    for layout in layouts::all() {
        let mut plan = crowd(layout, modes(layout)[0]);
        plan.early = true;
        let machine = plan.write(&layout.profile);
        let osi = attach(layout, &machine.machine());
        let ends = [
            osi.processes(&mut |row| panic!("{row:?}")),
            osi.modules(&mut |row| panic!("{row:?}")),
        ];
        for ends in ends {
            let told = ends.bad().any(|(_, end)| {
                matches!(end, WalkEnd::NoStart { missing, .. } if missing.contains("not built yet"))
            });
            assert!(told, "{}: {ends:?}", layout.name);
        }
    }
}

/// Zeros alone say nothing of the profile: another kernel's is still refused.
#[test]
fn zeros_where_another_kernel_s_list_would_be_are_no_early_boot() {
    let layout = reactos();
    let mut plan = crowd(&layout, modes(&layout)[0]);
    plan.debugger_data = DebuggerData::Plain;
    let machine = plan.write(&layout.profile);
    let whole = machine.machine();
    let known: Vec<_> = KnownKernel::of_profile(&layout.profile)
        .into_iter()
        .collect();
    let located = locate(&whole, &known).unwrap();
    // A profile whose symbols all lie where this kernel has zeros.
    let mut builder = ProfileBuilder::new({
        let mut identity = layout.profile.identity().clone();
        identity.build_id = None;
        identity
    });
    for ty in layout.profile.types() {
        builder.add_type(ty.clone());
    }
    for (name, _) in layout.profile.symbols() {
        builder.add_symbol(name, 0x12_b000);
    }
    let profile = Arc::new(builder.build());
    let error = Windows::attach(&whole, &located, profile).err().unwrap();
    assert!(matches!(error, AttachError::WrongProfile(_)), "{error}");
    assert!(error.to_string().contains("zeros"), "{error}");
}

/// An image without a debug directory names no PDB; that is not the same as a record that was lost.
#[test]
fn an_image_that_names_no_pdb_is_told_as_that() {
    let folder = Folder::new("windows-unnamed");
    let layout = reactos();
    let mut plan = crowd(&layout, modes(&layout)[0]);
    plan.record = PdbRecord::NoDirectory;
    let machine = plan.write(&layout.profile);
    let raw = folder.0.join("memory.raw");
    machine.write_raw(&raw).unwrap();
    let error = Guest::open(&raw, &Options::default()).err().unwrap();
    let text = error.to_string();
    assert!(text.contains("no debug directory"), "{text}");
    assert!(
        text.contains("0x80400000") && !text.contains("not captured"),
        "{text}"
    );
    // The distances of KDBG's pointers name the build that a profile is of.
    let options = store(&folder.0, &layout);
    let guest = Guest::open(&raw, &options).unwrap();
    compare(guest.provider().as_ref(), &machine, "no debug directory");

    let mut plan = crowd(&layout, modes(&layout)[0]);
    plan.record = PdbRecord::Lost;
    plan.write(&layout.profile).write_raw(&raw).unwrap();
    let error = Guest::open(&raw, &Options::default()).err().unwrap();
    assert!(error.to_string().contains("not captured"), "{error}");
}

/// `_KUSER_SHARED_DATA` says which version it is, whatever was named.
#[test]
fn a_version_that_was_named_is_held_against_the_kernel_s_own() {
    let folder = Folder::new("windows-version");
    let shared = |layout: &&Layout| layout.profile.find_type("_KUSER_SHARED_DATA").is_some();
    for layout in layouts::all().iter().filter(shared) {
        let machine = crowd(layout, modes(layout)[0]).write(&layout.profile);
        let raw = folder.0.join("memory.raw");
        machine.write_raw(&raw).unwrap();
        let bits = u32::from(layout.profile.identity().pointer_bytes) * 8;
        let with = |os: &str| {
            let os = Some(format!("windows-{bits}-{os}"));
            let options = store(&folder.0, layout);
            Guest::open(&raw, &Options { os, ..options }).err()
        };
        let names = ["2000", "xpsp3", "2003", "7sp1", "8.1", "10"];
        let own = match (machine.plan.version, bits) {
            ((5, 2), 32) => "2003",
            ((6, 1), _) => "7sp1",
            (other, _) => panic!("{other:?}"),
        };
        for name in names {
            let error = with(name);
            if own == name {
                assert!(error.is_none(), "{} {name}: {error:?}", layout.name);
            } else {
                let told = matches!(error, Some(Error::Contradiction { .. }));
                assert!(told, "{} {name}: {error:?}", layout.name);
            }
        }
    }
}

/// GNU's linker writes a record with a build's number and no name of a PDB.
#[test]
fn a_record_that_names_no_pdb_names_the_build() {
    let folder = Folder::new("windows-nameless");
    let layout = reactos();
    let mut plan = crowd(&layout, modes(&layout)[0]);
    plan.pdb = String::new();
    let machine = plan.write(&layout.profile);
    let raw = folder.0.join("memory.raw");
    machine.write_raw(&raw).unwrap();
    let guest = Guest::open(&raw, &store(&folder.0, &layout)).unwrap();
    let id = guest.located().build_id();
    assert_eq!(id, layout.profile.identity().build_id.as_ref());
    compare(guest.provider().as_ref(), &machine, "no name");
}

/// A kernel's public symbols and the types of another build make one profile, named by the symbols.
#[test]
fn public_symbols_and_types_beside_them_serve_together() {
    let folder = Folder::new("windows-publics");
    let layout = reactos();
    let machine = crowd(&layout, modes(&layout)[0]).write(&layout.profile);
    let (publics, types) = (folder.0.join("publics.osp"), folder.0.join("types.osp"));
    let write = |path: &Path, profile: &Profile| {
        let fingerprint = osier::import::fingerprint(profile);
        profile.write_file(path, fingerprint).unwrap();
    };
    let mut bare = ProfileBuilder::new(layout.profile.identity().clone());
    for (name, rva) in layout.profile.symbols() {
        bare.add_symbol(name.as_str(), *rva);
    }
    write(&publics, &bare.build());
    let mut other = layout.profile.clone().into_builder();
    other.identity_mut().build_id = Some(BuildId(vec![7; 20]));
    other.add_symbol("PsIdleProcessOfAnotherBuild", 1);
    write(&types, &other.build());

    let error = osier::import::import(std::slice::from_ref(&publics), None).unwrap_err();
    assert!(
        error.to_string().contains("stripped of its types"),
        "{error}"
    );
    let joined = osier::import::import(&[types, publics], None).unwrap();
    assert_eq!(
        joined.identity().build_id,
        layout.profile.identity().build_id
    );
    assert_eq!(joined.symbol("PsIdleProcessOfAnotherBuild"), None);
    let own = Layout {
        name: layout.name,
        profile: joined,
    };
    compare(&attach(&own, &machine.machine()), &machine, "joined");
}

/// Older ReactOS: a segment has neither flags of its own nor a file. Nothing is lost by that.
#[test]
fn segments_that_say_nothing_of_themselves() {
    let layout = reactos();
    let machine = crowd(&layout, modes(&layout)[0]).write(&layout.profile);
    let mut builder = ProfileBuilder::new(layout.profile.identity().clone());
    for ty in layout
        .profile
        .types()
        .iter()
        .filter(|ty| ty.name != "_MM_SECTION_SEGMENT")
    {
        builder.add_type(ty.clone());
    }
    for (name, rva) in layout.profile.symbols() {
        builder.add_symbol(name.as_str(), *rva);
    }
    let older = Layout {
        name: layout.name,
        profile: builder.build(),
    };
    let osi = attach(&older, &machine.machine());
    let process = machine.process(1012);
    let ntdll = &process.modules[1];
    let mut images = 0;
    let ends = osi.mappings(process.eprocess.unwrap(), &mut |row| {
        let losses = [
            row.kind.as_ref().err(),
            row.file.as_ref().err(),
            row.offset.as_ref().err(),
        ];
        assert!(
            losses.into_iter().flatten().all(|absent| !absent.is_loss()),
            "{row:?}"
        );
        let inside = |base: VirtAddr| ntdll.base <= base.0 && base.0 < ntdll.base + ntdll.size;
        if row.base.value().is_some_and(inside) {
            images += 1;
            assert_eq!(row.kind, Ok(MappingKind::Image));
            assert_eq!(row.file, Ok(ntdll.path.clone().into_bytes()));
        }
        ControlFlow::Continue(())
    });
    assert!(ends.is_complete(), "{ends:?}");
    assert_eq!(images, 3);
}
