//! Physical memory behind a stream: pages where the stream sent them.

use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

use flate2::read::ZlibDecoder;
use osier_memory::{
    Cause, Chunk, Codec, Fault, PAGE_BYTES, PhysAddr, PhysRun, PhysicalMemory, ZERO_PAGE,
};

use super::ram::{PAGE, Place};
use crate::map::FileMap;

/// The places of a block's pages: in memory, or in the mapped cache.
pub(crate) enum Places {
    Owned(Vec<u8>),
    Cached { map: Arc<FileMap>, at: usize },
}

impl Places {
    fn get(&self, page: u64) -> Place {
        let at = usize::try_from(page.saturating_mul(8)).unwrap_or(usize::MAX);
        let word = match self {
            Self::Owned(bytes) => bytes.get(at..at.saturating_add(8)),
            Self::Cached { map, at: start } => {
                let from = start.saturating_add(at);
                map.get(from..from.saturating_add(8))
            }
        };
        let word = word
            .and_then(|bytes| <[u8; 8]>::try_from(bytes).ok())
            .unwrap_or([0; 8]);
        Place::decode(u64::from_le_bytes(word))
    }
}

/// A RAM block of the stream.
pub(crate) struct StreamBlock {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) places: Places,
}

/// A stretch of physical memory that a block gives.
#[derive(Clone, Copy)]
struct Window {
    run: PhysRun,
    block: usize,
    /// Offset of the stretch's first byte in the block.
    offset: u64,
}

/// The memory of a stream.
pub(crate) struct StreamMemory {
    map: FileMap,
    blocks: Vec<StreamBlock>,
    windows: Vec<Window>,
    runs: Vec<PhysRun>,
}

impl StreamMemory {
    /// The memory of `blocks` as the machine `machine_type` lays them out; `split` overrides where
    /// the RAM below 4 GiB ends.
    pub(crate) fn new(
        map: FileMap,
        blocks: Vec<StreamBlock>,
        machine_type: &str,
        split: Option<u64>,
    ) -> Self {
        let mut windows = Vec::new();
        for (at, block) in blocks.iter().enumerate() {
            if block.name == "pc.ram" {
                for (start, offset, len) in pc_layout(block.bytes, machine_type, split) {
                    let run = PhysRun {
                        start: PhysAddr(start),
                        len,
                    };
                    windows.push(Window {
                        run,
                        block: at,
                        offset,
                    });
                }
            } else if block.name == "pc.bios" {
                let start = PhysAddr((1_u64 << 32).saturating_sub(block.bytes));
                let run = PhysRun {
                    start,
                    len: block.bytes,
                };
                windows.push(Window {
                    run,
                    block: at,
                    offset: 0,
                });
            }
        }
        windows.sort_by_key(|window| window.run.start);
        let mut runs: Vec<PhysRun> = Vec::new();
        for window in &windows {
            match runs.last_mut() {
                Some(last) if last.end() == window.run.start => {
                    last.len = last.len.saturating_add(window.run.len);
                }
                _ => runs.push(window.run),
            }
        }
        Self {
            map,
            blocks,
            windows,
            runs,
        }
    }

    fn place(&self, pa: PhysAddr) -> Option<Place> {
        let window = self.windows.iter().find(|window| window.run.contains(pa))?;
        let offset = pa.since(window.run.start).saturating_add(window.offset);
        Some(self.blocks.get(window.block)?.places.get(offset / PAGE))
    }

    fn page(&self, place: Place, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        match place {
            Place::Absent => Err(Fault::at_phys(Cause::NotCaptured, pa)),
            Place::Raw(offset) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let bytes = self.map.get(from..from.saturating_add(PAGE as usize));
                bytes
                    .map(Chunk::borrowed)
                    .ok_or_else(|| Fault::at_phys(Cause::FileShort { offset }, pa))
            }
            Place::Fill(0) => Ok(Chunk::borrowed(&ZERO_PAGE)),
            Place::Fill(byte) => Ok(Chunk::decoded(Arc::from(vec![byte; PAGE as usize]), 0)),
            Place::Zlib(offset) => {
                let fault = Fault::at_phys(
                    Cause::Decode {
                        offset,
                        codec: Codec::Zlib,
                    },
                    pa,
                );
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let rest = self.map.get(from..).ok_or(fault)?;
                let (len, data) = rest.split_first_chunk::<4>().ok_or(fault)?;
                let data = data.get(..u32::from_be_bytes(*len) as usize).ok_or(fault)?;
                let mut page = vec![0; PAGE as usize];
                ZlibDecoder::new(data)
                    .read_exact(&mut page)
                    .map_err(|_| fault)?;
                Ok(Chunk::decoded(Arc::from(page), 0))
            }
        }
    }

    /// zlib's CRC-32 over the block called `name`, in block order: PANDA's checksum of guest
    /// memory. Absent pages count as zeros, as the emulator would load them.
    pub(crate) fn crc32(&self, name: &str) -> Option<u32> {
        let block = self.blocks.iter().find(|block| block.name == name)?;
        let mut hasher = crc32fast::Hasher::new();
        for page in 0..block.bytes / PAGE {
            match self.page(block.places.get(page), PhysAddr(page.saturating_mul(PAGE))) {
                Ok(chunk) => hasher.update(&chunk),
                Err(_) => hasher.update(&ZERO_PAGE),
            }
        }
        Some(hasher.finalize())
    }
}

/// How a PC lays out `bytes` of RAM: physical start, offset in the block, length.
///
/// i440fx splits at 3 GiB when there are 3.5 GiB or more, q35 at 2 GiB when there are 2.75 GiB or
/// more (QEMU `hw/i386/pc_piix.c`, `pc_q35.c`).
pub(crate) fn pc_layout(
    bytes: u64,
    machine_type: &str,
    split: Option<u64>,
) -> Vec<(u64, u64, u64)> {
    let below = split.unwrap_or_else(|| {
        let (limit, low) = if machine_type.contains("q35") {
            (0xb000_0000, 0x8000_0000)
        } else {
            (0xe000_0000, 0xc000_0000)
        };
        if bytes >= limit { low } else { bytes }
    });
    let low = bytes.min(below);
    let mut layout = vec![(0, 0, low)];
    if bytes > low {
        layout.push((1 << 32, low, bytes.saturating_sub(low)));
    }
    layout
}

impl PhysicalMemory for StreamMemory {
    fn runs(&self) -> &[PhysRun] {
        &self.runs
    }

    fn chunk(&self, pa: PhysAddr) -> Result<Chunk<'_>, Fault> {
        let place = self
            .place(pa)
            .ok_or_else(|| Fault::at_phys(Cause::NoRam, pa))?;
        let in_page = pa.in_page() as usize;
        Ok(self.page(place, pa)?.advanced(in_page))
    }

    fn sweep(
        &self,
        run: PhysRun,
        window: usize,
        visit: &mut dyn FnMut(PhysAddr, &[u8]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let page = PAGE_BYTES as usize;
        let mut buffer = vec![0; window.max(page).next_multiple_of(page)];
        for part in &self.windows {
            let end = part.run.end().min(run.end());
            let mut at = part.run.start.max(run.start).page();
            while at < end {
                let first = at;
                let mut filled = 0_usize;
                while let Some(into) = buffer.get_mut(filled..filled.saturating_add(page))
                    && into.len() == page
                    && at < end
                {
                    match self.place(at) {
                        Some(Place::Raw(offset)) => {
                            if self.map.read_at(offset, into).unwrap_or(0) < page {
                                break;
                            }
                        }
                        Some(Place::Fill(byte)) => into.fill(byte),
                        Some(place @ Place::Zlib(_)) => match self.page(place, at) {
                            Ok(chunk) if chunk.len() == page => into.copy_from_slice(&chunk),
                            _ => break,
                        },
                        _ => break,
                    }
                    filled = filled.saturating_add(page);
                    at = at.plus(PAGE_BYTES);
                }
                if filled == 0 {
                    at = at.plus(PAGE_BYTES);
                } else {
                    visit(first, buffer.get(..filled).unwrap_or_default())?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}
