//! A compressor for Microsoft's Xpress after `[MS-XCA]`: literals, and matches with the last place
//! where three bytes stood.

use std::collections::HashMap;

enum Token {
    Literal(u8),
    Match { distance: usize, len: usize },
}

fn tokens(data: &[u8], window: usize) -> Vec<Token> {
    let mut last: HashMap<&[u8], usize> = HashMap::new();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let before = data.get(at..at + 3).and_then(|three| last.get(three));
        let step = match before {
            Some(&before) if at - before <= window => {
                let same = data[before..].iter().zip(&data[at..]);
                let len = same.take_while(|(a, b)| a == b).count();
                tokens.push(Token::Match {
                    distance: at - before,
                    len,
                });
                len
            }
            _ => {
                tokens.push(Token::Literal(data[at]));
                1
            }
        };
        for place in at..at + step {
            if let Some(three) = data.get(place..place + 3) {
                last.insert(three, place);
            }
        }
        at += step;
    }
    tokens
}

/// `data` by plain LZ77 (section 2.3).
pub fn plain(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 4];
    let mut flags_at = 0;
    let mut flags: Vec<bool> = Vec::new();
    let mut half: Option<usize> = None;
    let store = |out: &mut Vec<u8>, at: usize, flags: &[bool]| {
        let mut word = u32::MAX; // what is not used is 1
        for (index, flag) in flags.iter().enumerate() {
            if !flag {
                word &= !(1 << (31 - index));
            }
        }
        out[at..at + 4].copy_from_slice(&word.to_le_bytes());
    };
    for token in tokens(data, 8192) {
        match token {
            Token::Literal(byte) => {
                flags.push(false);
                out.push(byte);
            }
            Token::Match { distance, len } => {
                flags.push(true);
                let len = len - 3;
                let word = (distance - 1) << 3 | len.min(7);
                out.extend((word as u16).to_le_bytes());
                if len >= 7 {
                    let nibble = (len - 7).min(15) as u8;
                    if let Some(at) = half.take() {
                        out[at] |= nibble << 4;
                    } else {
                        half = Some(out.len());
                        out.push(nibble);
                    }
                    if nibble == 15 {
                        longer(&mut out, len - 22, len);
                    }
                }
            }
        }
        if flags.len() == 32 {
            store(&mut out, flags_at, &flags);
            flags.clear();
            flags_at = out.len();
            out.extend([0; 4]);
        }
    }
    store(&mut out, flags_at, &flags);
    out
}

/// A length that a byte may hold, or else a word or four bytes.
fn longer(out: &mut Vec<u8>, short: usize, long: usize) {
    match u8::try_from(short) {
        Ok(byte) if byte < 255 => out.push(byte),
        _ => {
            out.push(255);
            if let Ok(word) = u16::try_from(long) {
                out.extend(word.to_le_bytes());
            } else {
                out.extend([0; 2]);
                out.extend((long as u32).to_le_bytes());
            }
        }
    }
}

/// The bit writer of section 2.1.4.3: words are reserved before the bytes that follow their bits.
struct Bits {
    out: Vec<u8>,
    free: u32,
    next: u32,
    places: [usize; 2],
}

impl Bits {
    fn new(out: Vec<u8>) -> Self {
        let at = out.len();
        let mut bits = Self {
            out,
            free: 16,
            next: 0,
            places: [at, at + 2],
        };
        bits.out.extend([0; 4]);
        bits
    }

    fn put(&mut self, n: u32, value: u32) {
        if self.free >= n {
            self.free -= n;
            self.next = self.next << n | value;
            return;
        }
        let over = n - self.free;
        self.store(self.next << self.free | value >> over);
        self.places = [self.places[1], self.out.len()];
        self.out.extend([0; 2]);
        self.free = self.free + 16 - n;
        self.next = value & ((1 << over) - 1);
    }

    fn store(&mut self, word: u32) {
        let at = self.places[0];
        self.out[at..at + 2].copy_from_slice(&(word as u16).to_le_bytes());
    }

    fn end(mut self) -> Vec<u8> {
        self.store(self.next << self.free);
        self.out
    }
}

/// `data`, at most 64 KiB of it, by LZ77 and Huffman codes (section 2.1).
pub fn huffman(data: &[u8]) -> Vec<u8> {
    assert!(data.len() <= 1 << 16, "one block");
    let tokens = tokens(data, 65535);
    let symbol = |token: &Token| match token {
        Token::Literal(byte) => usize::from(*byte),
        Token::Match { distance, len } => 256 + 16 * distance.ilog2() as usize + (len - 3).min(15),
    };
    // Codes of two neighbouring lengths for the symbols in use, however often each is.
    let mut used: Vec<usize> = tokens.iter().map(symbol).chain([256]).collect();
    used.sort_unstable();
    used.dedup();
    if used.len() == 1 {
        used.insert(0, 0);
    }
    let long = usize::BITS - (used.len() - 1).leading_zeros();
    let short = (1 << long) - used.len();
    let mut lengths = [0_u8; 512];
    for (index, symbol) in used.iter().enumerate() {
        lengths[*symbol] = (long - u32::from(index < short)) as u8;
    }
    let mut codes = [0_u32; 512];
    let mut next = 0;
    for length in 1..=15 {
        for symbol in (0..512).filter(|symbol| lengths[*symbol] == length) {
            codes[symbol] = next;
            next += 1;
        }
        next <<= 1;
    }
    let table = lengths.chunks(2).map(|pair| pair[0] | pair[1] << 4);
    let mut bits = Bits::new(table.collect());
    for token in &tokens {
        let symbol = symbol(token);
        bits.put(u32::from(lengths[symbol]), codes[symbol]);
        if let Token::Match { distance, len } = token {
            if len - 3 >= 15 {
                longer(&mut bits.out, len - 18, len - 3);
            }
            let width = distance.ilog2();
            bits.put(width, *distance as u32 - (1 << width));
        }
    }
    bits.put(u32::from(lengths[256]), codes[256]);
    bits.end()
}
