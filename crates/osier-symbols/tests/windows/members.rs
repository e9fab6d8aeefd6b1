//! Every member of every structure of the PDBs, against two programs that share no code with the
//! importer: LLVM's `llvm-pdbutil`, and `pdb2`'s own reading of type records. LLVM refuses the type
//! streams of XP's PDBs for their version, 19990903.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use osier_profile::Profile;
use osier_symbols::import_pdb;
use pdb2::{FallibleIterator, PDB, TypeData, TypeFinder, TypeIndex};

use osier_testkit::need::Real;

/// A member's offset, and first bit and width of a bit field.
type Place = (i64, Option<(u8, u8)>);
/// A structure's bytes and members.
type Shape = (u64, BTreeMap<String, Place>);
/// Structures by name; of one name there may be several definitions.
type Shapes = BTreeMap<String, Vec<Shape>>;

/// Each of our named structures is one of theirs, and none of theirs is missing.
fn compare(profile: &Profile, theirs: &Shapes) -> usize {
    let mut members = 0;
    let named = |name: &str| !name.starts_with("__unnamed") && !name.contains('<');
    let ours = profile.types().iter().filter(|ty| !ty.name.contains('.'));
    assert!(
        ours.clone()
            .map(|ty| &ty.name)
            .eq(theirs.keys().filter(|name| named(name)))
    );
    for ty in ours {
        let places = ty
            .members()
            .iter()
            .map(|m| (m.name.clone(), (m.offset, m.bits)));
        let shape: Shape = (ty.bytes, places.collect());
        members += shape.1.len();
        assert!(theirs[&ty.name].contains(&shape), "{}: {shape:x?}", ty.name);
    }
    members
}

/// What `llvm-pdbutil dump -types` prints.
fn llvm(data: &[u8]) -> Shapes {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.pdb", data.len()));
    std::fs::write(&file, data).unwrap();
    let output = Command::new("llvm-pdbutil")
        .args(["dump", "-types"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "llvm-pdbutil: {}", output.status);
    parse_llvm(std::str::from_utf8(&output.stdout).unwrap())
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end).map_or(rest, |(part, _)| part))
}

/// The lists of members and the bit fields by their index, then the structures.
fn parse_llvm(text: &str) -> Shapes {
    let mut lists: BTreeMap<&str, Vec<(&str, &str, i64)>> = BTreeMap::new();
    let mut bits: BTreeMap<&str, (u8, u8)> = BTreeMap::new();
    let mut structures = Vec::new();
    let (mut index, mut name, mut list) = ("", None, "");
    for line in text.lines() {
        if let Some((at, _)) = line.split_once(" | LF_") {
            index = at.trim();
            let compound = ["LF_STRUCTURE", "LF_UNION", "LF_CLASS"];
            let compound = compound.iter().any(|leaf| line.contains(leaf));
            name = between(line, "`", "`").filter(|_| compound);
        } else if let Some(member) = between(line, "LF_MEMBER [name = `", "]") {
            let (name, rest) = member.split_once('`').unwrap();
            let ty = between(rest, "Type = ", " ").unwrap().trim_end_matches(',');
            let offset = between(rest, "offset = ", ",").unwrap().parse().unwrap();
            lists.entry(index).or_default().push((name, ty, offset));
        } else if let Some(first) = between(line, "bit offset = ", ",") {
            let width = between(line, "# bits = ", "\n").unwrap().parse().unwrap();
            bits.insert(index, (first.parse().unwrap(), width));
        } else if let Some(at) = between(line, "field list: ", "\n") {
            list = at;
        } else if let (Some(bytes), Some(name)) = (between(line, "sizeof ", "\n"), name)
            && !line.contains("forward ref")
        {
            structures.push((name, list, bytes.parse().unwrap()));
        }
    }
    let mut shapes = Shapes::new();
    for (name, list, bytes) in structures {
        let members = lists.get(list).into_iter().flatten();
        let places = members
            .map(|(name, ty, offset)| ((*name).to_owned(), (*offset, bits.get(ty).copied())));
        shapes
            .entry(name.to_owned())
            .or_default()
            .push((bytes, places.collect()));
    }
    shapes
}

/// What `pdb2` reads of the types, and how many definitions of structures there are.
fn pdb2(data: &[u8]) -> (Shapes, usize) {
    let mut pdb = PDB::open(std::io::Cursor::new(data)).unwrap();
    let types = pdb.type_information().unwrap();
    let mut finder = types.finder();
    let mut records = types.iter();
    let mut structures = Vec::new();
    while let Some(record) = records.next().unwrap() {
        finder.update(&records);
        match record.parse() {
            Ok(TypeData::Class(class)) if !class.properties.forward_reference() => {
                structures.push((
                    class.name.to_string().into_owned(),
                    class.fields,
                    class.size,
                ));
            }
            Ok(TypeData::Union(union)) if !union.properties.forward_reference() => {
                structures.push((
                    union.name.to_string().into_owned(),
                    Some(union.fields),
                    union.size,
                ));
            }
            _ => {}
        }
    }
    let count = structures.len();
    let mut shapes = Shapes::new();
    for (name, fields, bytes) in structures {
        let mut places = BTreeMap::new();
        pdb2_members(&finder, fields, &mut places);
        shapes.entry(name).or_default().push((bytes, places));
    }
    (shapes, count)
}

fn pdb2_members(
    finder: &TypeFinder<'_>,
    mut fields: Option<TypeIndex>,
    places: &mut BTreeMap<String, Place>,
) {
    while let Some(index) = fields.filter(|index| index.0 != 0) {
        let TypeData::FieldList(list) = finder.find(index).unwrap().parse().unwrap() else {
            panic!("no field list");
        };
        for field in list.fields {
            if let TypeData::Member(member) = field {
                let held = finder.find(member.field_type).unwrap().parse();
                let bits = match held {
                    Ok(TypeData::Bitfield(bits)) => Some((bits.position, bits.length)),
                    _ => None,
                };
                let name = member.name.to_string().into_owned();
                places.insert(name, (member.offset.cast_signed(), bits));
            }
        }
        fields = list.continuation;
    }
}

pub(crate) fn llvm_reads_the_same_of_an_ntdll(real: &Real) {
    let data = real.unpacked();
    let least = if real.name.contains("win10") {
        4000
    } else {
        2000
    };
    let members = compare(&import_pdb(&data, None).unwrap().build(), &llvm(&data));
    assert!(members > least, "only {members}");
}

pub(crate) fn pdb2_reads_the_same_of_the_xp_kernel(real: &Real) {
    let data = real.unpacked();
    let (theirs, count) = pdb2(&data);
    assert_eq!(count, 568);
    let members = compare(&import_pdb(&data, None).unwrap().build(), &theirs);
    assert!(members > 3000, "only {members}");
}

pub(crate) fn pdb2_reads_the_same_of_an_ntdll(real: &Real) {
    let data = real.unpacked();
    let members = compare(&import_pdb(&data, None).unwrap().build(), &pdb2(&data).0);
    assert!(members > 1000, "only {members}");
}
