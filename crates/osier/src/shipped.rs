//! The profiles that are part of the program: `symbols/*.osp` of the project, with provenance
//! beside each.

use osier_profile::Embedded;

/// The files, byte for byte, and the build id of each.
pub(crate) static SHIPPED: &[Embedded] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

#[cfg(test)]
mod tests {
    use osier_profile::Card;

    use super::*;

    #[test]
    fn the_index_says_what_the_cards_say() {
        for embedded in SHIPPED {
            let card = Card::from_bytes(embedded.file).unwrap();
            let id = card.identity.build_id.map_or(Vec::new(), |id| id.0);
            assert_eq!(id, embedded.build_id);
        }
    }
}
