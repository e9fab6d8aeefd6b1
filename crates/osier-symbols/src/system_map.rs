//! System.map, and the text of `/proc/kallsyms`: symbols and nothing else.

use osier_profile::{Identity, OsKind, ProfileBuilder, Wanted};

use crate::SymbolError;

/// Reads lines of `ADDRESS TYPE NAME`. The symbols are to be merged into a profile that has the
/// types. A line's fourth word, the module of a symbol in `/proc/kallsyms`, ends the kernel's own
/// symbols: such lines are left out. Global symbols (upper-case types) go before static ones of
/// the same name.
///
/// # Errors
///
/// A line of another form, or addresses that are all zero, as an unprivileged reader of
/// `/proc/kallsyms` gets them.
pub fn import_system_map(
    data: &[u8],
    wanted: Option<&Wanted>,
) -> Result<ProfileBuilder, SymbolError> {
    let mut digits = 0;
    let mut any = false;
    let mut global = Vec::new();
    let mut local = Vec::new();
    let mut offset = 0_u64;
    for line in data.split(|byte| *byte == b'\n') {
        let start = offset;
        offset = offset.saturating_add(line.len() as u64).saturating_add(1);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let malformed = |problem: &str| SymbolError::Malformed {
            format: "System.map",
            offset: start,
            problem: problem.to_owned(),
        };
        let line = std::str::from_utf8(line).map_err(|_| malformed("a line that is not text"))?;
        let (address, kind, name, module) =
            split_line(line).ok_or_else(|| malformed("not ADDRESS TYPE NAME"))?;
        digits = digits.max(address.len());
        let value = u64::from_str_radix(address, 16);
        let value = value.map_err(|_| malformed("an address that is not hexadecimal"))?;
        any |= value != 0;
        if module
            || wanted.is_some_and(|wanted| !wanted.symbols.iter().any(|list| list.contains(&name)))
        {
            continue;
        }
        if kind.is_ascii_uppercase() {
            global.push((name, value));
        } else {
            local.push((name, value));
        }
    }
    if !any {
        return Err(SymbolError::Unusable(
            "every address is zero: only root is shown those of /proc/kallsyms".to_owned(),
        ));
    }
    let mut builder = ProfileBuilder::new(Identity {
        os: OsKind::Linux,
        pointer_bytes: if digits > 8 { 8 } else { 4 },
        build_id: None,
        banner: Vec::new(),
        release: String::new(),
    });
    for (name, value) in global.into_iter().chain(local) {
        builder.add_symbol(name, value);
    }
    builder.provenance("symbols of a System.map");
    Ok(builder)
}

fn split_line(line: &str) -> Option<(&str, char, &str, bool)> {
    let mut words = line.split_ascii_whitespace();
    let address = words.next()?;
    let mut kind = words.next()?.chars();
    let letter = kind.next().filter(|_| kind.next().is_none())?;
    let name = words.next()?;
    Some((address, letter, name, words.next().is_some()))
}

/// Whether the data begins as a System.map does.
pub(crate) fn looks_like(data: &[u8]) -> bool {
    let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line.get(..line.len().min(512)).unwrap_or_default());
    line.ok().and_then(split_line).is_some_and(|(address, ..)| {
        matches!(address.len(), 8 | 16) && u64::from_str_radix(address, 16).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_symbols_global_ones_first() {
        let text = b"c1000000 t modules\nc1000000 T _text\nc1abcdef D modules\n\
            f8000000 t helper\t[ext4]\n";
        assert!(looks_like(text));
        let profile = import_system_map(text, None).unwrap().build();
        assert_eq!(profile.identity().pointer_bytes, 4);
        assert_eq!(profile.symbol("_text"), Some(0xc100_0000));
        assert_eq!(profile.symbol("modules"), Some(0xc1ab_cdef));
        assert_eq!(profile.symbol("helper"), None);
    }

    #[test]
    fn refuses_other_texts_and_hidden_addresses() {
        for text in [
            &b"hello\n"[..],
            b"0000000000000000 T _text\n0000000000000000 D modules\n",
            b"zz T _text",
            b"ffffffff81000000 TT _text",
            b"ffffffff81000000 T _te\xff",
            b"",
        ] {
            assert!(import_system_map(text, None).is_err());
        }
    }
}
