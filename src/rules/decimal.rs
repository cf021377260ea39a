//! Decimal numbers without rounding, as Postgres's `numeric` calculates.

use std::{cmp::Ordering, fmt};

use serde_json::Value as Json;

/// Digits before or after the point of a number that is read: what 40 digits and an exponent of 40 can come to.
pub(super) const MOST_DIGITS: usize = 80;

/// An exact decimal number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// The least significant first; neither the first nor the last is zero, and zero has none.
    digits: Vec<u8>,
    /// The power of ten that the first digit stands for.
    exponent: i32,
}

impl Decimal {
    /// Reads a number as JSON writes it; none where it is no number or out of bounds.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, power) = match text.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, power.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let digits = whole.bytes().chain(fraction.bytes()).rev();
        let digits = digits
            .map(|byte| byte.is_ascii_digit().then(|| byte - b'0'))
            .collect::<Option<Vec<u8>>>()?;
        let scale = i32::try_from(fraction.len()).ok()?;
        let number = Self::normal(negative, digits, power.checked_sub(scale)?);
        let most = i64::try_from(MOST_DIGITS).ok()?;
        let (top, bottom) = (number.top(), i64::from(number.exponent));
        (top <= most && -bottom <= most).then_some(number)
    }

    fn normal(negative: bool, mut digits: Vec<u8>, mut exponent: i32) -> Self {
        while digits.last() == Some(&0) {
            digits.pop();
        }
        let zeros = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..zeros);
        if digits.is_empty() {
            return Self::default();
        }
        exponent = exponent.saturating_add(i32::try_from(zeros).unwrap_or(i32::MAX));
        Self {
            negative,
            digits,
            exponent,
        }
    }

    /// The power of ten just above the most significant digit.
    fn top(&self) -> i64 {
        i64::from(self.exponent) + i64::try_from(self.digits.len()).unwrap_or(i64::MAX)
    }

    /// The digits down to the power `exponent`, the least significant first.
    fn digits_from(&self, exponent: i32) -> impl Iterator<Item = u8> {
        let zeros = usize::try_from(self.exponent.saturating_sub(exponent)).unwrap_or(0);
        std::iter::repeat_n(0, zeros).chain(self.digits.iter().copied())
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        if self.digits.is_empty() || other.digits.is_empty() {
            return self.digits.len().cmp(&other.digits.len());
        }
        // Where one has more digits and the others agree, its further digits end in one that is not zero.
        self.top()
            .cmp(&other.top())
            .then_with(|| self.digits.iter().rev().cmp(other.digits.iter().rev()))
    }

    fn add_sizes(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        let (mut one, mut another) = (self.digits_from(exponent), other.digits_from(exponent));
        let (mut sum, mut carry) = (Vec::new(), 0);
        loop {
            let (left, right) = (one.next(), another.next());
            if left.is_none() && right.is_none() && carry == 0 {
                return Self::normal(false, sum, exponent);
            }
            let digit = left.unwrap_or(0) + right.unwrap_or(0) + carry;
            sum.push(digit % 10);
            carry = digit / 10;
        }
    }

    /// Takes a smaller size from this one.
    fn subtract_sizes(&self, smaller: &Self) -> Self {
        let exponent = self.exponent.min(smaller.exponent);
        let mut taken = smaller.digits_from(exponent);
        let mut borrow = 0;
        let difference = self.digits_from(exponent).map(|digit| {
            let digit = 10 + digit - taken.next().unwrap_or(0) - borrow;
            borrow = u8::from(digit < 10);
            digit % 10
        });
        let difference = difference.collect();
        Self::normal(false, difference, exponent)
    }

    /// Adds exactly.
    pub fn add(&self, other: &Self) -> Self {
        if self.negative == other.negative {
            return self.add_sizes(other).signed(self.negative);
        }
        match self.compare_size(other) {
            Ordering::Less => other.subtract_sizes(self).signed(other.negative),
            _ => self.subtract_sizes(other).signed(self.negative),
        }
    }

    /// Multiplies exactly.
    pub fn multiply(&self, other: &Self) -> Self {
        let mut product = vec![0_u8; self.digits.len() + other.digits.len()];
        for (shift, digit) in self.digits.iter().enumerate() {
            let mut carry = 0;
            let factors = other.digits.iter().copied().chain(std::iter::once(0));
            for (place, factor) in product.iter_mut().skip(shift).zip(factors) {
                let sum = *place + digit * factor + carry;
                *place = sum % 10;
                carry = sum / 10;
            }
        }
        let exponent = self.exponent.saturating_add(other.exponent);
        Self::normal(false, product, exponent).signed(self.negative != other.negative)
    }

    /// The same with the other sign.
    pub fn negated(self) -> Self {
        let negative = !self.negative;
        self.signed(negative)
    }

    fn signed(mut self, negative: bool) -> Self {
        self.negative = negative && !self.digits.is_empty();
        self
    }

    /// The same as JSON.
    pub(super) fn to_json(&self) -> Json {
        // What `Display` writes is always a JSON number.
        serde_json::from_str(&self.to_string()).unwrap_or_default()
    }

    /// Digits before and after the point.
    pub(super) fn extent(&self) -> (usize, usize) {
        let after = usize::try_from(-i64::from(self.exponent)).unwrap_or(0);
        (usize::try_from(self.top()).unwrap_or(0), after)
    }
}

impl From<i64> for Decimal {
    fn from(number: i64) -> Self {
        // Nineteen digits are within bounds.
        Self::parse(&number.to_string()).unwrap_or_default()
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.compare_size(other),
            (true, true) => other.compare_size(self),
            (negative, _) if negative => Ordering::Less,
            _ => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    /// As JSON and Postgres read it: the digits, and a power of ten where it is not one.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let digits = self.digits.iter().rev().map(|d| char::from(b'0' + d));
        let digits: String = digits.collect();
        match (digits.is_empty(), self.exponent) {
            (true, _) => formatter.write_str("0"),
            (false, 0) => write!(formatter, "{sign}{digits}"),
            (false, exponent) => write!(formatter, "{sign}{digits}e{exponent}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn one_number_has_one_form() {
        for same in [
            ["1", "1.0"],
            ["0", "-0.00"],
            ["1e2", "100"],
            ["0.10", "1E-1"],
            ["-12.50e1", "-125"],
        ] {
            assert_eq!(number(same[0]), number(same[1]), "{same:?}");
        }
        assert_eq!(number("-12.5").to_string(), "-125e-1");
        assert_eq!(number("120").to_string(), "12e1");
    }

    #[test]
    fn order_is_exact() {
        let sorted = [
            "-1e40",
            "-2",
            "-1.5",
            "-0.1",
            "0",
            "1e-40",
            "0.1",
            "0.1000000000000000000000000000000000001",
            "9",
            "9007199254740992",
            "9007199254740993",
            "1e40",
        ];
        for (place, one) in sorted.iter().enumerate() {
            for (other_place, other) in sorted.iter().enumerate() {
                let order = number(one).cmp(&number(other));
                assert_eq!(order, place.cmp(&other_place), "{one} {other}");
            }
        }
    }

    #[test]
    fn arithmetic_is_exact() {
        for (one, other, sum, product) in [
            ("0.1", "0.2", "0.3", "0.02"),
            (
                "1e40",
                "-1e-40",
                "9999999999999999999999999999999999999999.9999999999999999999999999999999999999999",
                "-1",
            ),
            ("999", "1", "1000", "999"),
            ("-5", "3", "-2", "-15"),
            ("-5", "5", "0", "-25"),
            ("0", "7", "7", "0"),
            ("99", "99", "198", "9801"),
        ] {
            assert_eq!(
                number(one).add(&number(other)),
                number(sum),
                "{one} + {other}"
            );
            let found = number(one).multiply(&number(other));
            assert_eq!(found, number(product), "{one} * {other}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_no_number() {
        for text in [
            "",
            "-",
            ".",
            "x",
            "1e",
            "1e81",
            "1e-81",
            "1e999999999999",
            "1.2.3",
            "+1",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert!(Decimal::parse(&"9".repeat(80)).is_some());
        assert!(Decimal::parse("0e99999").is_some());
    }
}
