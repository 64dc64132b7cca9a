//! A wrapper for values that must never be printed: credentials, and what people wrote.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// A value whose `Debug` form shows nothing of it.
///
/// Its JSON form is the bare value, so it fits any wire or table type. There is no `Display`: code that needs the value calls
/// [`expose`](Self::expose), which is easy to find in a review.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted<T = String>(T);

impl<T> Redacted<T> {
    /// Hides `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Returns the hidden value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: AsRef<str>> Redacted<T> {
    /// Returns the hidden text.
    pub fn expose(&self) -> &str {
        self.0.as_ref()
    }

    /// Whether a received credential equals this one; the time does not depend on where they differ.
    ///
    /// An empty credential matches nothing, not even an empty one.
    pub fn matches(&self, received: &str) -> bool {
        !self.expose().is_empty() && bool::from(received.as_bytes().ct_eq(self.expose().as_bytes()))
    }
}

/// The time does not depend on where they differ, so the duration of a comparison reveals nothing.
impl<T: AsRef<str>> PartialEq for Redacted<T> {
    fn eq(&self, other: &Self) -> bool {
        self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
    }
}

impl<T: AsRef<str>> Eq for Redacted<T> {}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl From<&str> for Redacted {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl From<String> for Redacted {
    fn from(value: String) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn debug_output_does_not_contain_the_value() {
        let token = Redacted::from("canary");
        assert_eq!(format!("{token:?} {:#?}", Some(&token)), "[redacted] Some(\n    [redacted],\n)");
    }

    #[test]
    fn only_the_whole_credential_matches_and_an_empty_one_never_does() {
        let ours = Redacted::from("s3cret");
        assert!(ours.matches("s3cret"));
        for received in ["", "s3cre", "s3cret ", "S3cret", "s3cretx"] {
            assert!(!ours.matches(received), "{received:?}");
        }
        assert!(!Redacted::from("").matches(""));
    }

    /// The median time of comparing with a value that differs at the first byte, and at the last; the two alternate, so that
    /// other load on the machine affects both alike.
    fn early_and_late(fits: impl Fn(&Redacted, &str) -> bool) -> [Duration; 2] {
        let secret = "s".repeat(64 * 1024);
        let (early, late) = (format!("x{}", &secret[1..]), format!("{}x", &secret[1..]));
        let ours = Redacted::from(secret);
        let mut samples = [Vec::new(), Vec::new()];
        for _ in 0..201 {
            for (received, samples) in [&early, &late].into_iter().zip(&mut samples) {
                let begun = Instant::now();
                assert!(!std::hint::black_box(fits(&ours, std::hint::black_box(received))));
                samples.push(begun.elapsed());
            }
        }
        samples.map(|mut samples| {
            samples.sort_unstable();
            samples[samples.len() / 2].max(Duration::from_nanos(1))
        })
    }

    #[test]
    fn how_long_a_comparison_takes_does_not_tell_where_it_fails() {
        let ratio = |[early, late]: [Duration; 2]| late.as_secs_f64() / early.as_secs_f64();
        // The wrong way, to prove that this test would notice it.
        let naive = ratio(early_and_late(|ours, received| ours.expose() == received));
        assert!(naive > 3.0, "the difference of `==` would not be seen here: {naive}");
        for (what, measured) in [
            ("matches", ratio(early_and_late(Redacted::matches))),
            ("equality", ratio(early_and_late(|ours, received| *ours == Redacted::from(received)))),
        ] {
            assert!((0.5..2.0).contains(&measured), "{what} takes {measured} times as long for a late difference");
        }
    }

    #[test]
    fn the_json_form_is_the_bare_value() {
        let token: Redacted = serde_json::from_str("\"canary\"").unwrap();
        assert_eq!(serde_json::to_string(&token).unwrap(), "\"canary\"");
    }
}
