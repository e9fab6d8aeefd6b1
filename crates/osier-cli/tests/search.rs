//! `osier search`: what it finds is what is there, each place once.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod command;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;

use osier::osier_memory::{PhysAddr, VirtAddr};
use osier::{Guest, Options};
use serde_json::Value;

const CACHE: &str = "search";

fn golden() -> PathBuf {
    osier_testkit::data::workspace().join("snapshots/deb12-6.1-amd64.elf")
}

fn search(words: &[&str]) -> (Output, String) {
    let golden = golden();
    let arguments = ["search", golden.to_str().unwrap()];
    let output = command::run(arguments.iter().chain(words), CACHE);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    (output, said)
}

/// The rows, without endings.
fn rows(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let all = text.lines().map(|line| serde_json::from_str(line).unwrap());
    all.filter(|row: &Value| row.get("end").is_none()).collect()
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

/// The physical addresses at which `needle` stands, over the borders of pages too.
fn places(guest: &Guest, needle: &[u8]) -> BTreeSet<u64> {
    let memory = &guest.machine().memory;
    let mut places = BTreeSet::new();
    for run in memory.runs() {
        let mut bytes = vec![0; usize::try_from(run.len).unwrap()];
        memory.read(run.start, &mut bytes).unwrap();
        let mut from = 0;
        while let Some(at) = bytes[from..]
            .windows(needle.len())
            .position(|some| some == needle)
        {
            places.insert(run.start.0 + (from + at) as u64);
            from += at + needle.len();
        }
    }
    places
}

#[test]
fn physical_memory_has_each_place_once_and_owners_where_there_are_some() {
    let guest = Guest::open(&golden(), &Options::default()).unwrap();
    let wanted = places(&guest, b"busybox");
    assert!(wanted.len() > 10);
    let hex = "62757379626f78";
    for words in [
        ["--text", "busybox"],
        ["--hex", hex],
        ["--regex", "b[u]sybox"],
        ["--hex", "62 75 ?3 79 6? 6f 78"],
    ] {
        let (output, said) = search(&words);
        let rows = rows(&output);
        let found: Vec<u64> = rows.iter().map(|row| number(&row["phys"])).collect();
        assert_eq!(
            found.iter().copied().collect::<BTreeSet<_>>(),
            wanted,
            "{words:?}: {said}"
        );
        assert_eq!(found.len(), wanted.len(), "{words:?}: one twice");
        // What a process has is at that address of it.
        let mut owned = 0;
        for row in rows.iter().filter(|row| row["pid"].is_number()) {
            let pid = u32::try_from(row["pid"].as_u64().unwrap()).unwrap();
            let process = guest
                .processes()
                .find(|process| process.pid == Ok(pid))
                .unwrap();
            let space = guest.provider().address_space(process.taskd).unwrap();
            let at = VirtAddr(number(&row["address"]));
            assert_eq!(space.translate(at).unwrap(), PhysAddr(number(&row["phys"])));
            owned += 1;
        }
        assert!(owned > 0, "{words:?}");
        assert!(
            rows.iter()
                .any(|row| row["absent"]["pid"]["why"] == "not-applicable")
        );
    }
}

#[test]
fn a_process_is_searched_at_its_addresses_and_what_is_missing_is_counted() {
    let (output, said) = search(&["--pid", "1", "--regex", "[a-z]{4,}"]);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(
        said.contains("not searched: ") && said.contains("left out by the writer of the dump"),
        "{said}"
    );
    let guest = Guest::open(&golden(), &Options::default()).unwrap();
    let process = guest
        .processes()
        .find(|process| process.pid == Ok(1))
        .unwrap();
    let space = guest.provider().address_space(process.taskd).unwrap();
    let rows = rows(&output);
    assert!(!rows.is_empty());
    for row in rows {
        let text = row["match"].as_str().unwrap();
        let mut own = vec![0; text.len()];
        space
            .read(VirtAddr(number(&row["address"])), &mut own)
            .unwrap();
        assert_eq!(own, text.as_bytes());
        assert_eq!(row["pid"], 1);
    }
}

#[test]
fn the_kernel_is_searched_once_for_each_page() {
    let guest = Guest::open(&golden(), &Options::default()).unwrap();
    let (output, said) = search(&["--kernel", "--text", "swapper/0"]);
    let rows = rows(&output);
    assert!(!rows.is_empty(), "{said}");
    let mut met = BTreeSet::new();
    for row in &rows {
        let (at, phys) = (number(&row["address"]), number(&row["phys"]));
        assert_eq!(
            guest
                .provider()
                .kernel_space()
                .translate(VirtAddr(at))
                .unwrap(),
            PhysAddr(phys)
        );
        assert!(met.insert(phys), "{phys:#x} twice");
    }
    let wanted = places(&guest, b"swapper/0");
    assert!(met.is_subset(&wanted));
    // The first task's name stands where the kernel works with it.
    let image = guest.symbol("init_task").unwrap();
    assert!(
        rows.iter()
            .any(|row| number(&row["address"]) & !0xffff_ffff == image.0 & !0xffff_ffff)
    );
}

#[test]
fn rows_are_shaped_as_every_list_s() {
    let (output, _) = search(&[
        "--text",
        "busybox",
        "--columns",
        "phys,match",
        "--where",
        "pid is absent",
        "--format",
        "csv",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("phys,match,absent,hex"));
    assert!(lines.all(|line| line.contains(",busybox,")));
}

/// What lies in a dump of a kernel that nobody knows may tell which one it was.
#[test]
fn memory_without_a_kernel_is_searched_and_whose_it_is_is_not_known() {
    let dump = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("search-nobody.raw");
    let mut bytes = vec![0x90; 3 << 20];
    bytes[0x1_2345..0x1_2345 + 6].copy_from_slice(b"needle");
    std::fs::write(&dump, bytes).unwrap();
    let dump = dump.to_str().unwrap();
    let asked = [
        vec!["--text".to_owned(), "needle".to_owned()],
        #[cfg(feature = "yara")]
        {
            let rule = "rule told { strings: $a = \"needle\" condition: $a }";
            vec!["--yara".to_owned(), rules("nobody", rule)]
        },
    ];
    for asked in asked {
        let words = ["search", dump, &asked[0], &asked[1], "--format", "jsonl"];
        let output = command::run(words, CACHE);
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(3), "{said}");
        let [row] = &rows(&output)[..] else {
            panic!("{asked:?}: {said}");
        };
        assert_eq!(number(&row["phys"]), 0x1_2345);
        let absent = &row["absent"]["pid"];
        assert!(
            absent["because"].as_str().unwrap().contains("no kernel"),
            "{absent}"
        );
        assert!(said.contains("no kernel was found"), "{said}");
        let shown = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(shown.contains("whose pages these are"), "{shown}");
    }
    for asked in ["--kernel", "--pid=1"] {
        let output = command::run(["search", dump, asked, "--text", "needle"], CACHE);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn what_is_no_search_says_why() {
    for (words, wanted) in [
        (&[][..], "search for what?"),
        (&["--hex", "4"], "half a byte"),
        (&["--regex", "("], "is no regular expression"),
        (&["--regex", "a*"], "matches where nothing is"),
        (&["--text", ""], "1 to 16384 bytes"),
        (
            &["--text", "x", "--pid", "1", "--kernel"],
            "search other memory",
        ),
        (&["--text", "x", "--where", "nothing = 1"], "nothing"),
    ] {
        let (output, said) = search(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(wanted), "{words:?}: {said}");
    }
    let (output, said) = search(&["--text", "x", "--pid", "999999"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
}

/// A file of rules for the test `name`.
#[cfg(feature = "yara")]
fn rules(name: &str, text: &str) -> String {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("search-{name}.yar"));
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[cfg(feature = "yara")]
#[test]
fn yara_s_rules_find_what_their_strings_are() {
    let text = r#"
        rule plain { strings: $a = "busybox" condition: $a }
        rule both { strings: $a = "busybox" $b = "Linux version" condition: all of them }
        rule never { strings: $a = "busybox" $b = "this is nowhere in memory" condition: all of them }
    "#;
    let file = rules("three", text);
    let guest = Guest::open(&golden(), &Options::default()).unwrap();
    let of_process = rules(
        "process",
        r#"rule plain { strings: $a = "100000000" condition: $a }"#,
    );
    for scope in [&[][..], &["--kernel"], &["--pid", "1"]] {
        let is_process = scope.len() > 1;
        let places = |words: &[&str], rule: &str| {
            let (output, said) = search(&[words, scope].concat());
            assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
            let mut places: Vec<(u64, String)> = Vec::new();
            for row in rows(&output).iter().filter(|row| row["rule"] == rule) {
                let at = if scope.is_empty() { "phys" } else { "address" };
                places.push((number(&row[at]), row["match"].as_str().unwrap().to_owned()));
            }
            places.sort();
            places
        };
        let needle = if is_process { "100000000" } else { "busybox" };
        let plain = if is_process { &of_process } else { &file };
        let by_text = places(&["--text", needle], needle);
        assert_eq!(places(&["--yara", plain], "plain"), by_text, "{scope:?}");
        assert!(!by_text.is_empty(), "{scope:?}");
        assert!(places(&["--yara", &file], "never").is_empty(), "{scope:?}");
        let both = places(&["--yara", &file], "both");
        let banner = !places(&["--text", "Linux version"], "Linux version").is_empty();
        assert_eq!(
            both.is_empty(),
            !banner,
            "{scope:?}: a condition is of the whole memory"
        );
    }
    // Physical memory has owners.
    let (output, _) = search(&["--yara", &file]);
    let owned = rows(&output)
        .into_iter()
        .find(|row| row["pid"].is_number())
        .unwrap();
    let pid = u32::try_from(owned["pid"].as_u64().unwrap()).unwrap();
    assert!(guest.processes().any(|process| process.pid == Ok(pid)));
}

#[cfg(feature = "yara")]
#[test]
fn rules_that_are_none_say_where() {
    let wrong = rules("wrong", "rule x { condition: nothing_of_that_name }");
    let (output, said) = search(&["--yara", &wrong]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("nothing_of_that_name"), "{said}");
    let (output, said) = search(&["--yara", "/no/such/file.yar"]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/no/such/file.yar"), "{said}");
}

/// A rule that matched and has no string to tell of is told all the same.
#[cfg(feature = "yara")]
#[test]
fn a_rule_that_matches_without_a_string_is_told() {
    let text = r#"
        rule always { condition: true }
        rule quiet { strings: $a = "busybox" private condition: $a }
        rule never { condition: false }
    "#;
    let file = rules("stringless", text);
    for scope in [&[][..], &["--kernel"], &["--pid", "1"]] {
        let (output, said) = search(&[&["--yara", &file], scope].concat());
        assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
        let rows = rows(&output);
        let told: Vec<_> = rows
            .iter()
            .map(|row| row["rule"].as_str().unwrap())
            .collect();
        assert!(
            told.contains(&"always") && !told.contains(&"never"),
            "{scope:?}: {told:?}"
        );
        // Where the string stands.
        assert!(told.contains(&"quiet") || !scope.is_empty(), "{told:?}");
        for row in &rows {
            assert!(row["address"].is_null() && row["phys"].is_null(), "{row}");
            assert_eq!(row["absent"]["address"]["why"], "not-applicable", "{row}");
            assert_eq!(row["match"], "", "{row}");
            assert_eq!(row["pid"].is_number(), scope.contains(&"--pid"), "{row}");
        }
    }
    let empty = rules("empty", "// nothing yet\n");
    let (output, said) = search(&["--yara", &empty]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("search-empty.yar: no rule is there"),
        "{said}"
    );
}

#[cfg(not(feature = "yara"))]
#[test]
fn a_build_without_yara_names_the_feature() {
    let (output, said) = search(&["--yara", "x.yar"]);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--features yara"), "{said}");
}
