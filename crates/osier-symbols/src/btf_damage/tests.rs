use super::*;
use crate::btf::tests::blob;

fn damage(blob: &[u8]) -> Vec<String> {
    of(&Btf::of(blob).unwrap(), None)
}

/// Where the words of types start and end, and the strings.
fn sections(blob: &[u8]) -> (usize, usize, usize) {
    let word = |at: usize| u32::from_le_bytes(blob[at..at + 4].try_into().unwrap()) as usize;
    (24, 24 + word(12), 24 + word(16))
}

#[test]
fn whole_btf_is_not_damaged() {
    assert_eq!(damage(&blob()), [""; 0]);
    let wanted = Wanted {
        types: &[&["task_struct"]],
        symbols: &[],
        constants: &[],
    };
    assert_eq!(of(&Btf::of(&blob()).unwrap(), Some(&wanted)), [""; 0]);
}

#[test]
fn a_string_that_is_lost_is_told() {
    let good = blob();
    let (_, _, strings) = sections(&good);
    let mut start = strings + 1;
    while let Some(len) = memchr::memchr(0, &good[start..]) {
        let mut bad = good.clone();
        bad[start..start + len].fill(0);
        let text = damage(&bad).join("\n");
        assert!(text.contains("empty string"), "{start}: {text}");
        // As much as one byte of it.
        let mut cut = good.clone();
        cut[start] = 0;
        assert!(!damage(&cut).is_empty(), "{start}");
        cut[start] = 7;
        assert!(damage(&cut)[0].contains("character"), "{start}");
        start += len + 1;
        if start >= good.len() {
            break;
        }
    }
}

#[test]
fn a_name_that_leads_into_another_is_told() {
    let good = blob();
    let (types, end, strings) = sections(&good);
    let names = (strings + 1..good.len()).filter(|at| good[at - 1] == 0);
    let names: Vec<u32> = names.map(|at| (at - strings) as u32).collect();
    let mut seen = 0;
    for at in (types..end).step_by(4) {
        let word = u32::from_le_bytes(good[at..at + 4].try_into().unwrap());
        // Some that look like names are sizes and numbers of types.
        if names.contains(&word) && ![1, 5, 8, 32].contains(&word) {
            for other in [word + 1, word - 1, 0x10_0000] {
                let mut bad = good.clone();
                bad[at..at + 4].copy_from_slice(&other.to_le_bytes());
                let told = Btf::of(&bad).map_or_else(|_| vec![String::new()], |btf| of(&btf, None));
                assert!(!told.is_empty(), "{at}: {word} -> {other}");
            }
            seen += 1;
        }
    }
    assert!(seen > 6, "{seen}");
}

#[test]
fn members_that_lie_in_others_are_told() {
    let good = blob();
    let place = |bits: u32| {
        let bits = bits.to_le_bytes();
        let at = memchr::memmem::rfind_iter(&good[24..], &bits);
        at.map(|at| at + 24).next().unwrap()
    };
    for (bits, other) in [(192, 132), (192, 256), (192, 200)] {
        let mut bad = good.clone();
        let at = place(bits);
        bad[at..at + 4].copy_from_slice(&u32::to_le_bytes(other));
        let text = damage(&bad).join("\n");
        assert!(text.contains("task_struct"), "{bits} -> {other}: {text}");
    }
}
