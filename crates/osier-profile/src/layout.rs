//! Layouts: the members a walker reads, resolved once per kernel build.

use std::any::{Any, TypeId};
use std::cell::Cell;
use std::fmt;

use crate::{Field, FieldKind, Kind, Member, Profile, Type};

/// A member that a layout needs and the profile does not have, or has in another shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The structure.
    pub structure: &'static str,
    /// The member, all its known names; empty when the structure itself is missing.
    pub members: Vec<&'static str>,
    /// What is wrong.
    pub problem: String,
}

/// Everything that a set of layouts missed in a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayoutError {
    /// Each miss.
    pub misses: Vec<Miss>,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the profile lacks what the walkers read:")?;
        for miss in &self.misses {
            write!(f, " {}", miss.structure)?;
            if !miss.members.is_empty() {
                write!(f, ".{}", miss.members.join("|"))?;
            }
            write!(f, " ({});", miss.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for LayoutError {}

/// Resolves layouts against a profile and collects what is missing.
pub struct Resolver<'p> {
    profile: &'p Profile,
    misses: Vec<Miss>,
    /// The layouts that were resolved.
    resolved: Vec<(TypeId, Box<dyn Any>)>,
    /// The structure that was asked for last: the members of a layout are all of one.
    last: Cell<(&'static str, Option<&'p Type>)>,
}

impl<'p> Resolver<'p> {
    /// Starts resolving against `profile`.
    pub fn new(profile: &'p Profile) -> Self {
        Self {
            profile,
            misses: Vec::new(),
            resolved: Vec::new(),
            last: Cell::new(("", None)),
        }
    }

    /// The profile.
    pub fn profile(&self) -> &'p Profile {
        self.profile
    }

    /// The layout `T`, which `resolve` makes of the profile: once, whoever asks for it.
    #[doc(hidden)]
    pub fn once<T: Copy + 'static>(&mut self, resolve: impl FnOnce(&mut Self) -> T) -> T {
        let id = TypeId::of::<T>();
        let known = self.resolved.iter().find(|(known, _)| *known == id);
        if let Some(layout) = known.and_then(|(_, layout)| layout.downcast_ref()) {
            return *layout;
        }
        let layout = resolve(self);
        self.resolved.push((id, Box::new(layout)));
        layout
    }

    fn structure(&self, name: &'static str) -> Option<&'p Type> {
        let (last, found) = self.last.get();
        if last == name {
            return found;
        }
        let found = self.profile.find_type(name);
        self.last.set((name, found));
        found
    }

    /// The size in bytes of `structure`, 0 when the profile does not say.
    pub fn size(&self, structure: &'static str) -> u64 {
        self.structure(structure).map_or(0, |ty| ty.bytes)
    }

    /// The first of `structures`, all names that one structure had, that the profile has; the first of
    /// all, where it has none.
    #[doc(hidden)]
    pub fn first_of(&self, structures: &[&'static str]) -> &'static str {
        let known = |name: &&&'static str| self.structure(name).is_some();
        let found = structures.iter().find(known).or(structures.first());
        found.copied().unwrap_or_default()
    }

    /// The first of `paths` that `structure` has. A path may lead through embedded structures:
    /// `f_path.dentry`.
    pub fn optional<T: FieldKind>(
        &self,
        structure: &'static str,
        paths: &[&'static str],
    ) -> Option<Field<T>> {
        let (offset, member) = paths.iter().find_map(|path| self.follow(structure, path))?;
        T::accepts(member).then(|| Field::at(offset, member.bytes, member.bits))
    }

    /// As [`optional`](Self::optional), but a miss is recorded, and a field that reads nothing
    /// sensible stands in until [`finish`](Self::finish) reports it. An [inferred](Profile::inferred) profile
    /// may lack what it could not prove: every read of that is a fault.
    pub fn required<T: FieldKind>(
        &mut self,
        structure: &'static str,
        paths: &[&'static str],
    ) -> Field<T> {
        if let Some(field) = self.optional(structure, paths) {
            return field;
        }
        if self.profile.inferred() {
            return Field::unknown();
        }
        let found = paths.iter().find_map(|path| self.follow(structure, path));
        let problem = match found {
            Some((_, member)) => format!("wanted {}, found {:?}", T::WANTS, member.kind),
            None if self.structure(structure).is_none() => "no such structure".to_owned(),
            None => "no such member".to_owned(),
        };
        let miss = Miss {
            structure,
            members: paths.to_vec(),
            problem,
        };
        // Who reads a structure beside another says the same.
        if !self.misses.contains(&miss) {
            self.misses.push(miss);
        }
        Field::at(0, 8, None)
    }

    /// The first of `names` among the profile's enumerators.
    pub fn constant(&self, names: &[&str]) -> Option<i64> {
        names.iter().find_map(|name| self.profile.constant(name))
    }

    /// The member at the end of `path`, and its offset from the start of `structure`.
    fn follow(&self, structure: &'static str, path: &str) -> Option<(i64, &'p Member)> {
        let mut ty = self.structure(structure)?;
        let mut offset = 0_i64;
        let mut parts = path.split('.').peekable();
        loop {
            let member = ty.member(parts.next()?)?;
            offset = offset.checked_add(member.offset)?;
            if parts.peek().is_none() {
                return Some((offset, member));
            }
            ty = match &member.kind {
                Kind::Embedded { name } if !name.is_empty() => self.profile.find_type(name)?,
                _ => return None,
            };
        }
    }

    /// Ends resolving.
    ///
    /// # Errors
    ///
    /// Every required member that was missing.
    pub fn finish(self) -> Result<(), LayoutError> {
        if self.misses.is_empty() {
            Ok(())
        } else {
            Err(LayoutError {
                misses: self.misses,
            })
        }
    }
}

/// Declares the members that a walker reads of one kernel structure.
///
/// ```
/// use osier_profile::{layout, Embed, Field, Ptr, UInt, SInt};
///
/// layout! {
///     /// Fields read from `task_struct`.
///     pub struct Task: "task_struct" {
///         /// The ring of thread-group leaders.
///         tasks: Field<Embed<()>>,
///         /// Process or thread id.
///         pid: Field<SInt>,
///         /// Linux commit 2f064a59a11f ("sched: Change task_struct::state"), v5.14.
///         state: Field<UInt> = ["__state", "state"],
///         /// Absent in old kernels.
///         thread_node: Option<Field<Embed<()>>>,
///     }
/// }
/// ```
///
/// The generated structure has `size` (bytes, 0 when unknown) besides its fields, and
/// `resolve(&mut Resolver) -> Self`. An `Option` field may be missing; every other one is
/// recorded by the resolver when it is.
///
/// A path leads to a member of an embedded structure. The structures on the way are named once, after
/// `through`, so that a profile holds them: `WANTED` of the generated structure lists them with its own.
///
/// ```
/// # use osier_profile::{layout, Field, Ptr};
/// layout! {
///     /// Fields read from `file`.
///     pub struct File: "file" through [path] {
///         /// The entry of the file's name.
///         dentry: Option<Field<Ptr<()>>> = ["f_path.dentry"],
///     }
/// }
///
/// assert_eq!(File::WANTED, ["file", "path"]);
/// ```
///
/// A structure that had another name in older kernels has it after `or`:
/// `struct Record: "printk_log" or "log" { … }`.
#[macro_export]
macro_rules! layout {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident : $structure:literal $(or $older:literal)* $(through [$($inner_structure:ident)+])? {
            $( $(#[$fmeta:meta])* $field:ident : $wrapper:ident < $inner:ty > $(= [$($path:literal),+ $(,)?])? ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        #[allow(clippy::struct_field_names, reason = "the kernel's own names")]
        $vis struct $name {
            /// Bytes of the structure; 0 when the profile does not say.
            pub size: u64,
            $( $(#[$fmeta])* pub $field: $wrapper<$inner>, )*
        }

        impl $name {
            /// The kernel's name of the structure.
            pub const STRUCTURE: &'static str = $structure;

            /// The structures that a profile must hold for it: its own, and those that its paths
            /// lead through.
            pub const WANTED: &'static [&'static str] =
                &[$structure $(, $older)* $($(, stringify!($inner_structure))+)?];

            /// Finds each member in the resolver's profile.
            pub fn resolve(resolver: &mut $crate::Resolver<'_>) -> Self {
                resolver.once(|resolver| {
                    let structure = resolver.first_of(&[$structure $(, $older)*]);
                    Self {
                        size: resolver.size(structure),
                        $( $field: $crate::__layout_field!(
                            resolver, structure, $field, $wrapper $(, $($path),+)?
                        ), )*
                    }
                })
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __layout_field {
    ($resolver:ident, $structure:ident, $field:ident, Option) => {
        $resolver.optional($structure, &[stringify!($field)])
    };
    ($resolver:ident, $structure:ident, $field:ident, Option, $($path:literal),+) => {
        $resolver.optional($structure, &[$($path),+])
    };
    ($resolver:ident, $structure:ident, $field:ident, Field) => {
        $resolver.required($structure, &[stringify!($field)])
    };
    ($resolver:ident, $structure:ident, $field:ident, Field, $($path:literal),+) => {
        $resolver.required($structure, &[$($path),+])
    };
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking; a layout is made for others"
)]
mod tests {
    use super::*;
    use crate::{Identity, OsKind, ProfileBuilder, Ptr, TypeKind, UInt};

    layout! {
        /// Of which the profile has one member.
        pub(crate) struct Pair: "pair" {
            /// There.
            first: Field<UInt>,
            /// Not there.
            second: Field<Ptr<()>>,
        }
    }

    #[test]
    fn a_layout_is_resolved_once_and_what_it_misses_is_told_once() {
        let mut builder = ProfileBuilder::new(Identity {
            os: OsKind::Linux,
            pointer_bytes: 8,
            build_id: None,
            banner: Vec::new(),
            release: String::new(),
        });
        let first = Member {
            name: "first".to_owned(),
            offset: 8,
            bytes: 4,
            bits: None,
            kind: Kind::Int { signed: false },
        };
        let ty = Type::new("pair".to_owned(), TypeKind::Struct, 16, vec![first]);
        builder.add_type(ty);
        let profile = builder.build();
        let mut resolver = Resolver::new(&profile);
        for _ in 0..3 {
            let pair = Pair::resolve(&mut resolver);
            assert_eq!((pair.size, pair.first.offset), (16, 8));
            assert_eq!(pair.second.bytes, 8);
        }
        assert_eq!(resolver.resolved.len(), 1);
        assert_eq!((Pair::STRUCTURE, Pair::WANTED), ("pair", &["pair"][..]));
        assert_eq!(resolver.size("other"), 0);
        assert_eq!(resolver.size("pair"), 16);
        let missed = resolver.finish().unwrap_err().misses;
        assert_eq!(missed.len(), 1);
        assert_eq!(missed.first().unwrap().members, ["second"]);
    }
}
