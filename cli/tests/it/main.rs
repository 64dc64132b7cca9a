//! The operator's command against the sandbox.

mod connecting;
mod definition;
mod doctor;
mod operating;
mod operator;
mod process;
mod rotating;
