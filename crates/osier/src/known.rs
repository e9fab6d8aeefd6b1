//! What to know a kernel by that was met before.

use osier_profile::{Card, OsKind, Profile};

/// Kernels that were met before.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownKernels {
    pub(crate) linux: Vec<osier_linux::KnownKernel>,
    pub(crate) windows: Vec<osier_windows::KnownKernel>,
}

impl KnownKernels {
    /// What to know the kernel of `profile` by.
    pub(crate) fn of(profile: &Profile) -> Self {
        Self {
            linux: known(profile).into_iter().collect(),
            windows: osier_windows::KnownKernel::of_profile(profile)
                .into_iter()
                .collect(),
        }
    }
}

/// What kernels call their own table: x86-64 since Linux commit 65ade2f872b4 ("x86/boot/64: Rename
/// `init_level4_pgt` and `early_level4_pgt`"), v4.13, and before; i386.
const ROOTS: [&str; 3] = ["init_top_pgt", "init_level4_pgt", "swapper_pg_dir"];

pub(crate) fn known_by_card(card: &Card) -> Option<osier_linux::KnownKernel> {
    let root = ROOTS.iter().find_map(|name| card.anchor(name))?;
    Some(osier_linux::KnownKernel {
        text: card.anchor("_text").or_else(|| card.anchor("_stext"))?,
        linux_banner: card.anchor("linux_banner")?,
        root,
        banner: card.identity.banner.trim_ascii_end().to_vec(),
        pointer_bytes: card.identity.pointer_bytes,
        build_id: card.identity.build_id.clone(),
        text_head: card.text_head.clone(),
        named: false,
    })
}

/// What to look for to find the kernel of `profile` in a dump; `None` when the profile lacks the
/// symbols for it.
pub fn known(profile: &Profile) -> Option<osier_linux::KnownKernel> {
    let identity = profile.identity();
    if identity.os != OsKind::Linux {
        return None;
    }
    let symbol = |names: &[&str]| names.iter().find_map(|name| profile.symbol(name));
    Some(osier_linux::KnownKernel {
        text: symbol(&["_text", "_stext"])?,
        linux_banner: profile.symbol("linux_banner")?,
        root: symbol(&ROOTS)?,
        banner: identity.banner.trim_ascii_end().to_vec(),
        pointer_bytes: identity.pointer_bytes,
        build_id: identity.build_id.clone(),
        text_head: profile.text_head().to_vec(),
        named: false,
    })
}
