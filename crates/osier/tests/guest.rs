//! A guest is shared by threads, outlives the function that opened it, and its answers are those of
//! the provider.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;

use osier::ask::Question;
use osier::{Attach, ErrorKind, Guest, Open, Osi, Process, VirtAddr};

fn snapshot(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../../snapshots").join(name)
}

fn opened() -> Guest {
    let snapshot = Open::new().open(snapshot("deb12-6.1-amd64.elf")).unwrap();
    Attach::new().to(snapshot).unwrap()
}

/// Everything that one guest says, in words.
fn everything(guest: &Guest) -> String {
    fn all<T: Debug>(rows: impl Iterator<Item = T>) -> String {
        format!("{:?}\n", rows.collect::<Vec<T>>())
    }
    let answers: [String; Question::ALL.len()] = [
        all(guest.processes()),
        all(guest.wide()),
        all(guest.handles()),
        all(guest.current()),
        all(guest.threads(None)),
        all(guest.modules()),
        all(guest.mappings(None)),
        all(guest.pages(None)),
        all(guest.files(None)),
        all(guest.environment(None)),
        all(guest.log()),
        all(guest.mounts(None)),
        all(guest.sockets()),
        all(guest.interfaces()),
        all(guest.scan()),
        all(guest.findings()),
    ];
    answers.concat()
}

#[test]
fn eight_threads_are_answered_as_one_is() {
    let guest = opened();
    let alone = everything(&guest);
    thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| everything(&guest))).collect();
        for one in all {
            assert!(one.join().unwrap() == alone);
        }
    });
    // An answer may be taken up in another thread than the one that asked.
    let mut list = guest.processes();
    let first = list.next();
    let rest = thread::scope(|scope| scope.spawn(move || list.count()).join().unwrap());
    assert_eq!(
        rest + usize::from(first.is_some()),
        guest.processes().count()
    );
}

#[test]
fn answers_are_the_providers_and_know_how_they_ended() {
    fn walked(osi: &dyn Osi) -> Vec<Process> {
        let mut rows = Vec::new();
        let ends = osi.processes(&mut |row| {
            rows.push(row);
            ControlFlow::Continue(())
        });
        assert!(ends.all_closed());
        rows
    }
    let guest = opened();
    let mut list = guest.processes();
    assert!(!list.is_complete(), "nothing was asked yet");
    let rows: Vec<Process> = list.by_ref().collect();
    assert_eq!(rows, walked(&*guest.provider()));
    assert!(list.is_complete() && list.ends().all_closed());
    assert_eq!(list.ends().to_string(), "every walk closed");

    // Of one process, and of all.
    let of = |taskd: VirtAddr| guest.mappings(taskd).count();
    let sum: usize = rows.iter().map(|row| of(row.taskd)).sum();
    assert!(sum > 100);
    assert_eq!(guest.mappings(None).count(), sum);

    // What is no process has no rows, and the answer says so.
    let mut none = guest.mappings(VirtAddr(0x1000));
    assert_eq!(none.by_ref().count(), 0);
    assert!(!none.is_complete());
    assert_ne!(none.ends().to_string(), "every walk closed");
}

#[test]
fn symbols_run_where_the_kernel_does() {
    let guest = opened();
    let banner = guest.symbol("linux_banner").unwrap();
    let text = guest.provider().kernel_space().read_cstr(banner, 512);
    assert!(text.unwrap().starts_with(&guest.kernel().banner));
    assert_eq!(guest.symbol("no_such_symbol"), None);
}

#[test]
fn errors_have_a_kind_a_file_and_a_place() {
    let missing = osier::open("no-such-file").err().unwrap();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(missing.path(), Some(Path::new("no-such-file")));

    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
    std::fs::create_dir_all(&folder).unwrap();
    let zeros = folder.join("zeros.raw");
    std::fs::write(&zeros, vec![0; 4 << 20]).unwrap();
    let nothing = osier::open(&zeros).err().unwrap();
    assert_eq!(nothing.kind(), ErrorKind::NoKernel);
    assert_eq!(nothing.path(), Some(&*zeros));

    let cut = folder.join("cut.elf");
    let whole = std::fs::read(snapshot("deb12-6.1-amd64.elf")).unwrap();
    std::fs::write(&cut, &whole[..80]).unwrap();
    let damaged = osier::open(&cut).err().unwrap();
    assert_eq!(damaged.kind(), ErrorKind::Damaged, "{damaged}");
    assert!(damaged.offset().is_some());

    let windows = Attach::new()
        .os("windows")
        .to(Open::new().open(snapshot("deb12-6.1-amd64.elf")).unwrap());
    assert_eq!(windows.err().unwrap().kind(), ErrorKind::Contradiction);
    let odd = Attach::new()
        .os("plan9")
        .to(Open::new().open(snapshot("deb12-6.1-amd64.elf")).unwrap());
    assert_eq!(odd.err().unwrap().kind(), ErrorKind::Usage);
}
