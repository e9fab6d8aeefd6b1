//! Kernels whose own types and symbols are damaged: what is answered by them is right, or told to be damaged,
//! or refused; and nothing of it is kept for a snapshot of the same kernel that is whole.
//!
//! `cargo test` damages some pages; with `OSIER_CAMPAIGN` set, every page of the BTF and of the kallsyms.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::Arc;

use memchr::memmem::{find, find_iter};
use osier::ask::{Question, ask};
use osier::format::json_row;
use osier::osier_memory::{PAGE_BYTES, PhysAddr};
use osier::osier_snapshot::Snapshot;
use osier::{Guest, Options, ProfileSource, open_snapshot};
use osier_testkit::Patched;
use osier_testkit::need::{self, Real};

osier_testkit::trials! {
    need::each(need::snapshot, &["deb11-5.10-amd64", "deb12-6.1-amd64", "deb13-6.12-amd64"]) =>
        damage_is_told_and_not_kept;
    need::each(need::snapshot, &["deb12-6.1-amd64"]) =>
        a_cached_profile_that_does_not_fit_is_made_again, damaged_types_make_no_file_complete;
}

/// What is asked: values that rest on many types and symbols.
const QUESTIONS: [Question; 4] = [
    Question::Processes,
    Question::Modules,
    Question::Current,
    Question::Log,
];

/// A folder of its own for a cache, removed in the end.
struct Cache(PathBuf);

impl Cache {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("osier-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn options(&self) -> Options {
        Options {
            no_shipped: true,
            cache: Some(self.0.clone()),
            ..Options::default()
        }
    }

    fn profiles(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let profile = |path: &PathBuf| path.extension().is_some_and(|end| end == "osp");
        paths.filter(profile).collect()
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The rows of every question.
fn rows(guest: &Guest) -> Vec<String> {
    let mut rows = Vec::new();
    for question in QUESTIONS {
        let ends = ask(&*guest.provider(), question, &mut |row| {
            let mut line = String::new();
            json_row(row, &mut line);
            rows.push(line);
            ControlFlow::Continue(())
        });
        rows.push(format!("{ends:?}"));
    }
    rows
}

/// The snapshot with bytes written over those at some places of its file of raw memory.
fn damaged(whole: &Snapshot, writes: &[(usize, Vec<u8>)]) -> Snapshot {
    let mut memory = Patched::new(whole.machine.memory.clone());
    for (at, bytes) in writes {
        memory.write_bytes(PhysAddr(*at as u64), bytes);
    }
    let mut machine = whole.machine.clone();
    machine.memory = Arc::new(memory);
    let info = whole.info.clone();
    Snapshot { machine, info }
}

/// Where the types and the strings of the BTF lie in raw memory.
fn btf(raw: &[u8]) -> (Range<usize>, Range<usize>) {
    let header = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
    let word = |at: usize| u32::from_le_bytes(raw[at..at + 4].try_into().unwrap()) as usize;
    let sections = |at: usize| {
        let (types, strings) = (word(at + 12), word(at + 20));
        let start = at + 24 + word(at + 16);
        let sane = word(at + 16) == types && types > 1 << 20 && strings > 1 << 20;
        (sane && start + strings <= raw.len()).then(|| (at + 24..start, start..start + strings))
    };
    let whole = |(_, strings): &(Range<usize>, Range<usize>)| {
        find(&raw[strings.clone()], b"\0task_struct\0").is_some()
    };
    let mut found = find_iter(raw, &header).filter_map(sections).filter(whole);
    found.next().unwrap()
}

/// Where names and addresses of the kallsyms lie: around the row of ten digits. Since 6.4 the addresses
/// come last.
fn kallsyms(raw: &[u8]) -> Range<usize> {
    let digits = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";
    let mut places = find_iter(raw, digits);
    // In UTF-16 and in tables of characters a colon follows the digits; in the kernel's no symbol has one.
    let at = places.find(|at| *at > 2 << 20 && raw[at + digits.len()] != b':');
    let at = at.unwrap();
    at - (1 << 20)..at + (128 << 10)
}

fn damage_is_told_and_not_kept(real: &Real) {
    let campaign = std::env::var_os("OSIER_CAMPAIGN").is_some();
    let raw = std::fs::read(real.path.join("memory.raw")).unwrap();
    let cache = Cache::new(&format!("damaged-{}", real.name));
    let options = cache.options();
    let whole = open_snapshot(&real.path.join("memory.raw"), &options).unwrap();
    let attach = |writes: &[(usize, Vec<u8>)]| Guest::attach(damaged(&whole, writes), &options);
    let guest = attach(&[]).unwrap();
    assert!(matches!(guest.source(), ProfileSource::Snapshot(Some(_))));
    assert_eq!(guest.info().doubts().count(), 0);
    let right = rows(&guest);
    let (types, strings) = btf(&raw);
    let page = PAGE_BYTES as usize;
    let (mut told, mut refused, mut same) = (0, 0, 0);
    for (what, range, some) in [
        ("types", types.clone(), 150),
        ("strings", strings.clone(), 60),
        ("kallsyms", kallsyms(&raw), 60),
    ] {
        let pages = (range.start.next_multiple_of(page)..range.end - page).step_by(page);
        for at in pages.step_by(if campaign { 1 } else { some }) {
            for path in cache.profiles() {
                std::fs::remove_file(path).unwrap();
            }
            let place = format!("{}: page {at:#x} of the {what}", real.name);
            match attach(&[(at, vec![0; page])]) {
                Err(_) => refused += 1,
                Ok(guest) => {
                    let doubts = guest.info().doubts().count();
                    let lines = rows(&guest);
                    let denied = lines.iter().any(|line| {
                        // The only value of these rows that no Linux kernel keeps.
                        line.replace("\"file\":{\"why\":\"not-in-this-kernel\"}", "")
                            .contains("not-in-this-kernel")
                            && !right.contains(line)
                    });
                    assert!(doubts > 0 || lines == right, "{place}: silent");
                    assert!(!denied, "{place}: the kernel is said to lack something");
                    if doubts > 0 {
                        assert_eq!(*guest.source(), ProfileSource::Snapshot(None), "{place}");
                        told += 1;
                    } else {
                        same += 1;
                    }
                }
            }
            // What a damaged snapshot leaves behind is what the whole one is asked by.
            if !cache.profiles().is_empty() {
                let after = attach(&[]).unwrap();
                assert!(rows(&after) == right, "{place}: kept");
                assert_eq!(after.info().doubts().count(), 0, "{place}");
            }
        }
    }
    eprintln!(
        "{}: {told} told, {refused} refused, {same} the same",
        real.name
    );
    assert!(told > 0, "nothing was damaged");
}

fn a_cached_profile_that_does_not_fit_is_made_again(real: &Real) {
    let cache = Cache::new("unfit");
    let options = cache.options();
    let file = real.path.join("memory.raw");
    let guest = Guest::open(&file, &options).unwrap();
    let right = rows(&guest);
    let kept = match guest.source() {
        ProfileSource::Snapshot(Some(path)) => path.clone(),
        other => panic!("{other}"),
    };
    let good = std::fs::read(&kept).unwrap();
    let (_, fingerprint) = osier::osier_profile::Profile::read_file(&kept).unwrap();
    // As if made by one who did not look: every symbol but the anchors lies elsewhere.
    let own = guest.profile();
    let mut builder = osier::osier_profile::ProfileBuilder::new(own.identity().clone());
    for ty in own.types() {
        builder.add_type(ty.clone());
    }
    for (name, value) in own.symbols() {
        let off = if name == "init_task" { 0x10_0000 } else { 0 };
        builder.add_symbol(name.as_str(), value + off);
    }
    builder.set_text_head(own.text_head().to_vec());
    builder.build().write_file(&kept, fingerprint).unwrap();
    let again = Guest::open(&file, &options).unwrap();
    assert_eq!(*again.source(), ProfileSource::Snapshot(Some(kept.clone())));
    assert!(rows(&again) == right);
    assert!(std::fs::read(&kept).unwrap() == good, "the cache is mended");
    let third = Guest::open(&file, &options).unwrap();
    assert!(matches!(third.source(), ProfileSource::Stored(_)));
}

fn damaged_types_make_no_file_complete(real: &Real) {
    let options = Options {
        no_shipped: true,
        ..Options::default()
    };
    let file = real.path.join("memory.raw");
    let raw = std::fs::read(&file).unwrap();
    let (_, strings) = btf(&raw);
    let whole = open_snapshot(&file, &options).unwrap();
    let at = (strings.start + strings.len() / 2).next_multiple_of(4096);
    let snapshot = damaged(&whole, &[(at, vec![0; 4096])]);
    let isf = osier::isf_of_snapshot(&snapshot, &options).unwrap();
    assert!(isf.damage[0].contains("empty string"), "{:?}", isf.damage);
}
