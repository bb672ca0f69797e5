//! What every adapter's decoders must bear: any bytes, and answers that are nearly right.
//!
//! For property tests, the same for every adapter: a test draws bytes, and gives them to one of these. Not here: drawing (`generate` makes things of
//! bytes), the rules of a single stream (`harness`).

use crate::Chat;
use crate::generate::Source;
use crate::harness::{check_stream, frames};
use crate::recording::Recording;
use crate::types::{Frame, HttpResponse};

/// What an adapter's decoders may be given.
#[derive(Debug, Clone, Copy)]
pub struct Samples {
    /// `context`s as its encoder makes them.
    pub contexts: &'static [&'static str],
    /// Recordings (their JSON) of streams that are right.
    pub streams: &'static [&'static str],
}

impl Samples {
    /// Spoils each stream, and reads it in however many pieces: the contract's order is kept.
    ///
    /// # Errors
    /// The first breach, in words.
    pub fn spoil_streams<A: Chat>(&self, bytes: &[u8]) -> Result<(), String> {
        for right in self.streams {
            let frames = Source::new(bytes).stream_like(&stream(right)?);
            for context in self.contexts {
                check_stream::<A>(context, &frames)?;
            }
        }
        Ok(())
    }

    /// Spoils what each stream consists of, and reads every piece as a whole answer: it is an answer or a failure.
    ///
    /// # Errors
    /// When a sample is no recording.
    pub fn spoil_answers<A: Chat>(&self, bytes: &[u8]) -> Result<(), String> {
        for right in self.streams {
            for frame in Source::new(bytes).stream_like(&stream(right)?) {
                self.read_whole::<A>(200, frame.data.as_bytes());
            }
        }
        Ok(())
    }

    /// Reads any bytes, as an answer with that status and as a stream's only piece.
    ///
    /// # Errors
    /// The first breach, in words.
    pub fn read_anything<A: Chat>(&self, status: u16, body: &[u8]) -> Result<(), String> {
        self.read_whole::<A>(status, body);
        let data = String::from_utf8_lossy(body).into_owned();
        for context in self.contexts {
            check_stream::<A>(context, &[Frame { event: None, data: data.clone() }])?;
        }
        Ok(())
    }

    fn read_whole<A: Chat>(&self, status: u16, body: &[u8]) {
        for context in self.contexts {
            let response = HttpResponse { status, headers: Vec::new(), body: body.to_vec() };
            // Both are as they should be.
            let _ = A::decode(response, (*context).to_owned());
        }
    }
}

fn stream(recording: &str) -> Result<Vec<Frame>, String> {
    let recording = Recording::parse(recording).map_err(|error| error.to_string())?;
    let body = str::from_utf8(&recording.response.body).map_err(|error| error.to_string())?;
    Ok(frames(body))
}
