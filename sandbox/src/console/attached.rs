//! A file in the body of a call.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// A file; `content` is text, `base64` is arbitrary bytes.
#[derive(Deserialize)]
pub(super) struct Attached {
    pub agent: Option<String>,
    pub name: String,
    pub r#type: String,
    pub content: Option<String>,
    pub base64: Option<String>,
}

impl Attached {
    /// The file's bytes.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, &'static str> {
        match (&self.content, &self.base64) {
            (Some(content), None) => Ok(content.clone().into_bytes()),
            (None, Some(encoded)) => STANDARD.decode(encoded).map_err(|_| "`base64` is no base64"),
            _ => Err("one of `content` and `base64`"),
        }
    }
}
