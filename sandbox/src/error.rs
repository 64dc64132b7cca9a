//! Why the sandbox could not start, or could not do what it was asked.

/// The reason why a stack does not start.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
