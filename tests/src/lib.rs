//! Builders and checkers.
