//! Which facts of a kernel a profile must hold for a provider to work.

/// The types, symbols and constants that a provider reads. An importer keeps these and leaves the
/// rest, so that a profile stays small; a cached profile made for another list is made again.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Structures and unions, kept whole.
    pub types: &'static [&'static str],
    /// Symbols.
    pub symbols: &'static [&'static str],
    /// Enumerators.
    pub constants: &'static [&'static str],
}

impl Wanted {
    /// A number that changes with the list (FNV-1a over all names).
    pub fn fingerprint(&self) -> u64 {
        let names = self.types.iter().chain(self.symbols).chain(self.constants);
        names
            .flat_map(|name| name.bytes().chain([0]))
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
    }
}

/// The strings of names that are written as words: a list of [`Wanted`].
///
/// ```
/// assert_eq!(osier_profile::names![task_struct init_task], &["task_struct", "init_task"]);
/// ```
#[macro_export]
macro_rules! names {
    ($($name:ident)*) => { &[$(stringify!($name)),*] };
}
