//! What a provider wants back unchanged (a thought signature, encrypted reasoning), on its way through the caller.
//!
//! Owns: the sealed form that callers carry, which says whose it is and after which conversation it was said. Not here: in which field a dialect
//! carries it (`edge::dialect`), when it is opened (`attempt`).
//!
//! Sealed: `gw1;<provider>;<model>;<history>;<data>`. It is no secret and no proof: what comes back changed is the provider's to refuse.

/// What a sealed replay begins with.
const PREFIX: &str = "gw1;";

/// Whether a text is a sealed replay, and not a provider's own that never went through this gateway.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(PREFIX)
}
