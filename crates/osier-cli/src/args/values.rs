//! Values of arguments: addresses, sizes, times.

use std::num::NonZeroUsize;
use std::time::Duration;

/// An address: hexadecimal, with `0x` or without.
pub(super) fn address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    hexadecimal(digits.unwrap_or(text)).ok_or_else(|| {
        format!("`{text}` is no address; write it in hexadecimal, such as 0x400000 or 400000")
    })
}

/// Two addresses with a dash between, the second behind the first.
pub(super) fn range(text: &str) -> Result<(u64, u64), String> {
    let wrong = || {
        format!("`{text}` is no range; write two addresses in hexadecimal, such as 400000-401000")
    };
    let (first, end) = text.split_once('-').ok_or_else(wrong)?;
    match (address(first), address(end)) {
        (Ok(first), Ok(end)) if first < end => Ok((first, end)),
        _ => Err(wrong()),
    }
}

/// Hexadecimal digits, and nothing but those.
fn hexadecimal(digits: &str) -> Option<u64> {
    let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    all.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// A number of bytes: decimal, or hexadecimal with `0x`; K, M, G and T multiply by 1024.
pub(super) fn size(text: &str) -> Result<u64, String> {
    sized(text, 0)
}

/// A number of MiB, or of what it says.
pub(super) fn mib(text: &str) -> Result<u64, String> {
    sized(text, 20)
}

/// A number of GiB, or of what it says.
pub(super) fn gib(text: &str) -> Result<u64, String> {
    sized(text, 30)
}

/// A number of bytes. Without a letter it counts units of 2 to the power of `unit` bytes.
fn sized(text: &str, unit: u32) -> Result<u64, String> {
    let upper = text.to_ascii_uppercase();
    let number = upper.strip_suffix("IB").unwrap_or(&upper);
    let letter = ["K", "M", "G", "T"].iter().zip([10, 20, 30, 40]);
    let suffixed = letter.into_iter().find_map(|(letter, shift)| {
        let number = number.strip_suffix(letter)?;
        Some((number, shift))
    });
    // `4IB` is nothing: the letter before it counts.
    let (number, shift) = suffixed.unwrap_or((&upper, unit));
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = match number.strip_prefix("0X") {
        Some(number) => hexadecimal(number),
        None => number.parse().ok().filter(|_| digits),
    };
    parsed
        .and_then(|number: u64| number.checked_mul(1_u64.checked_shl(shift)?))
        .ok_or_else(|| format!("`{text}` is no size; write 4096, 0x1000 or 4K"))
}

/// How many, at least one.
pub(super) fn several(text: &str) -> Result<NonZeroUsize, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| format!("`{text}` is no number from 1 on; write 1, 2 and so on"))
}

/// A process id.
pub(super) fn pid(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| text.parse().ok()).flatten();
    number.ok_or_else(|| format!("`{text}` is no process id; write one, such as 100"))
}

/// A byte: decimal, or hexadecimal with `0x`.
pub(super) fn byte(text: &str) -> Result<u8, String> {
    let number = size(text).ok();
    let byte = number.and_then(|number| u8::try_from(number).ok());
    byte.ok_or_else(|| format!("`{text}` is no byte; write 0 to 255, or 0x00 to 0xff"))
}

/// A number of seconds, with a fraction perhaps.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = text.parse().ok().map(Duration::try_from_secs_f64);
    match parsed {
        Some(Ok(duration)) if !duration.is_zero() => Ok(duration),
        _ => Err(format!(
            "`{text}` is no time that anything can be done in; write seconds, such as 10 or 0.5"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_hexadecimal_with_0x_and_without() {
        for text in ["400000", "0x400000", "0X400000"] {
            assert_eq!(address(text), Ok(0x40_0000), "{text}");
        }
        assert_eq!(address("ffffFFFF81000000"), Ok(0xffff_ffff_8100_0000));
        for text in ["", "0x", "+1", "-1", "1g", "0x1_0", "10000000000000000"] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_ends_behind_its_start() {
        assert_eq!(range("400000-0x401000"), Ok((0x40_0000, 0x40_1000)));
        for text in ["", "400000", "400000-", "2-1", "1-1", "1-2-3"] {
            assert!(range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_counts_is_a_number() {
        assert_eq!(several("2").map(NonZeroUsize::get), Ok(2));
        assert_eq!(pid("0"), Ok(0));
        for text in ["", "-1", "+1", "x", "1,2", "99999999999999999999"] {
            assert!(several(text).is_err() && pid(text).is_err(), "{text}");
        }
        assert!(several("0").unwrap_err().contains("from 1 on"));
        assert!(seconds("0").is_err() && seconds("-1").is_err() && seconds("0.5").is_ok());
    }

    #[test]
    fn a_byte_is_small() {
        assert_eq!((byte("0"), byte("0xff")), (Ok(0), Ok(255)));
        for text in ["256", "", "ff", "-1"] {
            assert!(byte(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_takes_letters() {
        for (text, bytes) in [
            ("4096", 4096),
            ("0x1000", 4096),
            ("4K", 4096),
            ("4k", 4096),
            ("4KiB", 4096),
            ("0x4k", 4096),
            ("1M", 1 << 20),
            ("3G", 3 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "K",
            "4iB",
            "0x",
            "1.5M",
            "+1",
            "16777216T",
            "4KK",
            "abc",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!((mib("64"), mib("1G")), (Ok(64 << 20), Ok(1 << 30)));
        assert_eq!((gib("2"), gib("512M")), (Ok(2 << 30), Ok(512 << 20)));
    }
}
