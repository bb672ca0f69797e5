//! What the gateway knows of a request beyond the contract's own types: ids, where it is to go, the media it carries. Data and pure
//! functions; no clock, no I/O.

mod blobs;
mod call;
mod elsewhere;
mod error_kind;
pub mod estimate;
mod gather;
mod ids;
pub mod replay;

pub use blobs::{Blobs, TooManyBlobs};
pub use call::{Call, CallContext, Target};
pub use elsewhere::looks_elsewhere;
pub use error_kind::ErrorKind;
pub use gather::{Disorder, Gathered, chat_request, events_of, part, size};
pub use ids::{InvalidRequestId, RequestId, TaskType, is_provider_id};
