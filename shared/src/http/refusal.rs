//! A vendor's refusal.

use std::fmt;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::Answer;

/// Vendors quote the caller's input in their messages; a short part is enough to understand them.
const MAX_MESSAGE_CHARS: usize = 200;
const MAX_CODE_CHARS: usize = 64;
/// A vendor that asks for a longer wait than this is called again anyway.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// How long to wait for a vendor that limits the rate and names no time.
const UNNAMED_WAIT: Duration = Duration::from_secs(2);

/// A vendor's answer that is not a success.
///
/// Its plain form, `{}`, is for the log: the vendor's sentence may quote what people wrote, so only `{:#}` contains it.
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
    /// Whether the body is an HTML page, which no vendor's API returns.
    pub is_page: bool,
    /// Where to call instead, as the vendor names it.
    pub elsewhere: Option<String>,
    /// How long the vendor asks to wait, at most one hour; 2 s if it limits the rate and names no time.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(answer: &Answer, code: Option<&str>, message: Option<&str>, debug_id: Option<&str>) -> Self {
        let limits = answer.status == StatusCode::TOO_MANY_REQUESTS || code == Some("too_many_requests");
        Self {
            status: answer.status,
            code: code.filter(|code| is_identifier(code)).map(str::to_owned),
            message: message.map(|message| cap(message, MAX_MESSAGE_CHARS)),
            debug_id: debug_id.filter(|id| is_identifier(id)).map(str::to_owned),
            is_page: answer.body.trim_ascii_start().first() == Some(&b'<'),
            elsewhere: None,
            retry_after: retry_after(answer.status, &answer.headers).or(limits.then_some(UNNAMED_WAIT)),
        }
    }

    pub(crate) fn has_code(&self, codes: &[&str]) -> bool {
        self.code.as_deref().is_some_and(|code| codes.contains(&code))
    }

    /// Whether the same call may succeed later; `later` are the vendor's codes that say so.
    pub(crate) fn may_pass(&self, later: &[&str]) -> bool {
        self.has_code(later) || self.has_transient_status() || self.is_of_a_stranger()
    }

    /// Whether a proxy in front of the vendor has answered: a redirect, or a refusal without the vendor's own reason. It says nothing
    /// about the call, which may succeed later. A refusal of the credential or of the size counts from any source.
    pub(crate) fn is_of_a_stranger(&self) -> bool {
        const FROM_ANYBODY: [StatusCode; 4] = [
            StatusCode::UNAUTHORIZED,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::URI_TOO_LONG,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ];
        let refuses = self.status.is_redirection() || self.status.is_client_error();
        self.code.is_none() && refuses && !FROM_ANYBODY.contains(&self.status)
    }

    /// Whether the status alone means that the call may succeed later.
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

/// Whether a text can be a vendor's code or id, and not a sentence.
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

/// The wait a vendor asks for. Only three answers ask for one: a 429, a 503 with `Retry-After`, and another refusal that may pass, or
/// a 403, with `Remaining: 0`.
///
/// With any other answer the rate headers give the end of a window, which requires no wait.
fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    const RESETS: [HeaderName; 2] =
        [HeaderName::from_static("ratelimit-reset"), HeaderName::from_static("x-ratelimit-reset")];
    let named = |names: &[HeaderName]| names.iter().find_map(|name| wait(headers.get(name)?, headers));
    let is_used_up = || {
        (status.is_server_error() || [StatusCode::REQUEST_TIMEOUT, StatusCode::FORBIDDEN].contains(&status))
            && REMAINING.iter().any(|name| headers.get(name).is_some_and(|left| left.as_bytes() == b"0"))
    };
    let wait = match status {
        StatusCode::TOO_MANY_REQUESTS => named(&RESETS).or_else(|| named(&[header::RETRY_AFTER])),
        StatusCode::SERVICE_UNAVAILABLE => named(&[header::RETRY_AFTER]),
        _ => None,
    };
    let wait = wait.or_else(|| if is_used_up() { named(&RESETS) } else { None });
    Some(wait?.min(MAX_RETRY_AFTER))
}

/// The headers with the number of calls left.
const REMAINING: [HeaderName; 2] =
    [HeaderName::from_static("ratelimit-remaining"), HeaderName::from_static("x-ratelimit-remaining")];

/// Reads a wait in any of its forms: seconds, milliseconds, an HTTP date, or a Unix time in seconds or milliseconds. The size of a number
/// decides which of them it is.
///
/// A time is compared with the answer's own date, so that a wrong clock on either side does not matter.
fn wait(value: &HeaderValue, headers: &HeaderMap) -> Option<Duration> {
    /// No wait in seconds is longer: a larger number is one of milliseconds.
    const LONGEST_IN_SECONDS: f64 = 86_400.0;
    /// Numbers from here on are Unix times (1973 in seconds; as a wait, 28 hours in milliseconds).
    const EARLIEST_MOMENT: f64 = 1e8;
    /// And from here on (5138 in seconds, 1973 in milliseconds) they are in milliseconds.
    const EARLIEST_IN_MILLIS: f64 = 1e11;
    let value = value.to_str().ok()?.trim();
    let seconds = |number: f64| Duration::try_from_secs_f64(number).ok();
    let moment = match value.parse::<f64>() {
        Ok(number) if number <= LONGEST_IN_SECONDS => return seconds(number),
        Ok(number) if number < EARLIEST_MOMENT => return seconds(number / 1_000.0),
        Ok(number) if number < EARLIEST_IN_MILLIS => seconds(number)?,
        Ok(number) => seconds(number / 1_000.0)?,
        Err(_) => date(value)?,
    };
    let wait = moment.checked_sub(date(headers.get(header::DATE)?.to_str().ok()?)?)?;
    // A date days away from the answer's own proves nothing.
    Some(wait).filter(|wait| wait.as_secs_f64() <= LONGEST_IN_SECONDS)
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
    fn the_wait_is_read_in_every_form_and_is_bounded() {
        const DATE: (&str, &str) = ("date", "Wed, 21 Oct 2026 07:28:00 GMT");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let cases: [(&[(&'static str, &'static str)], _); 21] = [
            (&[("retry-after", "7")], seconds(7)),
            (&[("retry-after", "7"), ("x-ratelimit-reset", "5")], seconds(5)),
            (&[("retry-after", "7"), ("x-ratelimit-reset", "5"), ("ratelimit-reset", "3")], seconds(3)),
            (&[("retry-after", "7"), ("ratelimit-reset", "soon")], seconds(7)),
            (&[("retry-after", "0.5")], Some(Duration::from_millis(500))),
            (&[("retry-after", "86400")], seconds(3600)),
            (&[("retry-after", "90000")], seconds(90)),
            (&[DATE, ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")], seconds(30)),
            (&[DATE, ("retry-after", "Wed, 21 Oct 2026 07:27:30 GMT")], None),
            (&[DATE, ("x-ratelimit-reset", "1792567710")], seconds(30)),
            (&[DATE, ("x-ratelimit-reset", "1792567710000")], seconds(30)),
            (&[DATE, ("retry-after", "1792567710.5")], Some(Duration::from_millis(30_500))),
            (&[DATE, ("x-ratelimit-reset", "1792567650")], None),
            (&[DATE, ("x-ratelimit-reset", "1892567710")], None),
            (&[("x-ratelimit-reset", "1792567710")], None),
            (&[("date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("x-ratelimit-reset", "1792567710")], None),
            (&[("date", "today"), ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "inf")], None),
            (&[("retry-after", "soon")], None),
            (&[], None),
        ];
        for (pairs, expected) in cases {
            assert_eq!(retry_after(StatusCode::TOO_MANY_REQUESTS, &headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_end_of_a_rate_limit_s_window_is_no_wait() {
        let all = headers(&[("ratelimit-remaining", "99"), ("ratelimit-reset", "9"), ("x-ratelimit-reset", "8")]);
        let later = headers(&[("ratelimit-reset", "9"), ("retry-after", "7")]);
        let used_up = headers(&[("x-ratelimit-remaining", "0"), ("ratelimit-reset", "9")]);
        for (status, of_all, of_later, of_used_up) in [
            (429, Some(9), Some(9), Some(9)),
            (503, None, Some(7), Some(9)),
            (500, None, None, Some(9)),
            (403, None, None, Some(9)),
            (400, None, None, None),
            (422, None, None, None),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            for (headers, expected) in [(&all, of_all), (&later, of_later), (&used_up, of_used_up)] {
                assert_eq!(retry_after(status, headers), expected.map(Duration::from_secs), "{status} {headers:?}");
            }
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
    fn a_refusal_without_a_reason_is_a_stranger_s() {
        for (status, code, expected) in [
            (302, None, true),
            (403, None, true),
            (404, None, true),
            (404, Some("not_found"), false),
            (401, None, false),
            (413, None, false),
            (500, None, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer { status, headers: HeaderMap::new(), body: Vec::new() };
            assert_eq!(Refusal::new(&answer, code, None, None).is_of_a_stranger(), expected, "{status} {code:?}");
        }
    }

    #[test]
    fn codes_and_ids_that_are_sentences_are_not_kept() {
        let answer = Answer { status: StatusCode::BAD_REQUEST, headers: HeaderMap::new(), body: Vec::new() };
        let refusal = Refusal::new(&answer, Some("my card is 4111"), None, Some(&"d".repeat(65)));
        assert_eq!(refusal.to_string(), "status 400");
    }
}
