//! Identifiers in LiveChat's formats.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A new chat or thread id: ten uppercase letters and digits.
pub(crate) fn chat_or_thread() -> String {
    const ALPHABET: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut rest = Uuid::new_v4().as_u128();
    let mut id = String::from("P");
    for _ in 0..9 {
        let digit = usize::try_from(rest % 36).ok().and_then(|index| ALPHABET.get(index));
        id.push(digit.map_or('0', |&letter| char::from(letter)));
        rest /= 36;
    }
    id
}

/// A new UUID.
pub(crate) fn uuid() -> String {
    Uuid::new_v4().to_string()
}

/// A new id of 32 hex digits.
pub(crate) fn hex() -> String {
    Uuid::new_v4().simple().to_string()
}

/// The opaque id under which customers see the agent `email`.
pub(crate) fn agent_seen_by_customers(email: &str) -> String {
    let mut id = String::with_capacity(32);
    for byte in Sha256::digest(email).iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// A UUID that is always the same for the same `name`.
pub(crate) fn uuid_of(name: &str) -> String {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(Sha256::digest(name).iter()).for_each(|(to, from)| *to = *from);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}
