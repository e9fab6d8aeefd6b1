//! The stream's description of itself: JSON after its end, which names every field of every
//! section written through `VMState` with its size.

use serde_json::Value;

use super::cpu::{Field, Layout};

/// A parsed description.
pub(crate) struct Description {
    /// The `cpu` devices, as instance and layout, when that can be understood.
    cpus: Vec<(u64, Option<Layout>)>,
}

/// The longest text that is read.
pub(crate) const MOST: usize = 64 << 20;

/// Parses the text; `None` when it is no description.
pub(crate) fn parse(text: &[u8]) -> Option<Description> {
    let root: Value = serde_json::from_slice(text).ok()?;
    let devices = root.get("devices")?.as_array()?;
    let cpus = devices
        .iter()
        .filter(|device| device.get("name").and_then(Value::as_str) == Some("cpu"))
        .filter_map(|device| {
            let instance = device.get("instance_id")?.as_u64()?;
            let fields = device.get("fields").and_then(Value::as_array);
            Some((instance, fields.and_then(|fields| layout(fields))))
        })
        .collect();
    Some(Description { cpus })
}

impl Description {
    /// The instances of the `cpu` sections.
    pub(crate) fn processors(&self) -> impl Iterator<Item = u32> + '_ {
        let number = |(at, _): &(u64, Option<Layout>)| u32::try_from(*at).ok();
        self.cpus.iter().filter_map(number)
    }

    /// The layout of the `cpu` section of this instance.
    pub(crate) fn cpu(&self, instance: u32) -> Option<&Layout> {
        let found = self.cpus.iter().find(|(at, _)| *at == u64::from(instance));
        found.and_then(|(_, layout)| layout.as_ref())
    }
}

/// Lays the fields out one after another. An entry's `size` is that of one element; an element of
/// an array that could not be collapsed stands alone with its `index`.
fn layout(fields: &[Value]) -> Option<Layout> {
    let mut layout = Layout::default();
    let mut offset = 0_usize;
    for field in fields {
        let name = field.get("name")?.as_str()?;
        let size = usize::try_from(field.get("size")?.as_u64()?).ok()?;
        let elements = field.get("array_len").map_or(Some(1), Value::as_u64)?;
        let elements = usize::try_from(elements).ok()?;
        let index = field.get("index").map_or(Some(0), Value::as_u64)?;
        layout.fields.push(Field {
            name: name.to_owned(),
            index: usize::try_from(index).ok()?,
            elements,
            offset,
            size,
        });
        if name == "env.regs" {
            layout.word = size;
        }
        offset = offset.checked_add(size.checked_mul(elements)?)?;
    }
    layout.bytes = offset;
    matches!(layout.word, 4 | 8).then_some(layout)
}
