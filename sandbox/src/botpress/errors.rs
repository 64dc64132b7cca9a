//! The API's errors: types, statuses, bodies.

use serde_json::{Value, json};
use shared::clock::Timestamp;
use uuid::Uuid;

use crate::faults::Fault;

macro_rules! error_types {
    ($($name:ident = $status:literal,)+) => {
        /// The complete list of error types; each has one HTTP status.
        ///
        /// Source: `errors` of the API description.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the vendor's own names; the vendor says no more about them")]
        pub enum ErrorType {
            $($name,)+
        }

        impl ErrorType {
            /// The name on the wire.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)+
                }
            }
        }
    };
}

error_types! {
    Unknown = 500,
    Internal = 500,
    Unauthorized = 401,
    Forbidden = 403,
    PayloadTooLarge = 413,
    InvalidPayload = 400,
    UnsupportedMediaType = 415,
    MethodNotFound = 405,
    ResourceNotFound = 404,
    InvalidJsonSchema = 400,
    InvalidDataFormat = 400,
    InvalidIdentifier = 400,
    RelationConflict = 409,
    ReferenceConstraint = 409,
    ResourceLockedConflict = 409,
    ResourceGone = 410,
    ReferenceNotFound = 400,
    InvalidQuery = 400,
    Runtime = 400,
    AlreadyExists = 409,
    RateLimited = 429,
    PaymentRequired = 402,
    QuotaExceeded = 403,
    LimitExceeded = 413,
    OperationTimeout = 504,
    BreakingChanges = 400,
}

/// The reason why a runtime API call is refused.
#[derive(Clone, Debug)]
pub struct Error {
    /// Decides the status.
    pub error_type: ErrorType,
    /// What the caller reads.
    pub message: String,
}

impl Error {
    /// Makes an error.
    pub fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self { error_type, message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorType::InvalidPayload, message)
    }

    /// An id in the path that does not exist.
    pub(super) fn not_found(entity: &str, id: &str) -> Self {
        Self::new(ErrorType::ResourceNotFound, format!("{entity} \"{id}\" doesn't exist"))
    }

    /// An id in the body that does not exist.
    pub(super) fn no_reference(entity: &str, id: &str) -> Self {
        Self::new(ErrorType::ReferenceNotFound, format!("{entity} \"{id}\" doesn't exist"))
    }

    /// The body on the wire: `{"id":"err_…","code":400,"type":"InvalidPayload","message":"…"}`.
    pub fn body(&self, now: Timestamp) -> Value {
        json!({
            "id": error_id(now),
            "code": self.error_type.status(),
            "type": self.error_type.as_str(),
            "message": self.message,
        })
    }

    /// This error as a scripted answer, for [`Faults`](crate::faults::Faults).
    pub fn fault(&self, now: Timestamp) -> Fault {
        Fault::answer(self.error_type.status(), self.body(now).to_string())
    }
}

/// `err_`, the time to the second, `x` and eight hexadecimal digits.
fn error_id(now: Timestamp) -> String {
    let digits: String = now.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
    let random: String = Uuid::new_v4().simple().to_string().to_uppercase().chars().take(8).collect();
    format!("err_{digits}x{random}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_has_an_id_with_the_time_and_the_status_as_code() {
        let now = Timestamp::parse("2026-08-19T10:15:00Z").unwrap();
        let body = Error::new(ErrorType::RateLimited, "slow down").body(now);
        let id = body["id"].as_str().unwrap();
        assert!(id.starts_with("err_20260819101500x"), "{id}");
        assert_eq!(id.len(), "err_20260819101500x1A2B3C4D".len());
        assert_eq!((body["code"].as_u64(), body["type"].as_str()), (Some(429), Some("RateLimited")));
    }
}
