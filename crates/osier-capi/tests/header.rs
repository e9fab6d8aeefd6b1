//! `osier/osier.h` is what the code says. `OSIER_WRITE_HEADER=1` writes it again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use cbindgen::{Config, EnumConfig, ExportConfig, Language, RenameRule, Style};

const FIRST: &str = "\
/* libosier: Osier's questions for programs in C. docs/c.md has a complete program.
 *
 * Strings are UTF-8 and end with a NUL. A function that can fail takes a place for an error, which may be NULL.
 * Addresses and sizes are the guest's; times are as docs/rows.md says. */";

/// Arrow's C data and stream interface, as its specification gives it, guards included.
const ARROW: &str = "
#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  const char *format;
  const char *name;
  const char *metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema **children;
  struct ArrowSchema *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void **buffers;
  struct ArrowArray **children;
  struct ArrowArray *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
  int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
  int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
  const char *(*get_last_error)(struct ArrowArrayStream *);
  void (*release)(struct ArrowArrayStream *);
  void *private_data;
};

#endif /* ARROW_C_STREAM_INTERFACE */";

/// The header that the code asks for.
fn header() -> String {
    let names = [
        ("Answer", "osier_answer"),
        ("Bytes", "osier_bytes"),
        ("Current", "osier_current"),
        ("FFI_ArrowArrayStream", "struct ArrowArrayStream"),
        ("Error", "osier_error"),
        ("ErrorKind", "osier_error_kind"),
        ("Guest", "osier_guest"),
        ("Handle", "osier_handle"),
        ("Interface", "osier_interface"),
        ("Scanned", "osier_scanned"),
        ("Finding", "osier_finding"),
        ("LogLine", "osier_log_line"),
        ("Mapping", "osier_mapping"),
        ("Module", "osier_module"),
        ("Mount", "osier_mount"),
        ("OpenFile", "osier_open_file"),
        ("Options", "osier_options"),
        ("PageRange", "osier_page_range"),
        ("PandaList", "osier_panda_list"),
        ("PandaModule", "osier_panda_module"),
        ("PandaProcess", "osier_panda_process"),
        ("PandaThread", "osier_panda_thread"),
        ("Process", "osier_process"),
        ("Question", "osier_question"),
        ("Socket", "osier_socket"),
        ("Thread", "osier_thread"),
        ("Variable", "osier_variable"),
        ("WideProcess", "osier_wide_process"),
    ];
    let names = names.map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()));
    let mut fields =
        String::from("/* The numbers of fields, for `present` and osier_absence(). */\n");
    for (row, columns) in osier_capi::fields() {
        let _ = writeln!(fields, "enum osier_{row}_field {{");
        for (number, column) in columns.iter().enumerate() {
            let name = format!("OSIER_{row}_{column}").to_uppercase();
            let _ = writeln!(fields, "  {name} = {number},");
        }
        fields.push_str("};\n\n");
    }
    fields.push_str(
        "/* Whether a field of a row has a value: OSIER_HAS(process, OSIER_PROCESS_PPID). */\n\
         #define OSIER_HAS(row, field) (((row)->present >> (field)) & 1)\n",
    );
    let config = Config {
        language: Language::C,
        style: Style::Type,
        header: Some(FIRST.to_owned()),
        include_guard: Some("OSIER_H".to_owned()),
        cpp_compat: true,
        documentation: true,
        usize_is_size_t: true,
        after_includes: Some(ARROW.to_owned()),
        enumeration: EnumConfig {
            rename_variants: RenameRule::QualifiedScreamingSnakeCase,
            ..EnumConfig::default()
        },
        export: ExportConfig {
            include: vec!["Question".to_owned(), "ErrorKind".to_owned()],
            rename: names.into_iter().collect(),
            ..ExportConfig::default()
        },
        ..Config::default()
    };
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = cbindgen::Builder::new().with_config(config);
    for file in [
        "question",
        "error",
        "filling",
        "row/process",
        "row/kernel",
        "row/memory",
        "row/holdings",
        "row/network",
        "row/hunt",
        "guest",
        "answer",
        "panda",
        "border",
    ] {
        all = all.with_src(crate_folder.join(format!("src/{file}.rs")));
    }
    let mut text = Vec::new();
    all.generate().unwrap().write(&mut text);
    // What Rust asks of callers is said in C's own words above each function.
    let text = String::from_utf8(text).unwrap();
    let mut lines = Vec::new();
    let mut safety = false;
    for line in text.lines() {
        if line.contains("# Safety") {
            safety = true;
            while lines.last() == Some(&" *") {
                lines.pop();
            }
            continue;
        }
        if line.trim() == "*/" {
            safety = false;
        }
        if !safety {
            lines.push(line);
        }
    }
    // Inside the guard, so that the header may be included twice.
    let end = lines.iter().rposition(|line| line.starts_with("#endif"));
    lines.insert(end.unwrap(), fields.as_str());
    lines.join("\n") + "\n"
}

/// Each function of the header has a version in `osier.map`, and one.
#[test]
fn every_function_has_one_version() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = std::fs::read_to_string(folder.join("include/osier/osier.h")).unwrap();
    let map = std::fs::read_to_string(folder.join("osier.map")).unwrap();
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric());
        words.map(str::to_owned).collect()
    };
    // Comments and members are set in.
    let mut declared: Vec<String> = header
        .lines()
        .filter(|line| !line.starts_with([' ', '/', '#']))
        .filter_map(|line| words(line.split_once('(')?.0).pop())
        .filter(|name| name.starts_with("osier_"))
        .collect();
    let names = map.lines().filter(|line| line.ends_with(';'));
    let mut exported: Vec<String> = names
        .flat_map(words)
        .filter(|name| name.starts_with("osier_"))
        .collect();
    declared.sort();
    exported.sort();
    assert!(declared.len() > 40);
    assert_eq!(exported, declared, "crates/osier-capi/osier.map");
}

const PAGE: &str = "\
# Reference of libosier

Every function and type of `osier/osier.h`, with what the header says of it. This page is made of the header, and a test holds it to
that. `docs/c.md` tells how they go together; `docs/rows.md` what the fields of rows mean.
";

/// The page about the header: each function, then each type, with its comment.
fn page(header: &str) -> String {
    let (mut functions, mut types) = (String::new(), String::new());
    let mut lines = header.lines().peekable();
    while let Some(line) = lines.next() {
        if line != "/**" {
            continue;
        }
        let mut told = String::new();
        for line in lines.by_ref().take_while(|line| *line != " */") {
            let line = line.trim_start_matches(" *");
            let _ = writeln!(told, "{}", line.strip_prefix(' ').unwrap_or(line));
        }
        let mut code = String::new();
        while let Some(line) = lines.next_if(|line| !line.is_empty()) {
            let _ = writeln!(code, "{line}");
        }
        let type_of = code.starts_with("typedef");
        let name = if type_of {
            let last = code.trim_end().rsplit(' ').next().unwrap_or_default();
            last.trim_end_matches(';').to_owned()
        } else {
            let before = code.split('(').next().unwrap_or_default();
            before
                .rsplit([' ', '*'])
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let into = if type_of { &mut types } else { &mut functions };
        let _ = write!(into, "\n### {name}\n\n{told}\n```c\n{code}```\n");
    }
    format!("{PAGE}\n## Functions\n{functions}\n## Types\n{types}")
}

#[test]
fn the_reference_is_that_of_the_header() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let header = std::fs::read_to_string(root.join("crates/osier-capi/include/osier/osier.h"));
    let wanted = page(&header.unwrap());
    let file = root.join("docs/c-reference.md");
    if std::env::var_os("OSIER_WRITE_HEADER").is_some() {
        std::fs::write(&file, &wanted).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == wanted,
        "OSIER_WRITE_HEADER=1 cargo test -p osier-capi --test header, twice where the header changed"
    );
}

#[test]
fn the_header_is_what_the_code_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/osier/osier.h");
    let wanted = header();
    if std::env::var_os("OSIER_WRITE_HEADER").is_some() {
        std::fs::write(&file, &wanted).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == wanted,
        "OSIER_WRITE_HEADER=1 cargo test -p osier-capi --test header"
    );
}

/// Each column of every kind of row is a field, and each field a column.
#[test]
fn a_struct_has_the_columns_of_its_tables() {
    use osier::ask::Question;
    use osier::tables::{Columns, of};
    for ((row, fields), question) in osier_capi::fields().into_iter().zip(Question::ALL) {
        let columns = Columns::of(of(question));
        let mut columns: Vec<_> = columns.iter().map(|column| column.name).collect();
        let mut fields = fields.to_vec();
        columns.sort_unstable();
        fields.sort_unstable();
        assert_eq!(fields, columns, "{row}");
    }
}

/// The program that `docs/c.md` shows is the one that is compiled and run.
#[test]
fn the_documented_program_is_the_tested_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/c.md")).unwrap();
    let program = std::fs::read_to_string(root.join("tests/c/processes.c")).unwrap();
    assert!(page.contains(&format!("```c\n{program}```\n")));
}
