//! Disk images with internal snapshots, written after `docs/interop/qcow2.txt`.

/// One internal snapshot to write.
pub struct Snapshot<'a> {
    /// Its identifier.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The machine's state; empty for one of the disk alone.
    pub state: &'a [u8],
}

/// How an image is written.
#[derive(Clone, Copy)]
pub struct Shape {
    /// 2 or 3.
    pub version: u32,
    /// Clusters have 2 to this many bytes.
    pub cluster_bits: u32,
    /// Bytes of the disk, which has no cluster of its own.
    pub disk: u64,
    /// Whether L2 entries have a bitmap.
    pub extended: bool,
    /// Whether neighbouring clusters of a state lie apart, in falling order.
    pub scattered: bool,
}

/// An image with `snapshots`. A cluster of a state that is all zeros has no bytes.
pub fn image(shape: Shape, snapshots: &[Snapshot<'_>]) -> Vec<u8> {
    let cluster = 1_usize << shape.cluster_bits;
    let mut out = vec![0; cluster];
    let mut table = Vec::new();
    for snapshot in snapshots {
        let (l1, entries) = state(&mut out, shape, snapshot.state);
        entry(&mut table, shape, snapshot, l1, entries);
    }
    let table_at = out.len();
    out.extend(table);
    out.resize(out.len().next_multiple_of(cluster), 0);
    let mut head = b"QFI\xfb".to_vec();
    head.extend(shape.version.to_be_bytes());
    head.extend([0; 12]); // no backing file
    head.extend(shape.cluster_bits.to_be_bytes());
    head.extend(shape.disk.to_be_bytes());
    head.extend([0; 4]); // not encrypted
    head.extend([0; 24]); // the disk's own L1 table, and the counts of references
    head.extend((snapshots.len() as u32).to_be_bytes());
    head.extend((table_at as u64).to_be_bytes());
    if shape.version == 3 {
        head.extend((u64::from(shape.extended) << 4).to_be_bytes());
        head.extend([0; 16]);
        head.extend(4_u32.to_be_bytes());
        head.extend(104_u32.to_be_bytes());
    }
    out[..head.len()].copy_from_slice(&head);
    out
}

/// Writes a state with its tables; returns the L1 table's place and entries.
fn state(out: &mut Vec<u8>, shape: Shape, state: &[u8]) -> (u64, u32) {
    let cluster = 1_usize << shape.cluster_bits;
    let entry_bytes = if shape.extended { 16 } else { 8 };
    let per_table = cluster / entry_bytes;
    let chunks: Vec<&[u8]> = state.chunks(cluster).collect();
    let mut places = vec![0; chunks.len()];
    let mut order: Vec<usize> = (0..chunks.len()).collect();
    if shape.scattered {
        order.reverse();
    }
    for number in order {
        if chunks[number].iter().all(|byte| *byte == 0) {
            continue;
        }
        places[number] = out.len() as u64;
        out.extend(chunks[number]);
        out.resize(out.len().next_multiple_of(cluster), 0);
    }
    let before = shape.disk.div_ceil((per_table * cluster) as u64) as usize;
    let mut l1 = vec![0; before];
    for (places, chunks) in places.chunks(per_table).zip(chunks.chunks(per_table)) {
        l1.push(out.len() as u64 | 1 << 63);
        let start = out.len();
        for (place, chunk) in places.iter().zip(chunks) {
            let parts = if shape.extended {
                chunk.len().div_ceil(cluster / 32)
            } else {
                0
            };
            let bits = u64::MAX >> 32 >> (32 - parts.max(1));
            let (entry, bitmap) = match (*place, shape.extended) {
                (0, false) => (1, 0),
                (0, true) => (0, bits << 32),
                (place, _) => (place | 1 << 63, bits),
            };
            out.extend(entry.to_be_bytes());
            if shape.extended {
                out.extend(bitmap.to_be_bytes());
            }
        }
        out.resize(start + cluster, 0);
    }
    let at = out.len() as u64;
    for entry in &l1 {
        out.extend(entry.to_be_bytes());
    }
    out.resize(out.len().next_multiple_of(cluster), 0);
    (at, l1.len() as u32)
}

/// Appends an entry of the table of snapshots.
fn entry(table: &mut Vec<u8>, shape: Shape, snapshot: &Snapshot<'_>, l1: u64, entries: u32) {
    table.extend(l1.to_be_bytes());
    table.extend(entries.to_be_bytes());
    table.extend((snapshot.id.len() as u16).to_be_bytes());
    table.extend((snapshot.name.len() as u16).to_be_bytes());
    table.extend(1_700_000_000_u32.to_be_bytes());
    table.extend([0; 4]);
    table.extend(5_000_000_000_u64.to_be_bytes());
    let large = shape.version == 3;
    let short = if large {
        0
    } else {
        snapshot.state.len() as u32
    };
    table.extend(short.to_be_bytes());
    table.extend((if large { 16_u32 } else { 0 }).to_be_bytes());
    if large {
        table.extend((snapshot.state.len() as u64).to_be_bytes());
        table.extend(shape.disk.to_be_bytes());
    }
    table.extend(snapshot.id.as_bytes());
    table.extend(snapshot.name.as_bytes());
    table.resize(table.len().next_multiple_of(8), 0);
}
