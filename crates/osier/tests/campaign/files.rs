//! Files damaged at random, and compressed files with one bit turned over, through the real opener.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use osier::ask::{Question, transcript};
use osier::osier_memory::{PAGE_BYTES, PhysicalMemory};
use osier::osier_snapshot::Effect;
use osier::{Guest, Options};
use osier_testkit::Random;
use osier_testkit::containers::kdump::{self, Kdump};
use osier_testkit::containers::packing;
use rayon::prelude::*;

use crate::subject::Answer;
use crate::verdict::{Outcome, Silent, judge};

/// A file in a container, to be damaged.
pub(crate) struct Container {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// One damage of a file: a new length, or bytes from a place on.
#[derive(Clone, Debug)]
pub(crate) enum Harm {
    Cut(usize),
    Flip(usize, u8),
    Put(usize, Vec<u8>),
}

impl Harm {
    fn of(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        match self {
            Self::Cut(len) => bytes.truncate(*len),
            Self::Flip(at, bit) => bytes[*at] ^= 1 << bit,
            Self::Put(at, with) => {
                let end = (at + with.len()).min(bytes.len());
                bytes[*at..end].copy_from_slice(&with[..end - at]);
            }
        }
        bytes
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Cut(_) => "cut short",
            Self::Flip(..) => "one bit",
            Self::Put(_, with) if with.len() < 64 => "a few bytes",
            Self::Put(..) => "a page",
        }
    }
}

/// The file in every compression.
pub(crate) fn compressed(file: &Path, memory: &dyn PhysicalMemory) -> Vec<Container> {
    let bytes = std::fs::read(file).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    gzip.write_all(&bytes).unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(6));
    zlib.write_all(&bytes).unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&bytes).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&bytes).unwrap();
    let lz4 = |check| {
        let info = lz4_flex::frame::FrameInfo::new()
            .content_checksum(check)
            .block_checksums(!check);
        let mut lz4 = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        lz4.write_all(&bytes).unwrap();
        lz4.finish().unwrap()
    };
    let zstd =
        ruzstd::encoding::compress_to_vec(&bytes[..], ruzstd::encoding::CompressionLevel::Fastest);
    let mut all = vec![
        Container {
            name: "gzip",
            bytes: gzip.finish().unwrap(),
        },
        Container {
            name: "zlib",
            bytes: zlib.finish().unwrap(),
        },
        Container {
            name: "xz",
            bytes: xz.finish().unwrap(),
        },
        Container {
            name: "bzip2",
            bytes: bzip2.finish().unwrap(),
        },
        Container {
            name: "lz4 with a content checksum",
            bytes: lz4(true),
        },
        Container {
            name: "lz4 with block checksums",
            bytes: lz4(false),
        },
        Container {
            name: "zstd",
            bytes: zstd,
        },
    ];
    let mut pages = BTreeMap::new();
    for run in memory.runs() {
        for frame in run.start.0 / PAGE_BYTES..run.end().0 / PAGE_BYTES {
            let mut page = vec![0; PAGE_BYTES as usize];
            if memory
                .read(osier::osier_memory::PhysAddr(frame * PAGE_BYTES), &mut page)
                .is_ok()
            {
                pages.insert(frame, page);
            }
        }
    }
    let packings: [(&'static str, kdump::Packing); 4] = [
        ("kdump of zlib pages", (kdump::ZLIB, packing::zlib)),
        ("kdump of LZO pages", (kdump::LZO, packing::lzo)),
        ("kdump of Snappy pages", (kdump::SNAPPY, packing::snappy)),
        ("kdump of zstd pages", (kdump::ZSTD, packing::zstd)),
    ];
    for (name, packing) in packings {
        let dump = Kdump {
            frames: pages.keys().next_back().map_or(0, |last| last + 1),
            pages: pages.clone(),
            packing: Some(packing),
            ..Kdump::default()
        };
        all.push(Container {
            name,
            bytes: dump.file(),
        });
    }
    all
}

/// One bit turned over at `count` places.
pub(crate) fn flips(bytes: &[u8], count: usize) -> Vec<Harm> {
    let mut random = Random::new(bytes.len() as u64);
    let mut flip = || {
        Harm::Flip(
            random.below(bytes.len() as u64) as usize,
            random.below(8) as u8,
        )
    };
    (0..count).map(|_| flip()).collect()
}

/// Damage of any kind, `count` times.
pub(crate) fn random(bytes: &[u8], count: usize) -> Vec<Harm> {
    let mut random = Random::new(bytes.len() as u64 ^ 1);
    let mut harm = || {
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(6) {
            0 => Harm::Cut(at),
            1 => Harm::Flip(at, random.below(8) as u8),
            2 => Harm::Put(at, vec![0; 8]),
            3 => Harm::Put(at, (0..8).map(|_| random.bits() as u8).collect()),
            4 => Harm::Put(at / 4096 * 4096, vec![0; 4096]),
            _ => Harm::Put(
                at / 4096 * 4096,
                (0..4096).map(|_| random.bits() as u8).collect(),
            ),
        }
    };
    (0..count).map(|_| harm()).collect()
}

/// What a file answers: each usual question, and what was said of the file itself that can change an
/// answer.
struct Said {
    answers: Vec<(&'static str, Answer)>,
    anomalies: Vec<String>,
}

fn said(file: &Path) -> Option<Said> {
    let guest = Guest::open(file, &Options::default()).ok()?;
    let answer = |question: Question| {
        let written = transcript(&*guest.provider(), question);
        let mut rows = written.lines;
        let ends = rows.split_off(written.rows);
        rows.sort();
        let lost = written.lost as u64;
        (question.word(), Answer { rows, lost, ends })
    };
    Some(Said {
        answers: Question::USUAL.into_iter().map(answer).collect(),
        anomalies: guest
            .info()
            .anomalies
            .iter()
            .filter(|anomaly| anomaly.effect != Effect::Harmless)
            .map(|anomaly| anomaly.text.clone())
            .collect(),
    })
}

/// A file that goes when it is done with.
struct Scratch(PathBuf);

impl Scratch {
    fn of(bytes: &[u8], name: &str) -> Self {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("osier-campaign-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Does each harm to the container's file and holds the answers to those of the whole one.
pub(crate) fn run(container: &Container, harms: Vec<Harm>) -> Outcome {
    let letters = container.name.replace(' ', "-");
    let whole = Scratch::of(&container.bytes, &format!("{letters}-whole"));
    let before = said(&whole.0).expect("a whole file opens");
    harms
        .into_par_iter()
        .enumerate()
        .map(|(number, harm)| {
            let file = Scratch::of(&harm.of(&container.bytes), &format!("{letters}-{number}"));
            judge(&format!("{} {harm:x?}", container.name), || {
                let after = said(&file.0)?;
                let told = after.anomalies != before.anomalies;
                let mut silent = Vec::new();
                let mut any = told;
                // A kdump without registers does not tell what runs.
                for ((question, old), (_, new)) in before.answers.iter().zip(&after.answers) {
                    any |= old.is_complete() && !new.is_complete();
                    let both = old.is_complete() && new.is_complete();
                    if !told && both && old.rows != new.rows {
                        silent.push(Silent::of(question, harm.word(), container.name, old, new));
                    }
                }
                Some((silent, any))
            })
        })
        .reduce(Outcome::default, Outcome::join)
}
