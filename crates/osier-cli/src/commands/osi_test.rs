//! `osier osi-test`: what PANDA's plugin prints, byte for byte; on a terminal with the names
//! that hold hidden characters escaped.

use std::io::{self, IsTerminal, Write};

use osier::panda::{Sentinel, osi_test};
use osier_text::visible_bytes;

use super::common::open;
use crate::args::{OsiTestArgs, OutputArgs};
use crate::outcome::Outcome;

pub(super) fn run(args: &OsiTestArgs, output: &OutputArgs) -> anyhow::Result<Outcome> {
    let (guest, mut out) = open(&args.snapshot, output)?;
    let sentinel = if args.no_sentinel {
        Sentinel::LeftOut
    } else {
        Sentinel::Shown
    };
    let mut shown;
    let to: &mut dyn Write = if io::stdout().is_terminal() {
        shown = Shown {
            to: out.writer(),
            line: Vec::new(),
        };
        &mut shown
    } else {
        out.writer()
    };
    let printed = osi_test(&*guest.provider(), guest.pointer_bytes(), sentinel, to)?;
    for place in &printed.places {
        out.lose_at(1, place);
    }
    out.lose(printed.lost.saturating_sub(printed.places.len()));
    Ok(out.conclude(&printed.ends)?)
}

/// Shows whole lines with nothing in them that cannot be seen, but the tabs between their parts.
struct Shown<W: Write> {
    to: W,
    line: Vec<u8>,
}

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if byte == b'\n' {
                let parts = self.line.split(|&byte| byte == b'\t').map(visible_bytes);
                let line = parts.collect::<Vec<_>>().join("\t");
                writeln!(self.to, "{line}")?;
                self.line.clear();
            } else {
                self.line.push(byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_names_that_can_be_seen() {
        let mut shown = Shown {
            to: Vec::new(),
            line: Vec::new(),
        };
        shown.write_all(b"1\t\x1b[2J\xff\xe2\x80\xae").unwrap();
        shown.write_all(b"x\ty\n\n").unwrap();
        let text = String::from_utf8(shown.to).unwrap();
        assert_eq!(text, "1\t\\u{1b}[2J\\xff\\u{202e}x\ty\n\n");
    }
}
