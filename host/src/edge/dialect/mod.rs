//! The callers' wire formats. Each parses into the one canonical request and renders the canonical answer, event by event or whole.
//!
//! Pure: bytes in, values out. Routes, headers and bodies are `edge`'s.

pub mod chat;
