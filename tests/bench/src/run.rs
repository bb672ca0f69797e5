//! One run, from starting everything to stopping it.
//!
//! What is compared is measured in turns, round by round, so that whatever else the machine does hits all alike. The first answer that is none ends the
//! run: a fast gateway that errs is not fast.

use crate::client::Connection;
use crate::component::{self, Costs, microseconds};
use crate::exchange::{self, Ask, CHUNKS};
use crate::gateway::{Gateway, Installation, LogLevel};
use crate::load::{Callers, Pace, Waited, open_loop};
use crate::process::{self, Helper, Memory};
use crate::report::{self, GatewayMemory, Latency, Paced, Report, Target, Throughput};
use crate::stats::{median, percentile};
use anyhow::Context;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub quick: bool,
    connections: usize,
    rounds: usize,
    round: Duration,
    whole_pace: Pace,
    stream_pace: Pace,
    paced_rounds: usize,
    held_streams: usize,
    rest: Duration,
    component: Duration,
}

impl Schedule {
    /// About 90 s.
    pub fn full() -> Self {
        Self {
            quick: false,
            connections: 64,
            rounds: 4,
            round: Duration::from_millis(1500),
            whole_pace: Pace { per_second: 200, duration: Duration::from_secs(3) },
            stream_pace: Pace { per_second: 50, duration: Duration::from_millis(2500) },
            paced_rounds: 2,
            held_streams: 500,
            rest: Duration::from_secs(2),
            component: Duration::from_millis(1500),
        }
    }

    /// Everything once and briefly: shows that it works, not how fast it is.
    pub fn quick() -> Self {
        Self {
            quick: true,
            connections: 64,
            rounds: 1,
            round: Duration::from_millis(500),
            whole_pace: Pace { per_second: 200, duration: Duration::from_millis(500) },
            stream_pace: Pace { per_second: 50, duration: Duration::from_millis(500) },
            paced_rounds: 1,
            held_streams: 100,
            rest: Duration::from_millis(500),
            component: Duration::from_millis(200),
        }
    }
}

/// Runs it all.
///
/// # Errors
/// What did not start, answer or stop.
pub async fn run(installation: &Installation, schedule: &Schedule) -> anyhow::Result<Report> {
    let began = Instant::now();
    let stand = Stand::start(installation).await?;
    stand.check().await?;
    let idle = stand.memory_at_rest(schedule).await?;
    let with_streams = stand.memory_with_streams(schedule).await?;
    let whole = stand.throughput(schedule, &Target::ALL, Ask::Whole).await?;
    let streamed = stand.throughput(schedule, &Target::QUIET, Ask::Stream).await?;
    let after_load = stand.memory_at_rest(schedule).await?;
    let latency = stand.paced(schedule, Ask::Whole).await?;
    let first_chunk = stand.paced(schedule, Ask::Stream).await?;
    let component = stand.stop_and_measure_component(installation, schedule).await?;
    let memory = GatewayMemory { idle, streams: schedule.held_streams, with_streams, after_load };
    Ok(Report {
        gateway: installation.binary.display().to_string(),
        cores: std::thread::available_parallelism()?.get(),
        quick: schedule.quick,
        duration_s: began.elapsed().as_secs_f64(),
        connections: schedule.connections,
        aims: report::aims(&whole, &component, &memory),
        whole,
        latency,
        streamed,
        first_chunk,
        component,
        memory,
    })
}

impl Target {
    const ALL: [Self; 4] = [Self::Direct, Self::Proxy, Self::Gateway, Self::GatewayLogging];
    /// Those that a log has no part in.
    const QUIET: [Self; 3] = [Self::Direct, Self::Proxy, Self::Gateway];
}

/// Everything that runs.
struct Stand {
    upstream: Helper,
    proxy: Helper,
    gateway: Gateway,
    logging: Gateway,
}

impl Stand {
    async fn start(installation: &Installation) -> anyhow::Result<Self> {
        let upstream = Helper::start(&["upstream"]).await?;
        let proxy = Helper::start(&["proxy", &upstream.address.to_string()]).await?;
        let gateway = Gateway::start(installation, upstream.address, LogLevel::Warn).await?;
        let logging = Gateway::start(installation, upstream.address, LogLevel::Info).await?;
        Ok(Self { upstream, proxy, gateway, logging })
    }

    fn address(&self, target: Target) -> SocketAddr {
        match target {
            Target::Direct => self.upstream.address,
            Target::Proxy => self.proxy.address,
            Target::Gateway => self.gateway.address,
            Target::GatewayLogging => self.logging.address,
        }
    }

    fn pid(&self, target: Target) -> u32 {
        match target {
            Target::Direct => self.upstream.pid,
            Target::Proxy => self.proxy.pid,
            Target::Gateway => self.gateway.pid,
            Target::GatewayLogging => self.logging.pid,
        }
    }

    /// Reads one answer of each kind from each target to the last word; under load only their ends are looked at.
    async fn check(&self) -> anyhow::Result<()> {
        for target in Target::ALL {
            for ask in [Ask::Whole, Ask::Stream] {
                let mut connection = Connection::open(self.address(target)).await?;
                let text = connection.text(ask).await.with_context(|| format!("{target:?}, {ask:?}"))?;
                exchange::check(ask, &text).map_err(anyhow::Error::msg).with_context(|| format!("{target:?}, {ask:?}"))?;
            }
        }
        Ok(())
    }

    async fn throughput(&self, schedule: &Schedule, targets: &[Target], ask: Ask) -> anyhow::Result<Vec<Throughput>> {
        let mut rounds: Vec<Vec<Measured>> = vec![Vec::new(); targets.len()];
        for _ in 0..schedule.rounds {
            for (target, rounds) in targets.iter().zip(&mut rounds) {
                rounds.push(self.round(schedule, *target, ask).await.with_context(|| format!("{target:?}, {ask:?}"))?);
            }
        }
        let of_proxy = targets.iter().position(|target| *target == Target::Proxy).and_then(|index| rounds.get(index));
        let proxy: Vec<f64> = of_proxy.into_iter().flatten().map(|round| round.per_second).collect();
        Ok(targets.iter().zip(&rounds).map(|(target, rounds)| summed_up(*target, rounds, &proxy)).collect())
    }

    async fn round(&self, schedule: &Schedule, target: Target, ask: Ask) -> anyhow::Result<Measured> {
        let callers = Callers::connect(self.address(target), ask, schedule.connections).await?;
        let before = process::cpu_time(self.pid(target))?;
        let round = callers.ask_for(schedule.round).await?;
        let cpu = process::cpu_time(self.pid(target))?.saturating_sub(before);
        let pieces = if ask == Ask::Whole { 1.0 } else { CHUNKS as f64 };
        Ok(Measured { per_second: round.per_second() * pieces, cpu_us: microseconds(cpu) / (round.answers as f64 * pieces) })
    }

    async fn paced(&self, schedule: &Schedule, ask: Ask) -> anyhow::Result<Paced> {
        let pace = if ask == Ask::Whole { schedule.whole_pace } else { schedule.stream_pace };
        let mut waited: [Vec<Waited>; 3] = Default::default();
        for _ in 0..schedule.paced_rounds {
            for (target, waited) in Target::QUIET.into_iter().zip(&mut waited) {
                let round = open_loop(self.address(target), ask, pace).await;
                waited.extend(round.with_context(|| format!("{target:?}, {ask:?}"))?);
            }
        }
        let of = |waited: &Waited| if ask == Ask::Whole { waited.last } else { waited.first };
        let latency = |(target, waited): (Target, &Vec<Waited>)| {
            let samples: Vec<f64> = waited.iter().map(|waited| microseconds(of(waited))).collect();
            Latency { target, samples: samples.len(), p50_us: median(&samples), p99_us: percentile(&samples, 99.0) }
        };
        Ok(Paced { per_second: pace.per_second, targets: Target::QUIET.into_iter().zip(&waited).map(latency).collect() })
    }

    async fn memory_at_rest(&self, schedule: &Schedule) -> anyhow::Result<Memory> {
        tokio::time::sleep(schedule.rest).await;
        process::memory(self.gateway.pid)
    }

    async fn memory_with_streams(&self, schedule: &Schedule) -> anyhow::Result<Memory> {
        let mut held = Vec::new();
        for _ in 0..schedule.held_streams {
            let mut connection = Connection::open(self.gateway.address).await?;
            let stream = connection.hold().await.context("a stream to be held open")?;
            held.push((connection, stream));
        }
        process::memory(self.gateway.pid)
    }

    /// With all else stopped, so that nothing disturbs it. What the gateway has compiled is used again.
    async fn stop_and_measure_component(self, installation: &Installation, schedule: &Schedule) -> anyhow::Result<Costs> {
        let compiled = self.gateway.compiled();
        let _data = self.gateway.stop().await.context("the gateway")?;
        self.logging.stop().await.context("the gateway that logs")?;
        self.proxy.stop().await.context("the proxy")?;
        self.upstream.stop().await.context("the upstream")?;
        component::Bench { plugins: &installation.plugins, compiled: &compiled, duration: schedule.component }.measure().await
    }
}

/// One round of one target.
#[derive(Debug, Clone, Copy)]
struct Measured {
    per_second: f64,
    cpu_us: f64,
}

fn summed_up(target: Target, rounds: &[Measured], proxy: &[f64]) -> Throughput {
    let per_second: Vec<f64> = rounds.iter().map(|round| round.per_second).collect();
    let of_proxy: Vec<f64> = per_second.iter().zip(proxy).map(|(of, proxy)| of / proxy).collect();
    let cpu_us: Vec<f64> = rounds.iter().map(|round| round.cpu_us).collect();
    Throughput { target, per_second: median(&per_second), of_proxy: median(&of_proxy), cpu_us: median(&cpu_us), rounds: per_second }
}
