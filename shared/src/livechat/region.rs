//! LiveChat's data centres.

const MAX_BYTES: usize = 16;

/// A data centre of LiveChat, as `X-Region` names it: `dal` (United States) or `fra` (Europe).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(String);

impl Region {
    /// Accepts lower-case letters, digits and hyphens, so that a data centre that LiveChat adds later is not refused.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=MAX_BYTES).contains(&text.len()).then_some(())?;
        text.bytes().all(allowed).then(|| Self(text.to_owned()))
    }

    /// The vendor's name for it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the data centre that LiveChat uses by default.
    pub(super) fn is_default(&self) -> bool {
        self.0 == "dal"
    }

    /// Reads the prefix of an OAuth or customer token: `fra:…`, `fra-a:…`, also `fra%3A…`.
    ///
    /// The header names the data centre only, not its part, so `fra-a` becomes `fra`.
    pub(super) fn of_token(token: &str) -> Option<Self> {
        let prefix = token.split([':', '%']).next()?;
        let centre = prefix.split('-').next()?;
        ["dal", "fra"].contains(&centre).then(|| Self(centre.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_region_by_its_prefix() {
        let cases = [
            ("dal:abc", Some("dal")),
            ("fra:abc", Some("fra")),
            ("fra%3Aabc", Some("fra")),
            ("fra-a:abc", Some("fra")),
            ("fra", Some("fra")),
            ("YWNjb3VudDpwYXQ=", None),
            ("eu:abc", None),
            ("", None),
        ];
        for (token, expected) in cases {
            assert_eq!(Region::of_token(token).as_ref().map(Region::as_str), expected, "{token}");
        }
    }

    #[test]
    fn a_region_that_is_not_fit_for_a_header_is_refused() {
        for text in ["", "FRA", "fra\r\nx: y", "a-name-that-is-far-too-long"] {
            assert_eq!(Region::parse(text), None, "{text}");
        }
        assert_eq!(Region::parse("fra-b").as_ref().map(Region::as_str), Some("fra-b"));
    }
}
