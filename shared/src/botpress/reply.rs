//! The exact answers to Botpress's calls.
//!
//! Botpress refuses outputs with undeclared keys, and shows only `message` and `id` of a failure.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::http::cap;

/// How many characters Botpress keeps of the message of a failed registration.
const MAX_MESSAGE_CHARS: usize = 2000;

/// `{"output":…,"meta":{"cost":0}}`: the answer to an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActionOutput<T> {
    output: T,
    meta: Meta,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Meta {
    /// In nano-dollars: what Botpress charges the bot's owner for the action.
    cost: u32,
}

/// Wraps an action's output, which must have exactly the fields that the definition declares.
pub const fn action_output<T: Serialize>(output: T) -> ActionOutput<T> {
    ActionOutput { output, meta: Meta { cost: 0 } }
}

/// `{}`: the answer to every call that returns no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Empty {}

/// The answer to every call that returns no data.
pub const fn empty() -> Empty {
    Empty {}
}

/// `{"id","code","type","message"}`: the answer to a call that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// Connects the bot's log with ours; see [`error_id`].
    pub id: String,
    /// 400 for both kinds, even if the HTTP status is 500 so that Botpress repeats the call.
    pub code: u16,
    /// The kind of failure.
    #[serde(rename = "type")]
    pub kind: ErrorKind,
    /// A whole sentence for the bot's author.
    pub message: String,
}

/// The kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ErrorKind {
    /// The call was understood but could not be carried out.
    Runtime,
    /// The call was not understood.
    InvalidPayload,
}

impl ErrorBody {
    /// Makes the body; a very long message is cut.
    pub fn new(id: String, kind: ErrorKind, message: &str) -> Self {
        Self { id, code: 400, kind, message: cap(message, MAX_MESSAGE_CHARS) }
    }
}

/// `err_` + UTC as `YYYYMMDDHHMMSS` + `x` + 8 upper-case hex digits, such as `err_20260819101500x1A2B3C4D`.
pub fn error_id(now: Timestamp, random: [u8; 4]) -> String {
    let time: String = now.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
    format!("err_{time}x{:08X}", u32::from_be_bytes(random))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_actions_output_comes_with_its_cost() {
        let reply = serde_json::to_string(&action_output(&json!({"conversationId": "conv_1"}))).unwrap();
        assert_eq!(reply, r#"{"output":{"conversationId":"conv_1"},"meta":{"cost":0}}"#);
        assert_eq!(serde_json::to_string(&action_output(empty())).unwrap(), r#"{"output":{},"meta":{"cost":0}}"#);
    }

    #[test]
    fn nothing_to_say_is_an_empty_object() {
        assert_eq!(serde_json::to_string(&empty()).unwrap(), "{}");
    }

    #[test]
    fn a_failure_has_the_fields_and_the_id_of_the_official_server() {
        let now = Timestamp::parse("2026-08-19T10:15:00.999Z").unwrap();
        let id = error_id(now, [0x0A, 0x2B, 0x3C, 0x4D]);
        let body = ErrorBody::new(id, ErrorKind::InvalidPayload, "No.");
        let expected = r#"{"id":"err_20260819101500x0A2B3C4D","code":400,"type":"InvalidPayload","message":"No."}"#;
        assert_eq!(serde_json::to_string(&body).unwrap(), expected);
    }

    #[test]
    fn a_very_long_message_is_cut_to_what_botpress_keeps() {
        let body = ErrorBody::new(String::new(), ErrorKind::Runtime, &"a".repeat(3000));
        assert_eq!(body.message.chars().count(), 2000);
    }
}
