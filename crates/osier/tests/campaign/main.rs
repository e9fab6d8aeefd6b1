//! Campaigns: a snapshot damaged in every way that one can think of, one damage at a time. None may
//! panic or take long, and no row or field may change while the answer claims to be complete.
//!
//! `cargo test` runs a part of each; `cargo xtask campaign` runs them whole, over every golden
//! snapshot.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

mod carve;
mod editor;
mod excuses;
mod files;
mod held;
mod links;
mod names;
mod subject;
mod verdict;
mod windows;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use osier::Options;
use osier::ask::Question;
use osier::osier_memory::{PAGE_BYTES, PhysAddr, PhysicalMemory};
use rayon::prelude::*;

use carve::Carved;
use names::Names;
use subject::{Answer, Part, Subject, WORD};
use verdict::{Outcome, Silent, grouped, judge};

/// The golden snapshots, the smallest first.
const GOLDEN: [&str; 7] = [
    "deb12-6.1-amd64-events-a",
    "deb12-6.1-amd64-events-b",
    "deb11-5.10-686",
    "deb11-5.10-686-pae",
    "deb11-5.10-amd64",
    "deb12-6.1-amd64",
    "deb13-6.12-amd64",
];

/// A damage: bytes written over those at physical addresses.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    /// What is done, such as `zero`.
    pub(crate) how: String,
    /// Where, such as `task_struct.tasks.next`.
    pub(crate) place: String,
    pub(crate) writes: Vec<(PhysAddr, Vec<u8>)>,
    /// A page that cannot be read any more.
    pub(crate) missing: Option<PhysAddr>,
}

/// Which of the damages asks for `scan`, `findings` and what is carved, too, when not everything is to be run: those go
/// over all of memory.
const WIDE: usize = 40;

/// Whether everything is to be run.
fn whole() -> bool {
    std::env::var_os("OSIER_CAMPAIGN").is_some()
}

/// The files to damage: one, or all golden ones; `OSIER_CAMPAIGN_ONLY` names others, or files.
fn snapshots() -> Vec<(String, PathBuf)> {
    let only = std::env::var("OSIER_CAMPAIGN_ONLY").unwrap_or_default();
    let names: Vec<&str> = match &only[..] {
        "" if whole() => GOLDEN.to_vec(),
        "" => vec![GOLDEN[0]],
        only => only.split(',').filter(|name| !windows::is(name)).collect(),
    };
    let file = |name: &str| {
        if name.contains('/') {
            PathBuf::from(name)
        } else {
            osier_testkit::data::workspace().join(format!("snapshots/{name}.elf"))
        }
    };
    names
        .into_iter()
        .map(|name| (name.to_owned(), file(name)))
        .collect()
}

/// Every damage, or one of `every` when not everything is to be run; `OSIER_CAMPAIGN_EVERY` decides too, or
/// `OSIER_CAMPAIGN_EACH`: at most so many of each kind.
fn some(all: Vec<Damage>, every: usize) -> Vec<Damage> {
    let said = |name: &str| Some(std::env::var(name).ok()?.parse::<usize>().unwrap());
    if let Some(most) = said("OSIER_CAMPAIGN_EACH") {
        return of_each(all, most);
    }
    let every = said("OSIER_CAMPAIGN_EVERY").unwrap_or(if whole() { 1 } else { every });
    all.into_iter().step_by(every).collect()
}

/// At most so many of each kind of damage of each kind of place, from all over memory.
fn of_each(all: Vec<Damage>, most: usize) -> Vec<Damage> {
    let mut kinds: BTreeMap<(String, String), Vec<Damage>> = BTreeMap::new();
    for damage in all {
        let kind = (damage.place.clone(), damage.how.clone());
        kinds.entry(kind).or_default().push(damage);
    }
    let thin = |of: Vec<Damage>| {
        let step = of.len().div_ceil(most).max(1);
        of.into_iter().step_by(step)
    };
    kinds.into_values().flat_map(thin).collect()
}

/// Runs all damages of a memory.
fn run(subject: &Subject, damages: Vec<Damage>) -> Outcome {
    let whole = whole();
    damages
        .into_par_iter()
        .enumerate()
        .map(|(number, damage)| {
            let wide = whole || number % WIDE == 0;
            judge(&format!("{damage:x?}"), || ask(subject, &damage, wide))
        })
        .reduce(Outcome::default, Outcome::join)
}

fn ask(subject: &Subject, damage: &Damage, wide: bool) -> Option<(Vec<Silent>, bool)> {
    let mut words = BTreeSet::new();
    for (pa, bytes) in &damage.writes {
        let last = pa.0 + bytes.len() as u64;
        words.extend((pa.0 / WORD * WORD..last).step_by(WORD as usize));
    }
    let mut content = None;
    if let Some(page) = damage.missing {
        words.extend((page.0..page.0 + PAGE_BYTES).step_by(WORD as usize));
        content = subject.content_of.get(&page.0);
    }
    let find = words.iter().any(|word| subject.found_by.contains(word));
    let mut parts = subject.parts_of(words.into_iter());
    parts.extend(content.into_iter().flatten());
    parts.retain(|part| wide || !part.is_partial());
    if parts.is_empty() && !find {
        return Some((Vec::new(), false));
    }
    let after = subject.ask(damage, &parts, find)?;
    let tells = |(part, new): (&Part, &Answer)| match subject.answers.get(part) {
        Some(old) => new.tells(old),
        None => !new.is_complete(),
    };
    let told = after.iter().any(tells);
    Some((silent(subject, &after, damage), told))
}

/// The questions whose rows changed without a word.
fn silent(subject: &Subject, after: &BTreeMap<Part, Answer>, damage: &Damage) -> Vec<Silent> {
    let mut told = BTreeSet::new();
    for (part, new) in after {
        let Some(old) = subject.answers.get(part) else {
            continue;
        };
        if !new.tells(old) {
            continue;
        }
        told.insert(part.word());
        if part.word() == "handles" {
            // Questions about every process go through the handles.
            let of_processes = Question::ALL
                .into_iter()
                .filter(|one| one.is_of_a_process());
            told.extend(of_processes.map(Question::word));
            // So does what is written or searched of one.
            told.extend([Carved::Core, Carved::Search].map(Carved::word));
        }
    }
    let mut found: BTreeMap<&'static str, Silent> = BTreeMap::new();
    for (part, new) in after {
        let question = part.word();
        let Some(old) = subject.answers.get(part) else {
            continue;
        };
        if told.contains(question) || old.rows == new.rows {
            continue;
        }
        let one = Silent::of(question, &damage.how, &damage.place, old, new);
        if let Some(first) = found.get_mut(question) {
            first.fields.extend(one.fields);
            first.by.extend(one.by);
            continue;
        }
        let one = Silent {
            distilled: subject.distilled,
            example: example(subject, damage),
            ..one
        };
        found.insert(question, one);
    }
    found.into_values().collect()
}

/// The first bytes of a damage, in words.
fn example(subject: &Subject, damage: &Damage) -> String {
    if let Some(page) = damage.missing {
        return format!("pa {:#x} {}", page.0, damage.how);
    }
    let Some((at, bytes)) = damage.writes.first() else {
        return String::new();
    };
    let new = &bytes[..bytes.len().min(8)];
    let mut old = vec![0; new.len()];
    let _ = subject.memory.read(*at, &mut old);
    format!("pa {:#x} {} {old:02x?} -> {new:02x?}", at.0, damage.how)
}

/// Every page that answers rest on, zeroed.
fn pages(subject: &Subject, names: &Names) -> Vec<Damage> {
    let words = subject.read_by.keys().chain(&subject.found_by);
    let pages: BTreeSet<_> = words.map(|word| PhysAddr(*word).page()).collect();
    let zero = |pa: PhysAddr| Damage {
        how: "zero page".to_owned(),
        place: page_of(subject, names, pa),
        writes: vec![(pa, vec![0; PAGE_BYTES as usize])],
        missing: None,
    };
    pages.into_iter().map(zero).collect()
}

/// Every page that answers rest on, and such as they read for their bytes, not there.
fn missing(subject: &Subject, names: &Names) -> Vec<Damage> {
    let words = subject.read_by.keys().map(|word| PhysAddr(*word).page());
    let content = subject.content_of.keys().map(|page| PhysAddr(*page));
    let pages: BTreeSet<_> = words.chain(content).collect();
    let missing = |pa: PhysAddr| Damage {
        how: "missing page".to_owned(),
        place: page_of(subject, names, pa),
        writes: Vec::new(),
        missing: Some(pa),
    };
    pages.into_iter().map(missing).collect()
}

/// What the answers read in the page at `pa`.
fn page_of(subject: &Subject, names: &Names, pa: PhysAddr) -> String {
    let within = subject.read_by.range(pa.0..pa.0 + PAGE_BYTES);
    let named = within.map(|(word, _)| names.name(PhysAddr(*word)));
    let named = named.map(|name| name.split('.').next().unwrap_or_default().to_owned());
    let what: BTreeSet<_> = named.filter(|name| name != "(unnamed)").collect();
    format!("page of {}", Vec::from_iter(what).join(", "))
}

/// Blocks of some words that answers rest on, zeroed: members that lie side by side are lost together.
fn blocks(subject: &Subject, names: &Names) -> Vec<Damage> {
    let mut damages = Vec::new();
    for bytes in [16_u64, 32, 64, 128, 512] {
        let starts: BTreeSet<u64> = subject
            .read_by
            .keys()
            .map(|at| at / bytes * bytes)
            .collect();
        for start in starts {
            let within = subject.read_by.range(start..start + bytes);
            let named: BTreeSet<String> = within
                .map(|(word, _)| names.name(PhysAddr(*word)))
                .collect();
            damages.push(Damage {
                how: "zero block".to_owned(),
                place: Vec::from_iter(named).join(BESIDE),
                writes: vec![(PhysAddr(start), vec![0; bytes as usize])],
                missing: None,
            });
        }
    }
    damages
}

/// Stands between the names of what lies side by side.
pub(crate) const BESIDE: &str = " & ";

/// Writes down what was found and fails when something is silent, has panicked or took long.
fn conclude(title: &str, outcomes: &[(String, Outcome)]) {
    let mut text = Vec::new();
    let mut used = BTreeMap::new();
    let mut bad = 0;
    for (name, outcome) in outcomes {
        let silent = outcome.unexcused(&mut used);
        bad += silent.len() + outcome.wrong.len();
        let numbers = format!("## {name} {title}: {}", outcome.numbers());
        eprintln!("{numbers}");
        text.push(numbers);
        text.extend(outcome.wrong.iter().map(|wrong| format!("WRONG {wrong}")));
        text.extend(silent);
    }
    if whole() && std::env::var_os("OSIER_CAMPAIGN_ONLY").is_none() {
        let expected = excuses::all().filter(|excuse| excuse.campaign == title);
        for excuse in expected.filter(|excuse| !used.contains_key(excuse.why)) {
            bad += 1;
            text.push(format!(
                "WRONG an excuse that nothing needs: {}",
                excuse.why
            ));
        }
    }
    let excused = |(why, all): (&&str, &Vec<&Silent>)| {
        let mut lines = vec![format!("EXCUSED {}: {why}", all.len())];
        lines.extend(grouped(all));
        lines.join("\n")
    };
    text.extend(used.iter().map(excused));
    if let Some(folder) = std::env::var_os("OSIER_CAMPAIGN_REPORT") {
        std::fs::write(
            PathBuf::from(folder).join(format!("{title}.txt")),
            text.join("\n") + "\n",
        )
        .unwrap();
    }
    text.truncate(60);
    assert!(bad == 0, "{title}: {bad} kinds\n{}", text.join("\n"));
}

/// What the excuses say stands in the documentation.
#[test]
fn excuses_are_written_down() {
    let file = osier_testkit::data::workspace().join("docs/validation.md");
    let text = std::fs::read_to_string(file).unwrap();
    for excuse in excuses::all() {
        assert!(
            text.contains(&format!("- {}", excuse.why)),
            "{}",
            excuse.why
        );
    }
}

/// A snapshot to damage, by its name, and what stands in it.
struct Target {
    name: String,
    subject: Subject,
    names: Names,
}

/// Shows each snapshot. Not everything is to be run: then all tests share them.
fn targets(visit: &mut dyn FnMut(&Target)) {
    static SHARED: OnceLock<Vec<Target>> = OnceLock::new();
    let folder = std::env::temp_dir().join(format!("osier-campaign-{}", std::process::id()));
    let golden = snapshots().into_iter();
    let golden = golden.map(|(name, file)| (name, file, Options::default()));
    let files = || golden.chain(windows::snapshots(&folder));
    let target = |(name, file, options): (String, PathBuf, Options)| {
        let subject = Subject::of(&file, &options);
        let names = Names::of(&subject, &*subject.open().provider());
        Target {
            name,
            subject,
            names,
        }
    };
    if whole() {
        files().for_each(|file| visit(&target(file)));
    } else {
        let all = SHARED.get_or_init(|| files().map(target).collect());
        all.iter().for_each(visit);
    }
    let _ = std::fs::remove_dir_all(folder);
}

/// Runs what `damages` makes of each snapshot.
fn campaign(title: &str, damages: impl Fn(&Subject, &Names) -> Vec<Damage>) {
    let mut outcomes = Vec::new();
    targets(&mut |target| {
        let Target {
            name,
            subject,
            names,
        } = target;
        let began = Instant::now();
        let mut outcome = run(subject, damages(subject, names));
        outcome.wrong.extend(subject.lossy.iter().cloned());
        eprintln!(
            "{title} {name}: {}, {:.0?}",
            outcome.numbers(),
            began.elapsed()
        );
        outcomes.push((name.clone(), outcome));
    });
    conclude(title, &outcomes);
}

#[test]
fn pages_zeroed() {
    campaign("pages", |subject, names| some(pages(subject, names), 1));
}

#[test]
fn pages_missing() {
    campaign("missing", |subject, names| {
        some(missing(subject, names), 12)
    });
}

#[test]
fn blocks_zeroed() {
    campaign("blocks", |subject, names| some(blocks(subject, names), 13));
}

#[test]
fn words_replaced() {
    campaign("words", |subject, names| {
        some(words::damages(subject, names), 13)
    });
}

#[test]
fn links_forged() {
    campaign("links", |subject, names| {
        some(links::damages(subject, names), 3)
    });
}

#[test]
fn files_damaged() {
    let mut outcomes = Vec::new();
    for (name, file) in snapshots() {
        let bytes = std::fs::read(file).unwrap();
        let container = files::Container { name: "elf", bytes };
        let harms = files::random(&container.bytes, if whole() { 2_000 } else { 100 });
        outcomes.push((name, files::run(&container, harms)));
    }
    conclude("files", &outcomes);
}

#[test]
fn compressions_damaged() {
    let (_, file) = snapshots().remove(0);
    let subject = Subject::of(&file, &Options::default());
    let run = |container: &files::Container| {
        let harms = files::flips(&container.bytes, if whole() { 1_000 } else { 20 });
        (container.name.to_owned(), files::run(container, harms))
    };
    let all = files::compressed(&file, &*subject.memory);
    let outcomes: Vec<_> = all.iter().map(run).collect();
    conclude("compressions", &outcomes);
}
