//! `X-BP-Signature`: the proof that a call comes from Botpress.
//!
//! Shape: `<unix ms>,<signature>[,<signature>…]` with one to five signatures, each the base64url HMAC-SHA-256 of
//! `<unix ms>.<body>` under the base64url-decoded signing secret.
//!
//! See the Botpress repository, "Signature verification".

use std::time::Duration;

use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};
use base64::{Engine, alphabet};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::clock::Timestamp;
use crate::model::call::SignedCall;
use crate::redacted::Redacted;

const MAX_PARTS: usize = 6;
/// 32 bytes in base64 without padding.
const SIGNATURE_CHARS: usize = 43;
const MAX_AGE: Duration = Duration::from_secs(5 * 60);

/// Accepts what the official decoder accepts: unused bits at the end may be set.
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

/// Why a call is not proven to come from Botpress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// There is no signature header.
    #[error("the signature is missing")]
    Missing,
    /// The header does not have the documented form.
    #[error("the signature is malformed")]
    Malformed,
    /// The call was signed more than five minutes ago, or more than five minutes in the future.
    #[error("the signature's time is more than five minutes away")]
    Stale,
    /// No signature matches the body under any of our secrets.
    #[error("the signature does not match")]
    Mismatch,
    /// There is no secret to compare with, or it is empty or not base64: a mistake in our configuration.
    #[error("no usable signing secret is configured")]
    UnusableSecret,
}

impl SignedCall {
    /// Reads a call whose signature has been verified.
    pub fn read(header: &str, body: &[u8]) -> Option<Self> {
        let (timestamp, _) = header.split_once(',')?;
        let signed_at = Timestamp::from_unix_millis(timestamp.parse().ok()?);
        let hash = Sha256::new().chain_update("livechat-hitl call\n").chain_update(timestamp).chain_update(".");
        let id = URL_SAFE_NO_PAD.encode(hash.chain_update(body).finalize());
        Some(Self { id, valid_until: signed_at + MAX_AGE })
    }
}

/// The signature header of a call, made as Botpress makes it.
///
/// # Errors
///
/// [`Rejection::UnusableSecret`].
pub fn sign(secret: &Redacted, body: &[u8], now: Timestamp) -> Result<String, Rejection> {
    let key = key(secret.expose()).ok_or(Rejection::UnusableSecret)?;
    let timestamp = now.unix_millis().to_string();
    let mac = mac(&key, &timestamp, body).map_err(|_| Rejection::UnusableSecret)?;
    Ok(format!("{timestamp},{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
}

/// Accepts `body` if any signature of `header` matches it under any of `secrets` (there are two during a rotation).
///
/// Signatures are compared in constant time. The scheme has no nonce: a replay is recognised by its [`SignedCall`].
///
/// # Errors
///
/// [`Rejection`].
pub fn verify<'a>(
    header: Option<&str>,
    body: &[u8],
    secrets: impl IntoIterator<Item = &'a Redacted>,
    now: Timestamp,
) -> Result<(), Rejection> {
    let keys: Option<Vec<_>> = secrets.into_iter().map(|secret| key(secret.expose())).collect();
    let keys = keys.filter(|keys| !keys.is_empty()).ok_or(Rejection::UnusableSecret)?;
    let (timestamp, signatures) = parts(header.ok_or(Rejection::Missing)?)?;
    if !is_fresh(timestamp, now)? {
        return Err(Rejection::Stale);
    }
    let pairs = keys.iter().flat_map(|key| signatures.iter().map(move |signature| (key, *signature)));
    for (key, signature) in pairs {
        // Like the official verifier: an undecodable signature refuses the call unless an earlier pair has matched.
        let signature = decode(signature).ok_or(Rejection::Malformed)?;
        if mac(key, timestamp, body).is_ok_and(|mac| mac.verify_slice(&signature).is_ok()) {
            return Ok(());
        }
    }
    Err(Rejection::Mismatch)
}

/// The timestamp as signed, and the signatures, not decoded yet.
fn parts(header: &str) -> Result<(&str, Vec<&str>), Rejection> {
    let (timestamp, signatures) = header.split_once(',').ok_or(Rejection::Malformed)?;
    let signatures: Vec<&str> = signatures.split(',').collect();
    let fits = |signature: &&str| signature.len() == SIGNATURE_CHARS;
    if signatures.len() >= MAX_PARTS || !signatures.iter().all(fits) {
        return Err(Rejection::Malformed);
    }
    Ok((timestamp, signatures))
}

fn is_fresh(timestamp: &str, now: Timestamp) -> Result<bool, Rejection> {
    let digits = timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let signed_at = timestamp.parse().ok().filter(|_| digits).map(Timestamp::from_unix_millis);
    let signed_at = signed_at.ok_or(Rejection::Malformed)?;
    // `since` is zero for the later of the two, so the sum is the distance.
    Ok(now.since(signed_at) + signed_at.since(now) <= MAX_AGE)
}

fn mac(key: &[u8], timestamp: &str, body: &[u8]) -> Result<Hmac<Sha256>, hmac::digest::InvalidLength> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    Ok(mac)
}

fn key(secret: &str) -> Option<Vec<u8>> {
    decode(secret).filter(|key| !key.is_empty())
}

/// Decodes both alphabets of base64, with or without padding, and with blanks anywhere, like the official decoder.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let text = text.replace('-', "+").replace('_', "/");
    BASE64.decode(text.trim_end_matches('=')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    const BODY: &[u8] = br#"{"type":"createUser","input":{"name":"Ada"}}"#;
    const SIGNATURE: &str = "0lx4fmGZEjPf409l1G1K9LHaeFrkviCQk0HCDM0ERW0";
    const OTHER: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const NOW: Timestamp = Timestamp::from_unix_millis(1_700_000_000_000);

    #[test]
    fn what_is_signed_is_accepted() {
        let header = sign(&SECRET.into(), BODY, NOW).unwrap();
        assert_eq!(header, format!("1700000000000,{SIGNATURE}"));
        assert_eq!(check(&header, BODY, &[SECRET], NOW), Ok(()));
    }

    fn check(header: &str, body: &[u8], secrets: &[&str], now: Timestamp) -> Result<(), Rejection> {
        let secrets: Vec<Redacted> = secrets.iter().map(|secret| (*secret).into()).collect();
        verify(Some(header), body, &secrets, now)
    }

    fn check_header(header: &str) -> Result<(), Rejection> {
        check(header, BODY, &[SECRET], NOW)
    }

    fn vector() -> String {
        format!("1700000000000,{SIGNATURE}")
    }

    #[test]
    fn a_call_is_known_by_its_time_and_body_in_every_form_of_the_header() {
        let call = SignedCall::read(&vector(), BODY).unwrap();
        assert_eq!(call.valid_until, NOW + MAX_AGE);
        assert_eq!(SignedCall::read(&format!("1700000000000,{OTHER},{SIGNATURE}"), BODY), Some(call.clone()));
        let others = [
            SignedCall::read(&format!("1700000000001,{SIGNATURE}"), BODY).unwrap(),
            SignedCall::read(&vector(), b"{}").unwrap(),
        ];
        assert!(others.iter().all(|other| other.id != call.id));
    }

    #[test]
    fn the_test_vector_is_accepted() {
        assert_eq!(check_header(&vector()), Ok(()));
    }

    #[test]
    fn a_tampered_body_time_or_signature_is_rejected() {
        assert_eq!(check(&vector(), b"{}", &[SECRET], NOW), Err(Rejection::Mismatch));
        assert_eq!(check_header(&format!("1700000000001,{SIGNATURE}")), Err(Rejection::Mismatch));
        assert_eq!(check_header(&vector().replace("0lx4", "1lx4")), Err(Rejection::Mismatch));
        assert_eq!(check(&vector(), BODY, &[OTHER], NOW), Err(Rejection::Mismatch));
    }

    #[test]
    fn a_truncated_or_extended_signature_is_malformed() {
        let truncated = vector().strip_suffix('0').unwrap().to_owned();
        // The official verifier counts characters before it decodes, so padding makes a signature too long.
        for header in [truncated, vector() + "A", vector() + "=", vector() + ",", vector() + ",short"] {
            assert_eq!(check_header(&header), Err(Rejection::Malformed), "{header}");
        }
    }

    #[test]
    fn a_header_without_the_documented_form_is_malformed() {
        let six = format!("1700000000000{}", format!(",{SIGNATURE}").repeat(6));
        let five = format!("1700000000000{}", format!(",{SIGNATURE}").repeat(5));
        assert_eq!(check_header(&five), Ok(()));
        let foreign = format!("1700000000000,{}", "!".repeat(43));
        for header in [six, foreign, String::new(), SIGNATURE.to_owned(), "1700000000000".to_owned()] {
            assert_eq!(check_header(&header), Err(Rejection::Malformed), "{header}");
        }
        for time in ["", "+1700000000000", "-1", "1.7e12", " 1700000000000", "99999999999999999999"] {
            assert_eq!(check_header(&format!("{time},{SIGNATURE}")), Err(Rejection::Malformed), "{time}");
        }
    }

    /// According to the official verifier's source. Its leniency about how a number is written is left out: the time is
    /// decimal digits.
    #[test]
    fn what_the_official_verifier_accepts_is_accepted_and_nothing_else() {
        let garbage = "!".repeat(43);
        let blank = format!("{} ", &SIGNATURE[..42]);
        for (header, expected) in [
            (format!("1700000000000,{SIGNATURE},{garbage}"), Ok(())),
            (format!("1700000000000,{garbage},{SIGNATURE}"), Err(Rejection::Malformed)),
            (format!("1700000000000, {SIGNATURE}"), Err(Rejection::Malformed)),
            (format!("1700000000000,{blank}"), Err(Rejection::Mismatch)),
            (format!("1700000000000,{SIGNATURE}="), Err(Rejection::Malformed)),
        ] {
            assert_eq!(check_header(&header), expected, "{header}");
        }
        // Four bits of its last character are unused.
        assert_eq!(check_header(&vector().replace("ERW0", "ERW1")), Ok(()));
        for secret in [format!("{SECRET}="), format!(" {SECRET}\n"), SECRET.replace('-', "+").replace('_', "/")] {
            assert_eq!(check(&vector(), BODY, &[&secret], NOW), Ok(()), "{secret:?}");
        }
    }

    #[test]
    fn a_call_is_fresh_for_five_minutes_on_either_side() {
        let (limit, beyond) = (Duration::from_secs(300), Duration::from_millis(300_001));
        for now in [NOW + limit, NOW - limit] {
            assert_eq!(check(&vector(), BODY, &[SECRET], now), Ok(()));
        }
        for now in [NOW + beyond, NOW - beyond] {
            assert_eq!(check(&vector(), BODY, &[SECRET], now), Err(Rejection::Stale));
        }
    }

    #[test]
    fn a_missing_header_is_told_apart() {
        assert_eq!(verify(None, BODY, &[Redacted::from(SECRET)], NOW), Err(Rejection::Missing));
    }

    #[test]
    fn one_of_several_signatures_is_enough() {
        assert_eq!(check_header(&format!("1700000000000,{OTHER},{SIGNATURE}")), Ok(()));
        assert_eq!(check_header(&format!("1700000000000,{OTHER},{OTHER}")), Err(Rejection::Mismatch));
    }

    #[test]
    fn one_of_several_secrets_is_enough() {
        assert_eq!(check(&vector(), BODY, &[OTHER, SECRET], NOW), Ok(()));
    }

    #[test]
    fn both_alphabets_and_padding_are_read() {
        // Bytes 0xFB 0xEF 0xFF in both alphabets.
        assert_eq!(key("--__"), key("++//"));
        assert_eq!(key(&format!("{SECRET}=")), key(SECRET));
        assert!(key(SECRET).is_some());
    }

    #[test]
    fn an_empty_or_undecodable_secret_is_never_a_reason_to_accept() {
        for secrets in [vec![], vec![""], vec!["="], vec!["not base64!"], vec![SECRET, ""]] {
            assert_eq!(check(&vector(), BODY, &secrets, NOW), Err(Rejection::UnusableSecret), "{secrets:?}");
        }
    }
}
