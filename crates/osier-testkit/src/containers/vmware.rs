//! VMware's state files: groups of tags, after crash's `vmware_vmss.h`.

/// The value of a tag.
pub enum Value {
    /// At most 61 bytes, behind the tag.
    Short(Vec<u8>),
    /// Bytes behind their size, memory size and padding.
    Block(Vec<u8>),
    /// A block whose bytes are packed.
    Packed(Vec<u8>),
}

/// A tag: name, at most three indices, value.
pub type Tag = (&'static str, Vec<u32>, Value);

/// A tag with a number of four bytes.
pub fn word(name: &'static str, indices: &[u32], value: u32) -> Tag {
    (
        name,
        indices.to_vec(),
        Value::Short(value.to_le_bytes().into()),
    )
}

/// A tag with a number of eight bytes.
pub fn long(name: &'static str, indices: &[u32], value: u64) -> Tag {
    (
        name,
        indices.to_vec(),
        Value::Short(value.to_le_bytes().into()),
    )
}

/// A state file with `magic`, whose groups hold these tags. The magic's low digit is 0 when sizes of
/// blocks have four bytes.
pub fn state(magic: u32, groups: &[(&str, Vec<Tag>)]) -> Vec<u8> {
    let mut tags = Vec::new();
    let head = 12 + 80 * groups.len();
    let mut out = magic.to_le_bytes().to_vec();
    out.extend(8_u32.to_le_bytes());
    out.extend((groups.len() as u32).to_le_bytes());
    for (name, content) in groups {
        let mut field = name.as_bytes().to_vec();
        field.resize(64, 0);
        let start = tags.len();
        for tag in content {
            put(&mut tags, tag, magic & 0xf != 0);
        }
        tags.extend([0, 0]);
        out.extend(field);
        out.extend(((head + start) as u64).to_le_bytes());
        out.extend(((tags.len() - start) as u64).to_le_bytes());
    }
    out.extend(tags);
    out
}

fn put(out: &mut Vec<u8>, (name, indices, value): &Tag, wide: bool) {
    const PADDING: usize = 5;
    let (size, bytes) = match value {
        Value::Short(bytes) => (bytes.len(), bytes),
        Value::Block(bytes) => (63, bytes),
        Value::Packed(bytes) => (62, bytes),
    };
    out.push((size | indices.len() << 6) as u8);
    out.push(name.len() as u8);
    out.extend(name.as_bytes());
    for index in indices {
        out.extend(index.to_le_bytes());
    }
    if size >= 62 {
        for _ in 0..2 {
            if wide {
                out.extend((bytes.len() as u64).to_le_bytes());
            } else {
                out.extend((bytes.len() as u32).to_le_bytes());
            }
        }
        out.extend((PADDING as u16).to_le_bytes());
        out.extend([0xee; PADDING]);
    }
    out.extend(bytes);
}
