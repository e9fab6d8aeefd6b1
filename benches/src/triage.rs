//! The questions after the process list, side by side: what each program costs, and what it finds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::args::Args;
use crate::guest::{Guest, RECIPES};
use crate::measure::{Costs, printed, run_silent, run_to, seconds};
use crate::peers::{drgn_program, volatility_command, volatility_program};
use crate::table::Table;
use crate::workshop::{Workshop, say};

/// A question, as Osier and the others are asked it. What each of them answers is a set of keys, which can be compared.
struct Question {
    title: &'static str,
    /// The words of Osier's command.
    osier: &'static [&'static str],
    /// The key of a row of Osier's; `None` for a row that the others are not asked for.
    key: fn(&Value) -> Option<String>,
    /// Volatility 3's plugin, and the key of a row of it.
    plugin: &'static str,
    plugin_key: fn(&Value) -> Option<String>,
    /// What a drgn program prints for `prog`, a key a line; empty where drgn has nothing for it.
    drgn: &'static str,
}

const QUESTIONS: &[Question] = &[
    Question {
        title: "open files",
        osier: &["files"],
        key: |row| joined(row, &["pid", "fd"]),
        plugin: "linux.lsof",
        plugin_key: |row| joined(row, &["PID", "FD"]),
        drgn: "\
from drgn.helpers.linux.fs import for_each_file
from drgn.helpers.linux.pid import for_each_task
for task in for_each_task(prog):
    if task.pid == task.tgid and task.files:
        for fd, file in for_each_file(task):
            print(task.tgid.value_(), fd)
",
    },
    Question {
        title: "sockets that descriptors show",
        osier: &["sockets"],
        key: |row| {
            row.get("pid")
                .filter(|pid| pid.is_number())
                .and(address(row, "address"))
        },
        plugin: "linux.sockstat",
        plugin_key: |row| address(row, "Sock Offset"),
        drgn: "\
from drgn import cast
from drgn.helpers.linux.fs import for_each_file
from drgn.helpers.linux.pid import for_each_task
sockets = prog['socket_file_ops'].address_of_()
for task in for_each_task(prog):
    if task.pid == task.tgid and task.files:
        for fd, file in for_each_file(task):
            if file.f_op == sockets:
                print(hex(cast('struct socket *', file.private_data).sk.value_()))
",
    },
    Question {
        title: "environments",
        osier: &["env"],
        key: |row| joined(row, &["pid", "name"]),
        plugin: "linux.envars",
        plugin_key: |row| joined(row, &["PID", "KEY"]),
        drgn: "\
from drgn.helpers.linux.mm import environ
from drgn.helpers.linux.pid import for_each_task
for task in for_each_task(prog):
    if task.pid == task.tgid and task.mm:
        for variable in environ(task):
            print(task.tgid.value_(), variable.decode('latin-1').split('=', 1)[0])
",
    },
    Question {
        title: "the kernel's log",
        osier: &["log"],
        key: |row| row.get("text")?.as_str().map(first_line),
        plugin: "linux.kmsg",
        plugin_key: |row| row.get("line")?.as_str().map(first_line),
        drgn: "\
from drgn.helpers.linux.printk import get_printk_records
for record in get_printk_records(prog):
    print(record.text.decode('latin-1').split('\\n')[0].strip())
",
    },
    Question {
        title: "system calls that leave the kernel",
        osier: &["findings", "--where", "rule = 'syscall.table'"],
        key: |row| row.get("subject")?.as_str().map(str::to_owned),
        plugin: "linux.malware.check_syscall",
        plugin_key: |row| {
            let symbol = row.get("Handler Symbol")?.as_str()?;
            (symbol == "UNKNOWN").then(|| joined(row, &["Table Name", "Index"]))?
        },
        drgn: "",
    },
    Question {
        title: "executable memory that is no file's",
        osier: &["findings", "--where", "rule = 'memory.executable'"],
        key: |row| joined(row, &["pid"]),
        plugin: "linux.malware.malfind",
        plugin_key: |row| joined(row, &["PID"]),
        drgn: "",
    },
    Question {
        title: "tasks by their own bytes",
        osier: &["scan", "--where", "kind != module"],
        key: |row| joined(row, &["tid"]),
        plugin: "linux.psscan",
        plugin_key: |row| joined(row, &["TID"]),
        drgn: "",
    },
    Question {
        title: "modules that the list lacks",
        osier: &["findings", "--where", "rule = 'module.hidden'"],
        key: |row| row.get("subject")?.as_str().map(str::to_owned),
        plugin: "linux.malware.hidden_modules",
        plugin_key: |row| row.get("Name")?.as_str().map(str::to_owned),
        drgn: "",
    },
];

/// What stands before each drgn program.
const PROGRAM: &str = "\
import sys
import drgn
prog = drgn.Program()
prog.set_core_dump(sys.argv[1])
prog.load_debug_info([sys.argv[2]])
";

/// Values of a row with blanks between them.
fn joined(row: &Value, names: &[&str]) -> Option<String> {
    let word = |name: &&str| match row.get(*name)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let words: Option<Vec<String>> = names.iter().map(word).collect();
    Some(words?.join(" "))
}

/// An address, which one program writes in hexadecimal and another as a number.
fn address(row: &Value, name: &str) -> Option<String> {
    match row.get(name)? {
        Value::String(text) => Some(text.clone()),
        number => Some(format!("{:#x}", number.as_u64()?)),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

/// Reads keys out of what a program printed.
type Read<'q> = Box<dyn Fn(&str) -> Result<BTreeSet<String>> + 'q>;

/// A program that answers one question.
struct Line<'q> {
    name: &'static str,
    command: Command,
    read: Read<'q>,
    costs: Costs,
    /// What it found, or why nothing.
    found: Result<BTreeSet<String>, String>,
}

/// A table for the first of the made machines, which every program can read.
pub(crate) fn run(args: &Args, workshop: &Workshop) -> Result<String> {
    let recipe = RECIPES.first().context("no recipe")?;
    let guest = Guest::get(recipe, workshop)?;
    let headings = ["question", "program", "CPU s", "to Osier's", "found"];
    let mut table = Table::new(&headings, &["question", "program", "found"]);
    for question in QUESTIONS {
        let mut lines = lines(question, &guest, workshop)?;
        for round in 0..=args.runs {
            for line in &mut lines {
                say(&format!("{}, round {round}: {}", question.title, line.name));
                let words: String = line
                    .name
                    .chars()
                    .filter(char::is_ascii_alphanumeric)
                    .collect();
                measure(line, &workshop.folder.join("logs").join(words), round)?;
            }
        }
        let ours = lines.first().context("no lines")?;
        let (cost, own) = (ours.costs.cpu(), ours.found.clone());
        for line in &lines {
            let times = line.costs.cpu() / cost;
            table.line(&[
                question.title.to_owned(),
                line.name.to_owned(),
                seconds(line.costs.cpu()),
                format!("{times:.0}"),
                compared(&own, &line.found),
            ]);
        }
    }
    let size = fs::metadata(&guest.elf)?.len() >> 20;
    let title = format!(
        "{}, {size} MiB, medians of {} runs.",
        guest.title, args.runs
    );
    let searched = search(args, &guest, workshop)?;
    Ok(format!("{title}\n\n{}\n{searched}", table.text()))
}

/// A rule of one string, and the string.
const TEXT: &str = "spinner-0";
const RULE: &str = "rule spinner { strings: $name = \"spinner-0\" condition: $name }\n";

/// What a search of all memory costs, beside programs that know no machine.
fn search(args: &Args, guest: &Guest, workshop: &Workshop) -> Result<String> {
    let rule = workshop.folder.join("spinner.yar");
    fs::write(&rule, RULE)?;
    let osier = |words: &[&str], last: Option<&Path>| {
        let mut command = workshop.osier();
        command
            .arg("search")
            .arg(&guest.raw)
            .arg("--phys")
            .args(words);
        command.args(last).args(["--format", "jsonl"]);
        command
    };
    let mut grep = Command::new("grep");
    grep.args(["-c", "-a", "-F", TEXT]).arg(&guest.raw);
    let mut programs = vec![
        ("`osier search --text`", osier(&["--text", TEXT], None)),
        ("`grep -c`", grep),
        ("`osier search --yara`", osier(&["--yara"], Some(&rule))),
    ];
    if let Ok(words) = workshop.debian_program("bookworm", "yara") {
        let mut yara = Command::new(words.first().context("no words")?);
        yara.args(words.iter().skip(1))
            .arg("-s")
            .arg(&rule)
            .arg(&guest.raw);
        programs.push(("`yara`", yara));
    }
    let mut costs = vec![Costs::default(); programs.len()];
    for round in 0..=args.runs {
        for ((name, command), costs) in programs.iter_mut().zip(&mut costs) {
            say(&format!("search, round {round}: {name}"));
            let cost = run_silent(command)?;
            costs.0.extend((round > 0).then_some(cost));
        }
    }
    let mib = fs::metadata(&guest.raw)?.len() as f64 / f64::from(1 << 20);
    let mut table = Table::new(
        &["search of all memory", "CPU s", "MiB/s of CPU"],
        &["search of all memory"],
    );
    for ((name, _), costs) in programs.iter().zip(&costs) {
        let rate = mib / costs.cpu();
        table.line(&[
            (*name).to_owned(),
            seconds(costs.cpu()),
            format!("{rate:.0}"),
        ]);
    }
    Ok(table.text().to_owned())
}

fn lines<'q>(question: &'q Question, guest: &Guest, workshop: &Workshop) -> Result<Vec<Line<'q>>> {
    let line = |name, command, read| Line {
        name,
        command,
        read,
        costs: Costs::default(),
        found: Ok(BTreeSet::new()),
    };
    let mut osier = workshop.osier();
    osier
        .args(question.osier)
        .arg(&guest.elf)
        .args(["--format", "json"]);
    let read = Box::new(|text: &str| keys(text, question.key));
    let mut lines: Vec<Line<'q>> = vec![line("Osier", osier, read)];
    let mut volatility = volatility_command(&volatility_program(workshop)?, guest, workshop)?;
    volatility.arg(question.plugin);
    let read = Box::new(|text: &str| keys(text, question.plugin_key));
    lines.push(line("Volatility 3", volatility, read));
    if !question.drgn.is_empty() {
        let words: String = question
            .title
            .chars()
            .filter(char::is_ascii_lowercase)
            .collect();
        let script = workshop.folder.join(format!("{words}.py"));
        fs::write(&script, [PROGRAM, question.drgn].concat())?;
        let mut drgn = Command::new(drgn_program(workshop)?);
        drgn.arg(script)
            .arg(&guest.elf)
            .arg(guest.vmlinux(workshop)?);
        let read = Box::new(|text: &str| Ok(text.lines().map(str::to_owned).collect()));
        lines.push(line("drgn", drgn, read));
    }
    Ok(lines)
}

/// Runs a program once; the first run fills caches, and tells what it finds.
fn measure(line: &mut Line<'_>, out: &Path, round: usize) -> Result<()> {
    let cost = run_to(&mut line.command, out)?;
    if round > 0 {
        line.costs.0.push(cost);
        return Ok(());
    }
    let failed = !cost.status.success() && cost.status.code() != Some(3);
    let read = (line.read)(&printed(out)?);
    line.found = match read {
        Err(error) if failed => Err(format!("failed ({}): {error:#}", cost.status)),
        Err(error) => Err(format!("its answer cannot be read: {error:#}")),
        Ok(found) => Ok(found),
    };
    Ok(())
}

/// The keys of a JSON array of rows, those below others too.
fn keys(text: &str, key: fn(&Value) -> Option<String>) -> Result<BTreeSet<String>> {
    fn below(rows: &Value, key: fn(&Value) -> Option<String>, keys: &mut BTreeSet<String>) {
        for row in rows.as_array().into_iter().flatten() {
            keys.extend(key(row));
            below(row.get("__children").unwrap_or(&Value::Null), key, keys);
        }
    }
    let start = text.find('[').context("no rows")?;
    let rows: Value = serde_json::from_str(text.get(start..).unwrap_or_default())?;
    let mut found = BTreeSet::new();
    below(&rows, key, &mut found);
    Ok(found)
}

/// What was found, beside what Osier found.
fn compared(
    ours: &Result<BTreeSet<String>, String>,
    theirs: &Result<BTreeSet<String>, String>,
) -> String {
    match (ours, theirs) {
        (_, Err(why)) => why.replace('|', "/").chars().take(160).collect(),
        (Ok(ours), Ok(theirs)) if ours == theirs => format!("{}", theirs.len()),
        (ours, Ok(theirs)) => {
            let none = BTreeSet::new();
            let ours = ours.as_ref().unwrap_or(&none);
            let (lacks, more) = (ours.difference(theirs), theirs.difference(ours));
            let example = more.clone().next().map(|one| format!(" (such as {one})"));
            format!(
                "{}: {} of Osier's not among them, {} others{}",
                theirs.len(),
                lacks.count(),
                more.count(),
                example.unwrap_or_default().replace('|', "/"),
            )
        }
    }
}
