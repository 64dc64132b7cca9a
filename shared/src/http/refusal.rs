//! What a vendor says when it says no.

use std::fmt;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, StatusCode, header};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::{Answer, Call};

/// Vendors quote the caller's input in their messages; a short piece is enough to see what they mean.
const MAX_MESSAGE_CHARS: usize = 200;
const MAX_CODE_CHARS: usize = 64;
/// A vendor that asks for more patience than this is asked again anyway.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// A vendor's answer that is not a success.
///
/// Its plain form, `{}`, is for the log: the vendor's sentence may quote what people wrote, so only `{:#}` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The vendor's machine-readable reason; absent when the body is not the vendor's own (a gateway's page).
    pub code: Option<String>,
    /// The vendor's sentence, at most 200 characters.
    pub message: Option<String>,
    /// The vendor's handle for its support.
    pub debug_id: Option<String>,
    /// How long the vendor asks to wait, at most one hour.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(answer: &Answer, code: Option<&str>, message: Option<&str>, debug_id: Option<&str>) -> Self {
        Self {
            status: answer.status,
            code: code.filter(|code| is_identifier(code)).map(str::to_owned),
            message: message.map(|message| cap(message, MAX_MESSAGE_CHARS)),
            debug_id: debug_id.filter(|id| is_identifier(id)).map(str::to_owned),
            retry_after: retry_after(answer.status, &answer.headers),
        }
    }

    pub(crate) fn has_code(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// Whether the status alone says "later".
    pub(crate) fn has_transient_status(&self) -> bool {
        let later = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
        self.status.is_server_error() || later.contains(&self.status)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = &self.code {
            write!(f, "{code}, ")?;
        }
        write!(f, "status {}", self.status.as_u16())?;
        if let Some(message) = self.message.as_ref().filter(|_| f.alternate()) {
            write!(f, ": {message}")?;
        }
        if let Some(id) = &self.debug_id {
            write!(f, " (debug id {id})")?;
        }
        Ok(())
    }
}

/// How errors of all vendors word a refusal: `LiveChat refused start_chat: authentication, status 401`.
pub(crate) fn word(vendor: &str, call: &Call, refusal: &Refusal, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{vendor} refused {call}: ")?;
    // Not by `write!`, which would forget whether the alternate form is wanted.
    fmt::Display::fmt(refusal, f)
}

/// Whether a text can be a code or an id of a vendor, and is no sentence.
fn is_identifier(text: &str) -> bool {
    let is_part = |char: char| char.is_ascii_alphanumeric() || "_-.:".contains(char);
    !text.is_empty() && text.len() <= MAX_CODE_CHARS && text.chars().all(is_part)
}

/// At most `max` characters of `text`, with an ellipsis in place of the rest.
pub(crate) fn cap(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some(_) => text.chars().take(max.saturating_sub(1)).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// The wait a vendor asks for: with a 429 `RateLimit-Reset`, else `X-RateLimit-Reset`, else `Retry-After`; with a 503
/// `Retry-After`.
///
/// With any other answer the rate headers say when a window ends, and nobody has to wait for that.
fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    const NAMES: [HeaderName; 3] =
        [HeaderName::from_static("ratelimit-reset"), HeaderName::from_static("x-ratelimit-reset"), header::RETRY_AFTER];
    let names: &[HeaderName] = match status {
        StatusCode::TOO_MANY_REQUESTS => &NAMES,
        StatusCode::SERVICE_UNAVAILABLE => &[header::RETRY_AFTER],
        _ => &[],
    };
    let value = names.iter().find_map(|name| headers.get(name))?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        // A date counts from the answer's own date, so that a wrong clock on either side does not matter.
        Err(_) => date(value)?.checked_sub(date(headers.get(header::DATE)?.to_str().ok()?)?)?,
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// An HTTP date as time since the Unix epoch.
fn date(text: &str) -> Option<Duration> {
    let date = OffsetDateTime::parse(text, &Rfc2822).ok()?;
    u64::try_from(date.unix_timestamp()).ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_wait_is_read_from_seconds_and_dates_and_is_bounded() {
        const DATE: (&str, &str) = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let cases: [(&[(&'static str, &'static str)], _); 10] = [
            (&[("retry-after", "7")], seconds(7)),
            (&[("retry-after", "7"), ("x-ratelimit-reset", "5")], seconds(5)),
            (&[("retry-after", "7"), ("x-ratelimit-reset", "5"), ("ratelimit-reset", "3")], seconds(3)),
            (&[("retry-after", "0.5")], Some(Duration::from_millis(500))),
            (&[("retry-after", "86400")], seconds(3600)),
            (&[DATE, ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")], seconds(30)),
            (&[DATE, ("retry-after", "Wed, 21 Oct 2026 07:27:30 GMT")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "soon")], None),
            (&[], None),
        ];
        for (pairs, expected) in cases {
            assert_eq!(retry_after(StatusCode::TOO_MANY_REQUESTS, &headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_end_of_a_rate_limit_s_window_is_no_wait() {
        let all = headers(&[("ratelimit-limit", "100"), ("ratelimit-reset", "9"), ("x-ratelimit-reset", "8")]);
        let later = headers(&[("ratelimit-reset", "9"), ("retry-after", "7")]);
        for (status, without, with) in
            [(429, Some(9), Some(9)), (503, None, Some(7)), (500, None, None), (400, None, None)]
        {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(retry_after(status, &all), without.map(Duration::from_secs), "{status}");
            assert_eq!(retry_after(status, &later), with.map(Duration::from_secs), "{status}");
        }
    }

    #[test]
    fn a_long_message_of_the_vendor_is_cut() {
        let answer = Answer { status: StatusCode::BAD_REQUEST, headers: HeaderMap::new(), body: Vec::new() };
        let refusal = Refusal::new(&answer, Some("validation"), Some(&"é".repeat(300)), Some("d1"));
        let message = refusal.message.clone().unwrap();
        assert_eq!(message.chars().count(), 200);
        assert!(message.ends_with("é…"));
        assert_eq!(format!("{refusal:#}"), format!("validation, status 400: {message} (debug id d1)"));
        assert_eq!(
            refusal.to_string(),
            "validation, status 400 (debug id d1)",
            "the log has no sentence of the vendor"
        );
    }

    #[test]
    fn codes_and_ids_that_are_sentences_are_not_kept() {
        let answer = Answer { status: StatusCode::BAD_REQUEST, headers: HeaderMap::new(), body: Vec::new() };
        let refusal = Refusal::new(&answer, Some("my card is 4111"), None, Some(&"d".repeat(65)));
        assert_eq!(refusal.to_string(), "status 400");
    }
}
