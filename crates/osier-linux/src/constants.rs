//! The kernel's enumerators that this crate looks up: a name stands here and nowhere else.

osier_profile::kernel_names! {
    pub(crate) const ALL;
    MOD_TEXT
    PGTY_slab
    PG_slab
    PG_uptodate
    PIDTYPE_TGID
    maple_arange_64
    maple_dense
    maple_leaf_64
    maple_range_64
}
