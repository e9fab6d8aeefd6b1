//! What a finished part of a run says of itself: the file `shard/I-of-N.json`, by which `osier merge` knows
//! that parts belong together and that their files are as they were written.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::shard::Shard;

/// Its name in the folder that a run works in, and the stem of its own folder.
pub(crate) const PART: &str = "shard.json";
pub(crate) const PARTS: &str = "shard";

/// A part of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) shard: Shard,
    pub(crate) run: Whole,
    /// For each kernel of its snapshots, by banner and build id, the sum of the profile it was read with.
    pub(crate) kernels: BTreeMap<String, String>,
    /// For each file that a whole run writes, by its name there, the part's bytes and their CRC-32.
    pub(crate) files: BTreeMap<String, (u64, u32)>,
}

/// The run that a part is of. Parts that are put together have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Inputs of the whole run, and the sum of their names.
    pub(crate) inputs: u64,
    pub(crate) list: String,
    pub(crate) version: String,
    /// The questions' words.
    pub(crate) tables: Vec<String>,
    /// The ending of the tables' names.
    pub(crate) to: String,
    pub(crate) row_group: u64,
    /// Everything else that rows depend on.
    pub(crate) options: String,
}

impl Whole {
    /// What differs between two runs, in words; `None` when they are one.
    pub(crate) fn differs(&self, other: &Self) -> Option<&'static str> {
        let same = [
            (self.version == other.version, "versions of Osier"),
            (self.tables == other.tables, "tables"),
            (self.to == other.to, "formats"),
            (self.row_group == other.row_group, "sizes of row groups"),
            (self.options == other.options, "options"),
            (
                self.inputs == other.inputs && self.list == other.list,
                "lists of inputs",
            ),
        ];
        let differs = same.into_iter().find(|(same, _)| !same);
        differs.map(|(_, what)| what)
    }
}

impl Part {
    /// Adds the file that a whole run calls `name`, at `path`.
    pub(crate) fn add(&mut self, name: String, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut crc = crc32fast::Hasher::new();
        let (mut piece, mut bytes) = (vec![0; 1 << 16], 0_u64);
        loop {
            let count = file.read(&mut piece)?;
            if count == 0 {
                break;
            }
            crc.update(piece.get(..count).unwrap_or_default());
            bytes = bytes.saturating_add(count as u64);
        }
        self.files.insert(name, (bytes, crc.finalize()));
        Ok(())
    }

    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let files: Map<String, Value> = self
            .files
            .iter()
            .map(|(name, (bytes, crc))| (name.clone(), json!({"bytes": bytes, "crc32": crc})))
            .collect();
        let run = &self.run;
        let said = json!({
            "shard": self.shard.number(),
            "of": self.shard.of(),
            "osier": run.version,
            "inputs": run.inputs,
            "list": run.list,
            "tables": run.tables,
            "to": run.to,
            "row_group": run.row_group,
            "options": run.options,
            "kernels": self.kernels,
            "files": files,
        });
        fs::write(path, format!("{said:#}\n"))
    }

    /// The part that the file at `path` tells of; `None` when it tells of none.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        let said: Result<Value, _> = serde_json::from_slice(&fs::read(path)?);
        Ok(said.ok().and_then(|said| Self::parse(&said)))
    }

    fn parse(said: &Value) -> Option<Self> {
        let text = |name: &str| said.get(name)?.as_str().map(str::to_owned);
        let number = |name: &str| said.get(name)?.as_u64();
        let small = |name: &str| u32::try_from(number(name)?).ok();
        let words = said.get("tables")?.as_array()?.iter();
        let kernels = said.get("kernels")?.as_object()?.iter();
        let files = said.get("files")?.as_object()?.iter();
        Some(Self {
            shard: Shard::new(small("shard")?, small("of")?)?,
            run: Whole {
                inputs: number("inputs")?,
                list: text("list")?,
                version: text("osier")?,
                tables: words
                    .map(|word| word.as_str().map(str::to_owned))
                    .collect::<Option<_>>()?,
                to: text("to")?,
                row_group: number("row_group")?,
                options: text("options")?,
            },
            kernels: kernels
                .map(|(kernel, sum)| Some((kernel.clone(), sum.as_str()?.to_owned())))
                .collect::<Option<_>>()?,
            files: files
                .map(|(name, file)| {
                    let crc = u32::try_from(file.get("crc32")?.as_u64()?).ok()?;
                    Some((name.clone(), (file.get("bytes")?.as_u64()?, crc)))
                })
                .collect::<Option<_>>()?,
        })
    }
}
