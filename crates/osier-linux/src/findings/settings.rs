//! What the kernel was told, and what it notes of itself.

use osier_osi::Severity;

use super::context::{About, Context, Evidence, Found, Rule, Says};
use super::programs::is_open;
use crate::symbols;

/// Longest path that is read.
const PATH: usize = 256;
/// The letters of the kernel's taints, from bit 0 on: `taint_flags`.
const LETTERS: &[u8] = b"PFSRMBUDAWCIOELKXTN";

/// A program that the kernel starts, in a folder that everybody may write to.
pub(super) static HELPERS: Rule = Rule {
    about: About {
        name: "kernel.helper",
        normal: "What the kernel starts by itself (modprobe_path, core_pattern) lies in folders of the system.",
        otherwise: "Somebody who debugs crashes may send core files to a program of their own.",
    },
    look: helpers,
};

fn helpers(context: &Context<'_>, found: &mut Found) {
    let guest = &context.linux.guest;
    for name in [symbols::modprobe_path, symbols::core_pattern] {
        let Some(at) = guest.symbol(name) else {
            found.lost(name, None);
            continue;
        };
        match guest.space.read_cstr(at, PATH) {
            Ok(path) => {
                // A pattern without a pipe is the name of a file that is written.
                let program = match name {
                    symbols::core_pattern => path.strip_prefix(b"|").map(<[u8]>::trim_ascii_start),
                    _ => Some(path.as_slice()),
                };
                if program.is_some_and(is_open) {
                    found.kernel(Says {
                        severity: Severity::Medium,
                        subject: name.to_owned().into_bytes(),
                        text: "The kernel starts a program out of a folder that everybody may write to.".to_owned(),
                        evidence: Evidence::default().and(name, at, &path),
                        address: at,
                    });
                }
            }
            Err(fault) => found.lost(name, Some(fault)),
        }
    }
}

/// What the kernel notes of itself.
pub(super) static TAINT: Rule = Rule {
    about: About {
        name: "kernel.taint",
        normal: "The kernel has no taint.",
        otherwise: "Modules of third parties, unsigned ones, and warnings of the kernel taint it.",
    },
    look: taint,
};

fn taint(context: &Context<'_>, found: &mut Found) {
    let guest = &context.linux.guest;
    let Some(at) = guest.symbol(symbols::tainted_mask) else {
        found.lost(symbols::tainted_mask, None);
        return;
    };
    match guest.space.read_pointer(at) {
        Ok(mask) if mask.is_null() => {}
        Ok(mask) => {
            let set = LETTERS.iter().zip(0_u32..);
            let set = set.filter(|(_, bit)| mask.0.wrapping_shr(*bit) & 1 == 1);
            let letters: String = set.map(|(letter, _)| char::from(*letter)).collect();
            found.kernel(Says {
                severity: Severity::Note,
                subject: b"kernel".to_vec(),
                text: format!("The kernel is tainted: {letters}."),
                evidence: Evidence::default().and(symbols::tainted_mask, at, mask.to_string()),
                address: at,
            });
        }
        Err(fault) => found.lost(symbols::tainted_mask, Some(fault)),
    }
}
