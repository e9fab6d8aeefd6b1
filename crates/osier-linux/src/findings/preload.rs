//! Libraries that programs load before all others: by their environment, or because `/etc/ld.so.preload` says so.

use std::ops::ControlFlow;

use foldhash::{HashSet, HashSetExt as _};
use osier_memory::{PAGE_BYTES, VirtAddr};
use osier_osi::{Behind, Process, Seen, Severity, Variable};

use super::context::{About, Context, Evidence, Found, Rule, Says, process};
use super::programs::{is_open, of, read};
use crate::path::Below;
use crate::{environment, group};

/// Where the dynamic linker finds libraries for every program, as a folder and a name in it.
const FOLDER: &[u8] = b"etc";
const NAME: &[u8] = b"ld.so.preload";

/// A library that is loaded before all others.
pub(super) static PRELOAD: Rule = Rule {
    about: About {
        name: "preload",
        normal: "LD_PRELOAD and LD_AUDIT are not in the environment, and /etc/ld.so.preload does not exist or is empty.",
        otherwise: "Allocators (jemalloc), games, sandboxes and tests preload libraries; /etc/ld.so.preload is used by a few agents of security products and by boards that replace functions for their processor.",
    },
    look: preload,
};

fn preload(context: &Context<'_>, found: &mut Found) {
    let mut roots = HashSet::new();
    for row in context.programs(found) {
        by_environment(context, row, found);
        match root(context, row) {
            Ok(root) if roots.insert(root) => {
                let of_first = roots.len() == 1;
                if let Err(absent) = by_file(context, row, (root, of_first), found) {
                    found.absent("/etc/ld.so.preload", &absent);
                }
            }
            Ok(_) => {}
            Err(absent) => found.absent("the root directory of a process", &absent),
        }
    }
}

/// What the environment of a process has loaded.
fn by_environment(context: &Context<'_>, row: &Process, found: &mut Found) {
    let mut look = |variable: Variable| {
        let what = "a variable of a process";
        let (Some(name), Some(value)) = (
            read(&variable.name, what, found),
            read(&variable.value, what, found),
        ) else {
            return;
        };
        if ![&b"LD_PRELOAD"[..], b"LD_AUDIT"].contains(&name) || value.is_empty() {
            return;
        }
        let mut libraries = value.split(|byte| matches!(byte, b':' | b' '));
        let severity = if libraries.any(is_open) {
            Severity::Medium
        } else {
            Severity::Note
        };
        let text = "The environment has a library loaded before all others.";
        let shown = [name, b"=", value].concat();
        let evidence = Evidence::default().and("variable", variable.address, shown);
        found.process(&row.pid, of(row, severity, text, evidence));
    };
    let ends = environment::environment(context.linux, row.taskd, &mut |variable| {
        look(variable);
        ControlFlow::Continue(())
    });
    found.ends.join(ends);
}

/// The `dentry` of a process's root directory.
fn root(context: &Context<'_>, row: &Process) -> Seen<VirtAddr> {
    let guest = &context.linux.guest;
    let paths = &context.linux.maps.paths;
    let field = paths
        .task_fs()
        .ok_or_else(osier_osi::Absent::not_in_this_kernel)?;
    let bearer = group::bearer(context.linux, row.taskd, field)?;
    let fs = field.read(&guest.space, bearer)?;
    Ok(paths.root_of(guest, fs)?.dentry)
}

/// What the file of the folder that is `root` to a process has loaded into every program that is started there.
fn by_file(
    context: &Context<'_>,
    row: &Process,
    (root, of_first): (VirtAddr, bool),
    found: &mut Found,
) -> Seen<()> {
    let guest = &context.linux.guest;
    let paths = &context.linux.maps.paths;
    let below = |folder, name, found: &mut Found| paths.below(guest, folder, name, &mut found.ends);
    let Below::File { dentry: folder, .. } = below(root, FOLDER, found)? else {
        return Ok(());
    };
    let Below::File { dentry, inode } = below(folder, NAME, found)? else {
        return Ok(());
    };
    let mapping = paths.inodes().mapping(guest, inode)?;
    let file = context.linux.page_cache.file(guest, mapping);
    let size = file.size.clone()?;
    if size == 0 {
        return Ok(());
    }
    let text = match context
        .linux
        .page_cache
        .cached(guest, &file, 0, PAGE_BYTES)
        .what
    {
        Ok(Behind::Frame(frame)) => {
            let mut bytes = vec![0; size.min(PAGE_BYTES) as usize];
            guest.space.memory().read(frame, &mut bytes)?;
            Some(bytes)
        }
        _ => None,
    };
    let libraries = text.as_deref().map(libraries);
    if libraries.as_ref().is_some_and(Vec::is_empty) {
        return Ok(());
    }
    let shown = match &libraries {
        Some(libraries) => libraries.join(&b' '),
        None => format!("{size} bytes, which are not in memory").into_bytes(),
    };
    let mut subject = b"/etc/ld.so.preload".to_vec();
    if !of_first {
        subject.extend_from_slice(b" of ");
        subject.extend_from_slice(&process(row));
    }
    found.kernel(Says {
        severity: Severity::Medium,
        subject,
        text: "Every program that is started has a library loaded before all others.".to_owned(),
        evidence: Evidence::default().and("dentry", dentry, NAME).and(
            "what the file says, inode",
            inode,
            shown,
        ),
        address: inode,
    });
    Ok(())
}

/// The libraries that a text names as the dynamic linker reads it: between blanks and colons, without comments.
fn libraries(text: &[u8]) -> Vec<&[u8]> {
    let lines = text.split(|byte| *byte == b'\n');
    let spoken = lines.filter_map(|line| line.split(|byte| *byte == b'#').next());
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b':');
    let words = spoken.flat_map(|line| line.split(blank));
    words.filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_stand_between_blanks_and_colons_and_comments_are_none() {
        let text = b"# none\n/lib/a.so:/lib/b.so\t/c.so # d.so\n\n";
        assert_eq!(libraries(text), [&b"/lib/a.so"[..], b"/lib/b.so", b"/c.so"]);
        assert!(libraries(b" \n#x\n").is_empty());
    }
}
