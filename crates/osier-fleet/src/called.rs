//! What columns are called in tables.

/// What a table calls a column that a row calls `name`: tables have an `id` of their own, the snapshot's, so a
/// mount's is `mount_id` in them.
pub(crate) fn called(name: &'static str) -> &'static str {
    if name == "id" { "mount_id" } else { name }
}
