//! Addresses that work as keys: anyone who has one can do what only its owner should.

use percent_encoding::percent_decode_str;
use reqwest::Url;

/// Complete names of parameters that contain a key or a signature, without case and punctuation.
const WHOLE: [&str; 15] = [
    "sig", "sign", "auth", "pwd", "pass", "hmac", "jwt", "key", "sid", "policy", "hdnts", "hdnea", "hdntl", "oh", "hm",
];

/// Parts of such names.
const PARTS: [&str; 11] = [
    "signature",
    "token",
    "secret",
    "passw",
    "credential",
    "apikey",
    "accesskey",
    "authorization",
    "bearer",
    "session",
    "keypairid",
];

/// How many levels of addresses within another address's parameters are checked.
const DEPTH: usize = 3;

/// Whether an address grants access to its readers: by a bot's token in its path, a name and password, or a signature.
///
/// True in doubt, and for an address that cannot be read.
pub fn carries_credential(url: &str) -> bool {
    carries(url.trim(), DEPTH)
}

fn carries(url: &str, depth: usize) -> bool {
    let parsed = match Url::parse(url) {
        Err(_) if !url.contains("://") => Url::parse(&format!("https://{}", url.trim_start_matches('/'))),
        parsed => parsed,
    };
    let Ok(url) = parsed else { return true };
    let has_user = !url.username().is_empty() || url.password().is_some();
    let in_path = url.path().split('/').any(|segment| is_key(&decoded(segment)) || has_secret(segment, ';', depth));
    let asked = [url.query(), url.fragment()].into_iter().flatten();
    has_user || in_path || asked.into_iter().any(|pairs| has_secret(pairs, '&', depth))
}

/// Whether one of the pairs `name=value` names a secret, or has one as its value.
fn has_secret(pairs: &str, between: char, depth: usize) -> bool {
    let pairs = pairs.split([between, '?']).filter_map(|pair| pair.split_once('='));
    let mut filled = pairs.filter(|(_, value)| !value.is_empty());
    filled.any(|(name, value)| {
        let value = decoded(value);
        let is_nested = depth > 0 && value.contains("://") && carries(&value, depth - 1);
        is_secret(&decoded(name)) || is_key(&value) || is_nested
    })
}

fn is_secret(name: &str) -> bool {
    let name = name.trim_start_matches("amp;").to_ascii_lowercase();
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    WHOLE.contains(&plain.as_str()) || PARTS.iter().any(|part| plain.contains(part))
}

/// Whether a text is itself a key: of a Telegram bot, of Google's services, of Slack, or a JSON Web Token.
fn is_key(text: &str) -> bool {
    let is_telegram = || {
        let (number, secret) = text.strip_prefix("bot").unwrap_or(text).split_once(':')?;
        let is_number = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
        Some(is_number && secret.len() >= 20)
    };
    let is_token = || text.starts_with("eyJ") && text.split('.').filter(|part| !part.is_empty()).count() == 3;
    let has_prefix = || ["AIza", "xoxb-", "xoxp-", "xoxe-", "ghp_", "sk_live_"].iter().any(|key| text.starts_with(key));
    is_telegram().unwrap_or(false) || is_token() || has_prefix()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_a_key_in_it_is_known() {
        for url in [
            "https://api.telegram.org/file/bot110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/photos/file_0.jpg",
            "https://api.telegram.org/file/bot110201543%3AAAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/photos/file_0.jpg",
            "https://ann:geheim@files.example.com/a.png",
            "https://ann@files.example.com/a.png",
            "//ann:geheim@files.example.com/a.png",
            "https://b.s3.amazonaws.com/a.png?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=ab12",
            "https://b.s3.amazonaws.com/a.png?AWSAccessKeyId=AKIA&Expires=1&Signature=ab%3D",
            "https://b.s3.amazonaws.com/a.png?a=1&amp;x-amz-security-token=ab",
            "https://storage.googleapis.com/b/a.png?X-Goog-Signature=ab",
            "https://acct.blob.core.windows.net/c/a.png?sv=2024-01-01&sr=b&sig=ab%3D",
            "https://d1.cloudfront.net/a.png?Policy=ab&Key-Pair-Id=K2",
            "https://b.oss-cn-x.aliyuncs.com/a.png?OSSAccessKeyId=ab&Expires=1",
            "https://cdn.discordapp.com/attachments/1/2/a.png?ex=1&is=2&hm=ab",
            "https://scontent.xx.fbcdn.net/v/a.jpg?_nc_ht=x&oh=ab&oe=65",
            "https://files.example.com/a.png?TOKEN=ab",
            "https://files.example.com/a.png?access_token=ab",
            "https://files.example.com/a.png#access_token=ab",
            "https://files.example.com/#/a?token=ab",
            "https://files.example.com/a;jsessionid=ab",
            "https://files.example.com/a.png?t=eyJhbGciOi.eyJzdWIi.c2ln",
            "https://maps.googleapis.com/maps/api/staticmap?center=1,2&key=AIzaSyA",
            "https://proxy.example.com/?url=https%3A%2F%2Ffiles.example.com%2Fa.png%3Fsig%3Dab",
            "https://files.slack.com/files-pri/T1-F1/a.png?pub_secret=ab",
            "https://[nowhere",
        ] {
            assert!(carries_credential(url), "{url}");
        }
    }

    #[test]
    fn an_address_that_anybody_may_know_is_left_alone() {
        for url in [
            "https://files.bpcontent.cloud/2026/05/11/09/20260511094100-AB12CD34.png",
            "https://files.example.com/a.png?width=300&format=webp&v=1718000000",
            "https://files.example.com/bot/photos/file_0.jpg?token=",
            "https://shop.example.com/design?author=ann&utm_source=bot&page=2",
            "https://www.google.com/maps/search/?api=1&query=52.5,13.4",
            "https://files.example.com/a:b/12:30.png",
            "http://127.0.0.1:8080/0f0e/cat.png",
            "data:image/png;base64,AAAA",
            "cat.png",
            "mailto:ann@example.com",
            "tel:+49301234",
        ] {
            assert!(!carries_credential(url), "{url}");
        }
    }
}
