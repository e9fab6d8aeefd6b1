//! The functions of C's mathematics that this program needs, under C's names.
//!
//! Crates of the tree ask for four of them: for the speed of a progress bar, the size of a Bloom filter of Parquet, the entropy of a
//! YARA rule. For their sake the loader would open libm at every start, choose among its variants for this
//! processor, and settle its tables: a sixth of what `osier --version` costs. With them in the program libm is
//! not needed at all (`tests/start.rs`); the results are the same to the last place but one.

#![expect(unsafe_code, reason = "the linker knows these names from C")]

// SAFETY (of each): the name is C's, and so are the types and what the function does; no other file of this
// program has it.

#[unsafe(no_mangle)]
extern "C" fn pow(base: f64, exponent: f64) -> f64 {
    libm::pow(base, exponent)
}

#[unsafe(no_mangle)]
extern "C" fn log(x: f64) -> f64 {
    libm::log(x)
}

#[unsafe(no_mangle)]
extern "C" fn log2(x: f64) -> f64 {
    libm::log2(x)
}

#[unsafe(no_mangle)]
extern "C" fn log10(x: f64) -> f64 {
    libm::log10(x)
}

#[cfg(test)]
mod tests {
    use std::f64::consts;

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() <= other.abs() * f64::EPSILON
    }

    #[test]
    fn they_are_what_they_are_called() {
        assert!(near(super::pow(2.0, 0.5), consts::SQRT_2));
        assert!(near(super::pow(-3.0, 3.0), -27.0));
        assert!(near(super::log(10.0), consts::LN_10));
        assert!(near(super::log2(10.0), consts::LOG2_10));
        assert!(near(super::log10(2.0), consts::LOG10_2));
        assert!(super::log(-1.0).is_nan() && super::log2(0.0).is_infinite());
    }
}
