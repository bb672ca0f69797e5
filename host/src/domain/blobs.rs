//! The caller's media of one request. It stays here; adapters see a number and a size.

use crate::contract::Blob;
use bytes::Bytes;

/// How many pieces of media one request may carry. Providers take a few hundred at most.
const MAX_BLOBS: usize = 1000;

/// The media of one request, by the number that an adapter names it with.
#[derive(Debug, Default, Clone)]
pub struct Blobs(Vec<Bytes>);

#[derive(Debug, thiserror::Error)]
#[error("the request carries more than {MAX_BLOBS} pieces of media; send fewer")]
pub struct TooManyBlobs;

impl Blobs {
    /// Keeps the bytes (decoded, as they are) and gives what an adapter is told of them.
    ///
    /// # Errors
    /// When the request already has as many as are allowed, or one is over 4 GiB.
    pub fn add(&mut self, bytes: Bytes) -> Result<Blob, TooManyBlobs> {
        let (Ok(id), Ok(size)) = (u32::try_from(self.0.len()), u32::try_from(bytes.len())) else { return Err(TooManyBlobs) };
        if self.0.len() >= MAX_BLOBS {
            return Err(TooManyBlobs);
        }
        self.0.push(bytes);
        Ok(Blob { id, size })
    }

    /// The bytes that an adapter named. Absent: it named one that it was not given.
    pub fn get(&self, id: u32) -> Option<&Bytes> {
        self.0.get(usize::try_from(id).ok()?)
    }
}
