//! What a kernel build is found by.

use std::fmt;

/// A GNU build id (Linux), or what names a PDB (Windows): the 16 bytes of its GUID in the order in
/// which they are printed, or before Visual C++ 7 the 4 bytes of its signature, most significant
/// first; then its age, 4 bytes, most significant first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BuildId(pub Vec<u8>);

impl BuildId {
    /// Reads lower- or upper-case hexadecimal digits; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.is_empty() || !text.len().is_multiple_of(2) {
            return None;
        }
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let pairs = text.chunks_exact(2).map(|pair| match pair {
            [high, low] => u8::try_from((digit(high)? << 4) | digit(low)?).ok(),
            _ => None,
        });
        pairs.collect::<Option<Vec<u8>>>().map(Self)
    }

    /// The identity of a PDB by a `CodeView` record `RSDS`: the GUID's bytes as they are stored, and
    /// the age. Stream 1 of a PDB stores its GUID likewise.
    pub fn of_rsds(guid: [u8; 16], age: u32) -> Self {
        let mut id = guid.to_vec();
        // A GUID is a 32-bit number, two of 16 bits, and 8 bytes; the numbers are little-endian.
        for number in [0..4, 4..6, 6..8] {
            if let Some(number) = id.get_mut(number) {
                number.reverse();
            }
        }
        id.extend_from_slice(&age.to_be_bytes());
        Self(id)
    }

    /// The identity of a PDB by a `CodeView` record `NB10`: signature (the time of its making) and
    /// age.
    pub fn of_nb10(signature: u32, age: u32) -> Self {
        let mut id = signature.to_be_bytes().to_vec();
        id.extend_from_slice(&age.to_be_bytes());
        Self(id)
    }

    /// The folder that symbol servers keep a PDB in: the GUID or signature, 32 or 8 digits, then
    /// the age without leading zeros, all in upper-case hexadecimal. `None` for what names no PDB.
    pub fn symbol_server_key(&self) -> Option<String> {
        let (name, age) = self.0.split_last_chunk::<4>()?;
        if !matches!(name.len(), 4 | 16) {
            return None;
        }
        let name = Self(name.to_vec()).to_string().to_uppercase();
        Some(format!("{name}{:X}", u32::from_be_bytes(*age)))
    }

    /// Reads such a folder's name, upper or lower case. A GUID is known by its 32 digits, so a
    /// signature's age must be below 2²⁴; it always is.
    pub fn from_symbol_server_key(key: &str) -> Option<Self> {
        let digits = if key.len() > 32 { 32 } else { 8 };
        let (name, age) = key.split_at_checked(digits)?;
        if !age.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let Self(mut id) = Self::from_hex(name)?;
        let age = u32::from_str_radix(age, 16).ok()?;
        id.extend_from_slice(&age.to_be_bytes());
        Some(Self(id))
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pdb_is_named_as_symbol_servers_name_it() {
        let stored = [
            0x31, 0xfb, 0xb5, 0x30, 0x7e, 0xae, 0xca, 0x4a, 0xab, 0xa7, 0x50, 0xaa, 0x24, 0x1f,
            0xf3, 0x31,
        ];
        let id = BuildId::of_rsds(stored, 17);
        let key = "30B5FB31AE7E4ACAABA750AA241FF33111";
        assert_eq!(id.to_string(), "30b5fb31ae7e4acaaba750aa241ff33100000011");
        assert_eq!(id.symbol_server_key().as_deref(), Some(key));
        assert_eq!(BuildId::from_symbol_server_key(key), Some(id.clone()));
        let lower = key.to_lowercase();
        assert_eq!(BuildId::from_symbol_server_key(&lower), Some(id));

        let old = BuildId::of_nb10(0x3843_78ea, 1);
        assert_eq!(old.symbol_server_key().as_deref(), Some("384378EA1"));
        assert_eq!(BuildId::from_symbol_server_key("384378EA1"), Some(old));
        assert_eq!(
            BuildId(vec![0; 20])
                .symbol_server_key()
                .map(|key| key.len()),
            Some(33)
        );
        assert_eq!(BuildId(vec![0; 6]).symbol_server_key(), None);
        for wrong in [
            "",
            "384378EA",
            "384378EA+1",
            "30B5FB31AE7E4ACAABA750AA241FF331",
            "x",
        ] {
            assert_eq!(BuildId::from_symbol_server_key(wrong), None, "{wrong}");
        }
    }
}
