//! One attempt at embeddings.

use super::failure::AttemptError;
use super::{Allowance, Attempt, Exchange, Target};
use crate::contract::Dropped;
use crate::contract::embeddings::{EmbeddingRequest, EmbeddingResponse};
use crate::domain::Blobs;
use crate::domain::estimate::{self, Prompt};
use crate::plan::Candidate;
use crate::plugin::Fault;
use std::sync::Arc;

/// Vectors, and what had to be left out of the request for them.
#[derive(Debug)]
pub struct Embedded {
    pub answer: EmbeddingResponse,
    pub dropped: Vec<Dropped>,
}

#[derive(Clone)]
pub(super) struct EmbedExchange {
    request: Arc<EmbeddingRequest>,
    blobs: Blobs,
}

impl EmbedExchange {
    pub(super) fn new(request: EmbeddingRequest) -> Self {
        Self { request: Arc::new(request), blobs: Blobs::default() }
    }
}

impl Exchange for EmbedExchange {
    type Answer = Embedded;

    fn address(&mut self, candidate: &Candidate, _allowance: Allowance) {
        let request = Arc::make_mut(&mut self.request);
        request.model.clone_from(&candidate.model);
        request.settings = candidate.provider.ready().map(|ready| ready.settings.clone()).unwrap_or_default();
    }

    async fn run(&mut self, target: &Target<'_>, attempt: &mut Attempt) -> Result<Embedded, AttemptError> {
        attempt.meter.expect(Prompt::of_inputs(&self.request.inputs), Some(0));
        let version = target.ready()?.version.enter();
        let mut encoded = version.encode_embeddings(Arc::clone(&self.request)).await.map_err(AttemptError::of_encode)?;
        let dropped = target.dropped(&mut encoded)?;
        let context = std::mem::take(&mut encoded.context);
        let reply = target.send(&version, encoded, &self.blobs, attempt).await?;
        let decode = async |response| version.decode_embeddings(response, context).await;
        let mut answer = target.read(&version, reply, attempt, decode).await?;
        if answer.vectors.len() != self.request.inputs.len() {
            version.count_fault();
            let (got, wanted) = (answer.vectors.len(), self.request.inputs.len());
            return Err(AttemptError::Plugin(Fault::BrokeContract(format!("it gave {got} vectors for {wanted} inputs"))));
        }
        if !answer.vectors.iter().flatten().all(|number| number.is_finite()) {
            version.count_fault();
            return Err(AttemptError::Plugin(Fault::BrokeContract("it gave a vector with a number that is none".into())));
        }
        if !estimate::is_told(answer.usage.as_ref()) {
            answer.usage = Some(estimate::of_inputs(&self.request.inputs));
        }
        Ok(Embedded { answer, dropped })
    }
}
