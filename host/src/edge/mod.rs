//! edge
mod bad_request;
pub mod dialect;
pub use bad_request::BadRequest;
