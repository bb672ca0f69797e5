//! One frame of a stream through the adapter's decoder, as component and native.
//!
//! An instance serves its stream from the first frame to the last, so what it costs to have one is not in these times.

use crate::component::{Cost, microseconds};
use crate::exchange;
use adapter_openai::OpenAi;
use anyhow::anyhow;
use llm_gateway::contract::Frame;
use llm_gateway::plugin::{Fault, Version};
use llm_gateway_adapter::{Chat, GuestDecoder, types};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// # Errors
/// When the adapter breaks.
pub async fn measure(version: Arc<Version>, duration: Duration) -> anyhow::Result<Cost> {
    let component = tokio::spawn(component(version, duration)).await?;
    Ok(Cost::of(&component.map_err(|fault| anyhow!("the plugin broke: {fault}"))?, &native(duration)))
}

async fn component(version: Arc<Version>, duration: Duration) -> Result<Vec<f64>, Fault> {
    let mut samples = Vec::new();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        let mut decoder = version.decoder(String::new(), Vec::new()).await?;
        for data in exchange::stream_data() {
            let frames = vec![Frame { event: None, data }];
            let began = Instant::now();
            black_box(decoder.push(frames).await?);
            samples.push(microseconds(began.elapsed()));
        }
    }
    Ok(samples)
}

fn native(duration: Duration) -> Vec<f64> {
    let mut samples = Vec::new();
    let end = Instant::now() + duration;
    while Instant::now() < end {
        let decoder = <OpenAi as Chat>::Decoder::new(String::new(), Vec::new());
        for data in exchange::stream_data() {
            let frames = vec![types::Frame { event: None, data }];
            let began = Instant::now();
            black_box(decoder.push(frames));
            samples.push(microseconds(began.elapsed()));
        }
    }
    samples
}
