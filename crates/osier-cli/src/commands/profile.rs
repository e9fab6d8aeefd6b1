//! `osier profile`: import, show and export kernel profiles.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::bail;
use osier::import;
use osier::osier_profile::{BuildId, Kind, Profile, ProfileStore};
use osier::osier_snapshot::{Anomaly, OpenError};
use osier::osier_symbols::{SymbolFile, export_isf, export_kernelinfo};
use osier::symbol_path::PdbFile;
use osier::{Error, Guest, WalkEnds, isf_of_snapshot, open_snapshot};
use osier_fetch::Wish;
use osier_text::{visible, visible_bytes};

use super::common::{options, spare};
use crate::args::{ExportFormat, KnownArgs, OutputArgs, ProfileCommand};
use crate::failure::{Usage, in_file};
use crate::outcome::Outcome;
use crate::output::{Output, say};

pub(super) fn run(command: &ProfileCommand, output: &OutputArgs) -> anyhow::Result<Outcome> {
    match command {
        ProfileCommand::Import { files, out, group } => {
            import(files, out.as_deref(), group.as_deref(), output)
        }
        ProfileCommand::Fetch {
            name,
            key,
            server,
            out,
        } => fetch(name, key, server, out.as_deref(), output),
        ProfileCommand::Show { file, structure } => show(file, structure.as_deref()),
        ProfileCommand::Export { file, to, out } => export(file, *to, out.as_deref(), output),
    }
}

fn import(
    files: &[PathBuf],
    out: Option<&Path>,
    group: Option<&str>,
    output: &OutputArgs,
) -> anyhow::Result<Outcome> {
    if let Some(out) = out {
        spare(out, files)?;
    }
    let profile = import::import(files, group)?;
    let kept = match out {
        Some(out) => {
            profile.write_file(out, import::fingerprint(&profile))?;
            out.to_owned()
        }
        None => match import::keep(&profile, ProfileStore::user_cache()) {
            Some(path) => path,
            None if profile.identity().build_id.is_none() => {
                bail!("the files name no build id to keep the profile by; write it with -o FILE")
            }
            None => bail!("the cache cannot be written; write the profile with -o FILE"),
        },
    };
    tell(&profile, &kept, output);
    Ok(Outcome::Complete)
}

/// Downloads a PDB, keeps it, and makes a profile of it.
fn fetch(
    name: &str,
    key: &str,
    server: &str,
    out: Option<&Path>,
    output: &OutputArgs,
) -> anyhow::Result<Outcome> {
    let id = BuildId::from_symbol_server_key(key);
    let Some(pdb) = id.and_then(|id| PdbFile::new(name, id)) else {
        let (name, key) = (visible(name), visible(key));
        let usage = format!("`{name} {key}` names no PDB; write ntkrnlmp.pdb and GUID with age");
        return Err(Usage(usage).into());
    };
    let cache = ProfileStore::user_cache();
    let folder = match (out, &cache) {
        (Some(out), _) => out.to_owned(),
        (None, Some(cache)) => cache.join(import::SYMBOLS),
        (None, None) => bail!("there is no cache to keep the PDB in; name a folder with -o DIR"),
    };
    let wish = Wish {
        server,
        name: pdb.name(),
        key: pdb.key(),
        accepts: |head| {
            matches!(
                SymbolFile::detect(head),
                Some(SymbolFile::Pdb | SymbolFile::PdbCab)
            )
        },
    };
    let file = osier_fetch::fetch(&wish, &folder)?;
    if !output.quiet {
        say(&format!("{}: downloaded", osier_text::path(&file)));
    }
    let profile = import::import(std::slice::from_ref(&file), None)?;
    if profile.identity().build_id.as_ref() != Some(pdb.id()) {
        let (file, other) = (
            osier_text::path(&file),
            visible(&import::name(&profile)).to_string(),
        );
        bail!("{file}: the server sent another build, {other}");
    }
    match import::keep(&profile, cache) {
        Some(kept) => tell(&profile, &kept, output),
        None => bail!("the cache cannot be written; name the folder of the PDB with --profiles"),
    }
    Ok(Outcome::Complete)
}

/// Says what was imported, and where it is.
fn tell(profile: &Profile, kept: &Path, output: &OutputArgs) {
    if !output.quiet {
        let (types, symbols) = (profile.types().len(), profile.symbols().len());
        let kept = osier_text::path(kept);
        let of = import::name(profile);
        let of = visible(&of);
        say(&format!("{kept}: {types} types, {symbols} symbols of {of}"));
    }
}

/// A profile in another tool's format.
fn written(profile: &Profile, to: ExportFormat) -> anyhow::Result<String> {
    Ok(match to {
        ExportFormat::Kernelinfo => export_kernelinfo(profile, None)?,
        ExportFormat::Isf => export_isf(profile),
    })
}

fn export(
    file: &Path,
    to: ExportFormat,
    out: Option<&Path>,
    output: &OutputArgs,
) -> anyhow::Result<Outcome> {
    if let Some(out) = out {
        spare(out, &[file.to_owned()])?;
    }
    let options = options(&KnownArgs::default());
    let mut told = Output::new(output, 8);
    // A symbol file and a snapshot have everything that the other tool may ask for; a profile has what
    // Osier reads.
    let text = if let Ok((profile, _)) = Profile::read_file(file) {
        written(&profile, to)?
    } else if import::is_symbol_file(file).map_err(in_file(file))? {
        written(&import::import_whole(&[file.to_owned()], None)?, to)?
    } else {
        let snapshot = open_snapshot(file, &options).map_err(|error| match error {
            Error::Open(OpenError::NotASnapshot { .. }) => {
                anyhow::anyhow!("{error}; nor is it a profile or a file of symbols")
            }
            error => error.into(),
        })?;
        match to {
            ExportFormat::Isf => {
                let isf = isf_of_snapshot(&snapshot, &options)?;
                told.doubt(None, snapshot.info.doubts());
                let damage: Vec<_> = isf.damage.iter().map(Anomaly::bytes).collect();
                told.doubt(None, &damage);
                isf.text
            }
            ExportFormat::Kernelinfo => {
                let guest = Guest::attach(snapshot, &options)?;
                told.doubt(None, guest.info().doubts());
                written(guest.profile(), to)?
            }
        }
    };
    match out {
        Some(out) => osier_file::write(out, text).map_err(in_file(out))?,
        None => told.text(text.as_bytes())?,
    }
    Ok(told.conclude(&WalkEnds::default())?)
}

fn show(file: &Path, structure: Option<&str>) -> anyhow::Result<Outcome> {
    let (profile, fingerprint) = Profile::read_file(file)?;
    let text = match structure {
        None => summary(&profile, fingerprint),
        Some(name) => members(&profile, name).ok_or_else(|| {
            let (file, name) = (osier_text::path(file), visible(name));
            anyhow::anyhow!("{file}: no structure is called {name}")
        })?,
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Complete)
}

fn summary(profile: &Profile, fingerprint: u64) -> String {
    let identity = profile.identity();
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("kernel", &visible_bytes(&identity.banner));
    line("release", &visible(&identity.release));
    let id = identity.build_id.as_ref().map(ToString::to_string);
    line("build id", id.as_deref().unwrap_or("none"));
    let bits = identity.pointer_bytes.saturating_mul(8);
    line("width", &format!("{bits} bits"));
    line("types", &profile.types().len().to_string());
    line("symbols", &profile.symbols().len().to_string());
    line("constants", &profile.constants().len().to_string());
    line("made for", &format!("{fingerprint:016x}"));
    for source in profile.provenance() {
        line("from", &visible(source));
    }
    text
}

fn members(profile: &Profile, name: &str) -> Option<String> {
    let found = profile.find_type(name)?;
    let mut members: Vec<_> = found.members().iter().collect();
    members.sort_by_key(|member| (member.offset, member.bits));
    let mut text = format!("{}: {} bytes\n", visible(name), found.bytes);
    for member in members {
        let (name, kind) = (visible(&member.name), kind(&member.kind));
        let _ = write!(
            text,
            "  {:>6} {:>6}  {name:<28} {kind}",
            member.offset, member.bytes
        );
        if let Some((first, width)) = member.bits {
            let _ = write!(text, ", bits {first}+{width}");
        }
        text.push('\n');
    }
    Some(text)
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Int { signed: true } => "signed".to_owned(),
        Kind::Int { signed: false } => "unsigned".to_owned(),
        Kind::Pointer { to } if to.is_empty() => "pointer".to_owned(),
        Kind::Pointer { to } => format!("pointer to {}", visible(to)),
        Kind::Embedded { name } => visible(name).into_owned(),
        Kind::Array { of, count } => format!("{}[{count}]", self::kind(of)),
        Kind::Unknown => "?".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use osier::osier_profile::{Identity, Member, OsKind, ProfileBuilder, Type, TypeKind};

    use super::*;

    #[test]
    fn nothing_hidden_of_a_profile_is_shown() {
        const ODD: &str = "a\u{202e}b\u{1b}[2Jc\n";
        let mut builder = ProfileBuilder::new(Identity {
            os: OsKind::Linux,
            pointer_bytes: 8,
            build_id: None,
            banner: ODD.into(),
            release: ODD.into(),
        });
        builder.provenance(ODD);
        let of = |kind| Member {
            name: ODD.into(),
            offset: 0,
            bytes: 8,
            bits: None,
            kind,
        };
        let members = vec![
            of(Kind::Pointer { to: ODD.into() }),
            Member {
                name: "b".into(),
                ..of(Kind::Embedded { name: ODD.into() })
            },
        ];
        builder.add_type(Type::new(ODD.into(), TypeKind::Struct, 8, members));
        let profile = builder.build();
        let shown = summary(&profile, 0) + &members_of(&profile);
        let hidden = |c: char| c != '\n' && osier_text::is_hidden(c);
        assert!(!shown.contains(hidden), "{shown:?}");
        assert_eq!(shown.matches("u{202e}").count(), 7, "{shown}");
        assert_eq!(shown.lines().count(), 12, "{shown}");
    }

    fn members_of(profile: &Profile) -> String {
        members(profile, &profile.types().first().unwrap().name).unwrap()
    }
}
