//! US dollars, exact.
//!
//! Owns: the amount, its text, and the whole picodollars (1e-12 USD) in which it is kept and counted where only whole numbers are. A price per million tokens that has at most six
//! decimals is a whole number of them per token, so nothing is lost on the way. Not here: what things cost (`price`).

use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

const PICOS: i64 = 1_000_000_000_000;

/// An amount, never negative.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usd(Decimal);

impl Usd {
    pub const ZERO: Self = Self(Decimal::ZERO);
    /// Above any budget or price: about 9.2 million, what whole picodollars hold.
    pub const MAX: Self = Self(Decimal::from_parts(9_000_000, 0, 0, false, 0));

    /// Absent: it is negative, or more than [`Usd::MAX`].
    pub fn new(amount: Decimal) -> Option<Self> {
        (Decimal::ZERO..=Self::MAX.0).contains(&amount).then(|| Self(amount.normalize()))
    }

    /// What a number means that people wrote: `0.1` is a tenth. Absent: it is no amount.
    pub fn from_f64(amount: f64) -> Option<Self> {
        // By its shortest text, which is what was written.
        if amount.is_finite() { Decimal::from_scientific(&format!("{amount:e}")).ok().and_then(Self::new) } else { None }
    }

    pub fn from_picos(picos: i64) -> Self {
        Self(Decimal::from_i128_with_scale(picos.max(0).into(), 12).normalize())
    }

    /// Of a sum, which may be more than [`Usd::MAX`].
    pub fn from_total_picos(picos: i128) -> Self {
        Self(Decimal::try_from_i128_with_scale(picos.max(0), 12).unwrap_or(Decimal::MAX).normalize())
    }

    /// Rounded up, so that what is counted is never less than what is owed.
    pub fn picos(self) -> i64 {
        (self.0.min(Self::MAX.0) * Decimal::from(PICOS)).ceil().to_i64().unwrap_or(i64::MAX)
    }

    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// The nearest: for JSON and metrics, in which every digit of an amount with up to 15 of them is kept.
    pub fn to_f64(self) -> f64 {
        self.0.to_f64().unwrap_or(f64::MAX)
    }

    /// Of several who share it evenly, what each one has: together no more than all of it.
    pub fn share(self, among: usize) -> Self {
        let each = (self.0 / Decimal::from(among.max(1))).round_dp_with_strategy(12, RoundingStrategy::ToZero);
        Self(each.normalize())
    }

    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// No less than nothing.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self((self.0 - other.0).max(Decimal::ZERO))
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self((self.0 + other.0).normalize())
    }
}

impl AddAssign for Usd {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// Without trailing zeros and without an exponent: `0.0000375`.
impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.0)
    }
}

/// As a JSON number.
impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.to_f64())
    }
}

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_f64(f64::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom("expected an amount of US dollars from 0 to 9000000"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_amount_is_what_was_written() {
        for (number, text, picos) in [
            (0.1, "0.1", 100_000_000_000),
            (3.75e-5, "0.0000375", 37_500_000),
            (0.0, "0", 0),
            (1e-12, "0.000000000001", 1),
            (12.50, "12.5", 12_500_000_000_000),
        ] {
            let usd = Usd::from_f64(number).unwrap();
            assert_eq!((usd.to_string().as_str(), usd.picos(), usd.to_f64()), (text, picos, number));
        }
        assert_eq!([-0.1, f64::NAN, f64::INFINITY, 9_000_001.0].map(Usd::from_f64), [None; 4]);
    }

    #[test]
    fn half_a_picodollar_is_counted_as_a_whole_one() {
        assert_eq!(Usd::from_f64(1.5e-12).unwrap().picos(), 2);
    }

    #[test]
    fn there_are_no_debts() {
        let (one, two) = (Usd::from_f64(1.0).unwrap(), Usd::from_f64(2.0).unwrap());
        assert_eq!((two.saturating_sub(one), one.saturating_sub(two)), (one, Usd::ZERO));
    }

    proptest! {
        #[test]
        fn whole_picodollars_and_their_sums_are_exact(a in 0..4_000_000_000_000_000_000_i64, b in 0..4_000_000_000_000_000_000_i64) {
            prop_assert_eq!(Usd::from_picos(a).picos(), a);
            prop_assert_eq!((Usd::from_picos(a) + Usd::from_picos(b)).picos(), a + b);
        }
    }
}
