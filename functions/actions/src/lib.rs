//! What a bot platform calls.
