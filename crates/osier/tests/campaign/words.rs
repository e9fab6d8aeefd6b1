//! Every word that an answer rests on, replaced.

use std::collections::{BTreeMap, BTreeSet};

use osier::osier_memory::{PhysAddr, PhysicalMemory};

use crate::names::Names;
use crate::subject::{Subject, WORD};
use crate::{Damage, whole};

/// A damage for each word and each way to replace it.
pub(crate) fn damages(subject: &Subject, names: &Names) -> Vec<Damage> {
    let wide = u64::from(subject.located.mode().pointer_bytes());
    let mut read: BTreeSet<u64> = subject.read_by.keys().copied().collect();
    if whole() {
        // Those that finding the kernel alone rests on are many.
        read.extend(&subject.found_by);
    }
    let value = |pa: u64, width: u64| {
        subject
            .memory
            .read_uint(PhysAddr(pa), width as usize)
            .unwrap_or(0)
    };
    // The values of one member in all objects, for swaps.
    let mut same: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut words = Vec::new();
    for &word in &read {
        let pointer_like = |value: u64| value >> 40 == 0xff_ffff || value >> 32 == 0;
        if wide == 8 && word % 8 == 0 && read.contains(&(word + WORD)) {
            let whole = value(word, 8);
            words.push((word, 8));
            if !pointer_like(whole) {
                words.push((word, 4));
                words.push((word + 4, 4));
            }
        } else if wide == 4 || word % 8 == 0 || !read.contains(&(word - WORD)) {
            words.push((word, 4));
        }
    }
    for (word, width) in &words {
        let name = format!("{width} {}", names.name(PhysAddr(*word)));
        same.entry(name).or_default().push(value(*word, *width));
    }
    let kernel = subject.located.base().0 + 0x12_3440;
    let mut damages = Vec::new();
    for (at, (word, width)) in words.iter().enumerate() {
        let old = value(*word, *width);
        let name = names.name(PhysAddr(*word));
        let mask = if *width == 8 { u64::MAX } else { 0xffff_ffff };
        let others = &same[&format!("{width} {name}")];
        let mut put: Vec<(&str, u64)> = vec![
            ("zero", 0),
            ("all ones", mask),
            ("+8", old.wrapping_add(8)),
            ("+1", old.wrapping_add(1)),
            ("top bit", old ^ (1 << (width * 8 - 1))),
        ];
        if *width == wide {
            put.push(("kernel address", kernel));
            put.push(("user address", 0x40_1000));
        }
        let different = |other: &&u64| **other != old;
        put.extend(others.iter().find(different).map(|v| ("another's", *v)));
        put.extend(
            others
                .iter()
                .skip(at % others.len())
                .find(different)
                .map(|v| ("another's", *v)),
        );
        put.extend(
            others
                .iter()
                .rev()
                .find(different)
                .map(|v| ("another's", *v)),
        );
        let mut done = BTreeSet::from([old]);
        for (how, new) in put {
            if done.insert(new & mask) {
                damages.push(Damage {
                    how: how.to_owned(),
                    place: name.clone(),
                    writes: vec![(
                        PhysAddr(*word),
                        new.to_le_bytes()[..*width as usize].to_vec(),
                    )],
                    missing: None,
                });
            }
        }
    }
    damages
}
