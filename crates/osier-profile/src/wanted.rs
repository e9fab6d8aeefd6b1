//! Which facts of a kernel a profile must hold for a provider to work.

/// The types, symbols and constants that a provider reads. An importer keeps these and leaves the
/// rest, so that a profile stays small; a cached profile made for another list is made again.
///
/// Each is a list of lists: one of each [`layout!`](crate::layout), one of each
/// [`kernel_names!`](crate::kernel_names). A name may stand in several.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Structures and unions, kept whole.
    pub types: &'static [&'static [&'static str]],
    /// Symbols.
    pub symbols: &'static [&'static [&'static str]],
    /// Enumerators.
    pub constants: &'static [&'static [&'static str]],
}

impl Wanted {
    /// A number that changes with what is wanted (FNV-1a over the names of each kind, sorted). In which
    /// order and how often they are declared makes no difference.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325;
        let mut add = |byte: u8| {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        };
        for lists in [self.types, self.symbols, self.constants] {
            let mut names: Vec<&str> = lists.iter().copied().flatten().copied().collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                name.bytes().chain([0]).for_each(&mut add);
            }
            add(0);
        }
        hash
    }
}

/// Declares symbols (or enumerators) that a provider looks up: a constant for each, which has the kernel's
/// own name and is it, and a list of all for [`Wanted`].
///
/// ```
/// mod symbols {
///     osier_profile::kernel_names! {
///         pub const ALL;
///         init_task
///         nr_cpu_ids
///     }
/// }
///
/// assert_eq!(symbols::init_task, "init_task");
/// assert_eq!(symbols::ALL, ["init_task", "nr_cpu_ids"]);
/// ```
#[macro_export]
macro_rules! kernel_names {
    ($vis:vis const $all:ident; $($(#[$meta:meta])* $name:ident)*) => {
        $(
            $(#[$meta])*
            #[allow(non_upper_case_globals, reason = "the kernel's own name")]
            $vis const $name: &str = stringify!($name);
        )*
        /// All of them.
        $vis const $all: &[&str] = &[$(stringify!($name)),*];
    };
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
