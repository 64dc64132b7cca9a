//! Signed calls, and the first answer to each of them.

use crate::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// What a signature covers: the moment and the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCall {
    /// A fingerprint of both, the same for every form of the header; the body cannot be read from it.
    pub id: String,
    /// The time until which the signature is accepted.
    pub valid_until: Timestamp,
}

/// The first answer to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstAnswer {
    /// The result: the conversation of a start, or the value that distinguishes one user of a mailbox from the others.
    Given(String),
    /// The sentence of a permanent refusal.
    Refused(String),
    /// The user of a person without an address.
    Stranger(Stranger),
}

/// The user of a person who cannot be recognised, because they have no address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stranger {
    /// The value that distinguishes this user from the others.
    pub whose: String,
    /// Whether that value follows from the request's own trace, so that no other request has it.
    pub is_traced: bool,
    /// The time of the call.
    pub at: Timestamp,
}
