//! `numeric`: the number in the answer is the expected one, within a tolerance.

use serde_json::Value;

use super::answer::{expected, quote, text_of};
use super::{Grade, Grader, ScorerSetupError};
use crate::dataset::Example;

/// How far the number may be off: by the larger of the two tolerances.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NumericOptions {
    /// In units of the number, 0 or more. Default: 0.
    pub absolute: f64,
    /// As a share of the expected number's size, 0 or more: 0.01 is one per cent. Default: 0.
    pub relative: f64,
}

/// 1 if the last number in the answer is the expected one within the tolerance, else 0.
///
/// The last one, because an answer that shows its working ends with the result. Numbers are written with a decimal
/// point, an optional exponent, and commas, apostrophes, underscores or non-breaking spaces between groups of three
/// digits: `-1,234.5`, `6.02e23`. A currency sign may stand between sign and number; what follows (`%`, a unit) is not
/// read.
#[derive(Debug, Clone)]
pub struct Numeric {
    name: String,
    options: NumericOptions,
}

impl Numeric {
    /// A scorer called `name` in reports.
    ///
    /// # Errors
    /// A tolerance that is negative or not finite.
    pub fn new(name: impl Into<String>, options: NumericOptions) -> Result<Numeric, ScorerSetupError> {
        let name = name.into();
        for (option, value) in [("absolute", options.absolute), ("relative", options.relative)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(ScorerSetupError::new(
                    name,
                    format!("`{option}` tolerance is {value}; it must be 0 or more"),
                ));
            }
        }
        Ok(Numeric { name, options })
    }
}

/// The expected number, or the last one in an expected text.
pub(super) fn expected_number(example: &Example) -> Result<f64, String> {
    let value = expected(example)?;
    let wanted = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => last_number(text),
        _ => None,
    };
    wanted.ok_or_else(|| format!("the row's expected answer must be a number, it is {}", quote(&text_of(value))))
}

/// What `judge` makes of the expected number and of the last one in the answer, both finite.
pub(super) fn grade(example: &Example, answer: &str, judge: impl Fn(f64, f64) -> f64) -> Result<Grade, String> {
    let wanted = expected_number(example)?;
    let Some(number) = last_number(answer) else {
        return Ok(Grade::fail("no number in the answer"));
    };
    Ok(Grade::graded(judge(wanted, number), || format!("expected {wanted}, answered {number}")))
}

/// The last finite number written in a text.
fn last_number(text: &str) -> Option<f64> {
    let mut last = None;
    let mut at = 0;
    while let Some(start) = text[at..].find(|c: char| c.is_ascii_digit()).map(|offset| at + offset) {
        let point = starts_with_point(text, start);
        let (digits, end) = read_number(&text[start..], point);
        let number = if point { format!("0.{digits}") } else { digits };
        let sign = if is_negative(&text[..start - usize::from(point)]) { -1.0 } else { 1.0 };
        if let Ok(number) = number.parse::<f64>()
            && number.is_finite()
        {
            last = Some(sign * number);
        }
        at = start + end;
    }
    last
}

/// Whether the digits at `start` follow a bare decimal point, as in `.5`.
fn starts_with_point(text: &str, start: usize) -> bool {
    text[..start].strip_suffix('.').is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '.'))
}

/// The number that `text` starts with, as Rust writes it, and where it ends. `fraction`: the point was already read.
fn read_number(text: &str, fraction: bool) -> (String, usize) {
    let mut number = String::new();
    let mut end = digits(text, &mut number);
    if !fraction {
        while let Some(length) = group(&text[end..]) {
            number.push_str(&text[end + length - 3..end + length]);
            end += length;
        }
        if text[end..].starts_with('.') && text[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
            number.push('.');
            end += 1 + digits(&text[end + 1..], &mut number);
        }
    }
    if let Some(length) = exponent(&text[end..]) {
        number.push_str(&text[end..end + length]);
        end += length;
    }
    (number, end)
}

/// Takes the digits that `text` starts with and says how many they are.
fn digits(text: &str, into: &mut String) -> usize {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    into.push_str(&text[..count]);
    count
}

/// The length of a thousands separator and exactly three digits, where `text` starts with them.
fn group(text: &str) -> Option<usize> {
    let separator =
        text.chars().next().filter(|c| [',', '\'', '’', '_', '\u{a0}', '\u{202f}', '\u{2009}'].contains(c))?;
    let rest = &text[separator.len_utf8()..];
    (rest.bytes().take_while(u8::is_ascii_digit).count() == 3).then(|| separator.len_utf8() + 3)
}

/// The length of an exponent, where `text` starts with one.
fn exponent(text: &str) -> Option<usize> {
    let rest = text.strip_prefix(['e', 'E'])?;
    let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    let count = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    (count > 0).then(|| text.len() - unsigned.len() + count)
}

/// Whether a minus sign belongs to the number after `before`: `-5`, `-$5`, not `10-5` or `A-5`.
fn is_negative(before: &str) -> bool {
    let before = before.strip_suffix(['$', '€', '£', '¥']).unwrap_or(before);
    before.strip_suffix(['-', '−']).is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == ')'))
}

impl Grader for Numeric {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, example: &Example) -> Result<(), String> {
        expected_number(example).map(drop)
    }

    fn grade(&self, example: &Example, answer: &str) -> Result<Grade, String> {
        grade(example, answer, |wanted, number| {
            let tolerance = self.options.absolute.max(self.options.relative * wanted.abs());
            // Decimals are rounded to binary: 42.1 - 42 is a little more than 0.1.
            let rounding = if tolerance > 0.0 { f64::EPSILON * (number.abs() + wanted.abs()) } else { 0.0 };
            f64::from(u8::from((number - wanted).abs() <= tolerance + rounding))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::samples::{reason, row, try_score, value};
    use super::*;

    fn scorer(absolute: f64, relative: f64) -> Numeric {
        Numeric::new("numeric", NumericOptions { absolute, relative }).unwrap()
    }

    #[test]
    fn the_last_number_of_a_text_is_read() {
        for (text, number) in [
            ("42", 42.0),
            ("3 + 4 = 7.", 7.0),
            ("-1,234,567.89 €", -1_234_567.89),
            ("1'234", 1234.0),
            ("1\u{202f}234,5", 5.0),
            ("12,34", 34.0),
            ("1,2345", 2345.0),
            ("−5 °C", -5.0),
            ("-$5.50", -5.5),
            ("10-5", 5.0),
            ("COVID-19", 19.0),
            ("between .5 and -.25", -0.25),
            ("6.02e23", 6.02e23),
            ("1e-3", 1e-3),
            ("5 eggs", 5.0),
            ("about 12%", 12.0),
            ("١٢ then 7 é", 7.0),
        ] {
            assert_eq!(last_number(text), Some(number), "{text}");
        }
        for text in ["", "none", "e5x".trim_end_matches("5x"), "."] {
            assert_eq!(last_number(text), None, "{text}");
        }
        assert_eq!(last_number("7 or 1e999"), Some(7.0), "what is not finite is no number");
    }

    #[test]
    fn tolerance_is_the_larger_of_absolute_and_relative() {
        assert_eq!(value(&scorer(0.0, 0.0), 10, "it is 10.0"), 1.0);
        assert_eq!(value(&scorer(0.0, 0.0), 10, "10.1"), 0.0);
        assert_eq!(value(&scorer(0.5, 0.0), 10, "10.5"), 1.0);
        for answer in ["42.1", "41.9"] {
            assert_eq!(value(&scorer(0.1, 0.0), 42, answer), 1.0, "{answer}");
        }
        assert_eq!(value(&scorer(0.1, 0.0), 42, "42.100001"), 0.0);
        assert_eq!(value(&scorer(0.0, 0.0), 0.1, "0.10000000000000002"), 0.0, "no tolerance is none");
        assert_eq!(value(&scorer(0.0, 0.01), -1000, "-1,010"), 1.0);
        assert_eq!(value(&scorer(0.0, 0.01), -1000, "-1,011"), 0.0);
        assert_eq!(value(&scorer(0.0, 0.0), "1,000", "1000"), 1.0);
        assert_eq!(reason(&scorer(0.0, 0.0), 10, "11"), "expected 10, answered 11");
        assert_eq!(reason(&scorer(0.0, 0.0), 10, ""), "no number in the answer");
    }

    #[test]
    fn an_expected_answer_that_is_no_number_is_an_error_of_the_row() {
        for wrong in [Value::Null, Value::from("many"), Value::from(true)] {
            assert!(scorer(0.0, 0.0).check(&row(wrong.clone())).is_err());
            assert!(try_score(&scorer(0.0, 0.0), wrong, "1").is_err());
        }
    }

    #[test]
    fn a_tolerance_below_zero_is_refused() {
        assert!(Numeric::new("n", NumericOptions { absolute: -1.0, relative: 0.0 }).is_err());
        assert!(Numeric::new("n", NumericOptions { absolute: 0.0, relative: f64::NAN }).is_err());
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "\\PC*") {
            if let Some(number) = last_number(&text) {
                prop_assert!(number.is_finite());
            }
        }

        #[test]
        fn digits_and_signs_in_any_order_can_be_read(text in "[0-9.,eE+\\-$é'’ −]{0,30}") {
            last_number(&text);
        }

        #[test]
        fn a_number_is_read_back(number in -1e12f64..1e12) {
            prop_assert_eq!(last_number(&format!("so it is {number}.")), Some(number));
        }
    }
}
