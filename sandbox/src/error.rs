//! Why the sandbox could not start, or could not do what it was asked.

/// Why a stack does not come up.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
