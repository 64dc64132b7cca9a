//! The refusals of the chat and configuration APIs.

use std::fmt;

use serde_json::{Value, json};

/// The `error.type` of a refusal, each with the status that this simulator returns.
///
/// The vendor documents the types and default messages but no statuses; these are the ones seen in the field or, where
/// no report exists, the HTTP status with the same meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The token is unknown, expired or withdrawn.
    Authentication,
    /// The requester may not do this, or is not in the chat.
    Authorization,
    /// The agent has no access to the chat's groups.
    MissingAccess,
    /// A parameter is missing or malformed, or the request is not possible now.
    Validation,
    /// The chat has no active thread.
    ChatInactive,
    /// The chat was anonymized.
    ChatAnonymized,
    /// No such resource, or no such action.
    NotFound,
    /// No such group.
    GroupNotFound,
    /// A count limit is reached.
    LimitReached,
    /// The resource already exists.
    AlreadyExists,
    /// The agent is not signed in.
    AgentOffline,
    /// None of the requested groups is online.
    GroupsOffline,
    /// The customer is banned.
    CustomerBanned,
    /// The upload is over 10 MB.
    EntityTooLarge,
    /// The organization is in another region, given in `data.region`.
    MisdirectedRequest,
    /// No such organization.
    LicenseNotFound,
    /// The organization's licence is unpaid.
    LicenseExpired,
    /// The path names a version other than 3.6.
    UnsupportedVersion,
}

impl Kind {
    const fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::Authentication => (401, "authentication", "Authentication error"),
            Self::Authorization => (403, "authorization", "Authorization error"),
            Self::MissingAccess => (403, "missing_access", "Missing access"),
            Self::Validation => (422, "validation", "Wrong format of request"),
            Self::ChatInactive => (422, "chat_inactive", "Chat is inactive"),
            Self::ChatAnonymized => (422, "chat_anonymized", "Chat anonymized"),
            Self::NotFound => (404, "not_found", "Not found"),
            Self::GroupNotFound => (404, "group_not_found", "Group not found"),
            Self::LimitReached => (422, "limit_reached", "Limit reached"),
            Self::AlreadyExists => (409, "already_exists", "Already exists"),
            Self::AgentOffline => (422, "agent_offline", "Agent offline"),
            Self::GroupsOffline => (422, "groups_offline", "Groups offline"),
            Self::CustomerBanned => (403, "customer_banned", "Customer is banned"),
            Self::EntityTooLarge => (413, "entity_too_large", "Upload limit exceeded (10MB)."),
            Self::MisdirectedRequest => (421, "misdirected_request", "Wrong region"),
            Self::UnsupportedVersion => (400, "unsupported_version", "Cannot call unsupported API versions."),
            Self::LicenseExpired => (403, "license_expired", "License expired"),
            Self::LicenseNotFound => (404, "license_not_found", "License not found"),
        }
    }

    /// The value of `error.type`.
    pub const fn name(self) -> &'static str {
        self.parts().1
    }
}

/// A refusal.
///
/// Shape: `{"error":{"type":"misdirected_request","message":"Wrong region","data":{"region":"dal"}}}`, `data` optional.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    kind: Kind,
    message: String,
    data: Option<Value>,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), data: None }
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(Kind::Validation, message)
    }

    pub(crate) fn not_in_chat() -> Self {
        Self::new(Kind::Authorization, "Requester is not user of the chat")
    }

    pub(crate) fn with_data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// What was refused.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The HTTP status of the answer.
    pub const fn status(&self) -> u16 {
        self.kind.parts().0
    }

    pub(crate) fn body(&self) -> Value {
        let mut error = json!({"type": self.kind.name(), "message": self.message});
        if let (Some(fields), Some(data)) = (error.as_object_mut(), &self.data) {
            fields.insert("data".to_owned(), data.clone());
        }
        json!({"error": error})
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self::new(kind, kind.parts().2)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)
    }
}

impl std::error::Error for Error {}
