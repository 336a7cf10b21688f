//! How things are counted in messages and pages for people.

/// A count with its thousands apart: `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
pub fn plural(number: usize, thing: &str) -> String {
    let number_text = count(number as u64);
    if number == 1 { format!("{number_text} {thing}") } else { format!("{number_text} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_no_plural_and_thousands_stand_apart() {
        assert_eq!((count(999), count(1000), count(1_234_567)), ("999".into(), "1,000".into(), "1,234,567".into()));
        assert_eq!((plural(1, "row"), plural(0, "row")), ("1 row".into(), "0 rows".into()));
        assert_eq!(plural(12_000, "call"), "12,000 calls");
    }
}
