//! A wrapper for what must never be printed: credentials, and what people wrote.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// A value whose `Debug` form says nothing about it.
///
/// Its JSON form is the bare value, so it can stand in any wire or table type. There is no `Display`: whoever needs the
/// value calls [`expose`](Self::expose), which is easy to find in a review.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted<T = String>(T);

impl<T> Redacted<T> {
    /// Hides `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Takes the hidden value out.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: AsRef<str>> Redacted<T> {
    /// Shows the hidden text.
    pub fn expose(&self) -> &str {
        self.0.as_ref()
    }

    /// Whether a received credential is this one, in a time that does not depend on where they differ.
    ///
    /// An empty credential matches nothing, not even an empty one.
    pub fn matches(&self, received: &str) -> bool {
        !self.expose().is_empty() && bool::from(received.as_bytes().ct_eq(self.expose().as_bytes()))
    }
}

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

    #[test]
    fn the_json_form_is_the_bare_value() {
        let token: Redacted = serde_json::from_str("\"canary\"").unwrap();
        assert_eq!(serde_json::to_string(&token).unwrap(), "\"canary\"");
    }
}
