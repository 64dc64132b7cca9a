//! The `X-BP-Signature` header of calls to an integration with a signing secret.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use shared::clock::Timestamp;

/// Decodes a signing secret with or without padding; secrets in the other alphabet are converted to this one first.
const SECRET: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The header's value: `<unix milliseconds>,<base64url of HMAC-SHA-256 over "<milliseconds>.<body>">`.
///
/// # Errors
///
/// When `secret` is not base64url.
pub fn sign(secret: &str, now: Timestamp, body: &[u8]) -> Result<String, String> {
    sign_with_all(&[secret.to_owned()], now, body)
}

/// The same with one signature for each secret, as during a rotation.
///
/// # Errors
///
/// As [`sign`].
pub(super) fn sign_with_all(secrets: &[String], now: Timestamp, body: &[u8]) -> Result<String, String> {
    let mut header = now.unix_millis().to_string();
    for secret in secrets {
        header.push(',');
        header.push_str(&signature(secret, now, body)?);
    }
    Ok(header)
}

fn signature(secret: &str, now: Timestamp, body: &[u8]) -> Result<String, String> {
    let key = SECRET
        .decode(secret.replace('+', "-").replace('/', "_"))
        .map_err(|error| format!("the signing secret is not base64url: {error}"))?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
    let timestamp = now.unix_millis().to_string();
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    Ok(URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"type":"createUser","input":{"name":"Ada"}}"#;

    #[test]
    fn the_contract_s_vector_is_reproduced() {
        let now = Timestamp::from_unix_millis(1_700_000_000_000);
        let header = sign("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", now, BODY).unwrap();
        assert_eq!(header, "1700000000000,0lx4fmGZEjPf409l1G1K9LHaeFrkviCQk0HCDM0ERW0");
    }

    #[test]
    fn a_padded_secret_or_one_in_the_other_alphabet_is_the_same_secret() {
        let now = Timestamp::from_unix_millis(0);
        assert_eq!(sign("AAEC", now, BODY), sign("AAEC", now, BODY));
        assert_eq!(sign("AAE", now, BODY), sign("AAE=", now, BODY));
        assert_eq!(sign("--__", now, BODY), sign("++//", now, BODY));
        assert!(sign("not base64!", now, BODY).is_err());
    }
}
