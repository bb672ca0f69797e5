//! What a run found: as data for machines (`target/bench.json`), as a table for people, and against the aims.

use crate::component::{Cost, Costs};
use crate::exchange::CHUNKS;
use crate::process::Memory;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The upstream itself.
    Direct,
    Proxy,
    /// At `LOG_LEVEL=warn`.
    Gateway,
    /// At `LOG_LEVEL=info`.
    GatewayLogging,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Proxy => "minimal proxy",
            Self::Gateway => "gateway",
            Self::GatewayLogging => "gateway, LOG_LEVEL=info",
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub gateway: String,
    pub cores: usize,
    pub quick: bool,
    pub duration_s: f64,
    pub connections: usize,
    /// Whole answers, closed loop.
    pub whole: Vec<Throughput>,
    /// Whole answers, open loop; until the last byte.
    pub latency: Paced,
    /// Streams, closed loop; in chunks.
    pub streamed: Vec<Throughput>,
    /// Streams, open loop; until the first byte of the body.
    pub first_chunk: Paced,
    pub component: Costs,
    pub memory: GatewayMemory,
    pub aims: Vec<Aim>,
}

/// Answers, or chunks, of one target at full load.
#[derive(Debug, Serialize)]
pub struct Throughput {
    pub target: Target,
    /// Median over the rounds.
    pub per_second: f64,
    /// Median over the rounds, each against the proxy's of the same round.
    pub of_proxy: f64,
    /// Processor time that the target's own process used for each. The upstream's and the callers' own is in nobody's.
    pub cpu_us: f64,
    pub rounds: Vec<f64>,
}

/// Waiting times at a fixed rate.
#[derive(Debug, Serialize)]
pub struct Paced {
    pub per_second: u32,
    pub targets: Vec<Latency>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    pub target: Target,
    pub samples: usize,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Of the gateway at `LOG_LEVEL=warn`.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct GatewayMemory {
    pub idle: Memory,
    pub streams: usize,
    pub with_streams: Memory,
    /// After the load, and a rest.
    pub after_load: Memory,
}

impl GatewayMemory {
    fn per_stream_kib(&self) -> f64 {
        (self.with_streams.pss_kib as f64 - self.idle.pss_kib as f64) / self.streams as f64
    }
}

/// What the gateway set itself.
#[derive(Debug, Clone, Serialize)]
pub struct Aim {
    pub what: &'static str,
    pub measured: f64,
    pub aim: f64,
    pub met: bool,
}

impl Aim {
    fn at_least(what: &'static str, aim: f64, measured: f64) -> Self {
        Self { what, measured, aim, met: measured >= aim }
    }

    fn at_most(what: &'static str, aim: f64, measured: f64) -> Self {
        Self { what, measured, aim, met: measured <= aim }
    }
}

/// Half of the proxy's throughput, 25 µs for the sandbox, 80 MiB at rest.
pub fn aims(whole: &[Throughput], component: &Costs, memory: &GatewayMemory) -> Vec<Aim> {
    let gateway = whole.iter().find(|row| row.target == Target::Gateway);
    vec![
        Aim::at_least("whole answers, gateway against proxy", 0.5, gateway.map_or(0.0, |row| row.of_proxy)),
        Aim::at_most("added by the component to a request, µs", 25.0, component.request.added_us()),
        Aim::at_most("memory of the idle gateway (RSS), MiB", 80.0, mib(memory.idle.rss_kib)),
    ]
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "LLM gateway benchmark: {}, {} cores shared by all, {:.0} s", self.gateway, self.cores, self.duration_s)?;
        let title = format!("Whole answers, {} connections", self.connections);
        throughput(f, &title, "requests/s", &self.whole)?;
        latency(f, &format!("Whole answers at {}/s, µs", self.latency.per_second), &self.latency.targets)?;
        let title = format!("Streams of {CHUNKS} chunks, {} at a time", self.connections);
        throughput(f, &title, "chunks/s", &self.streamed)?;
        latency(f, &format!("First chunk at {} streams/s, µs", self.first_chunk.per_second), &self.first_chunk.targets)?;
        costs(f, &self.component)?;
        memory(f, &self.memory)?;
        aims_table(f, &self.aims)
    }
}

fn row(f: &mut Formatter<'_>, name: &str, cells: &[String]) -> fmt::Result {
    write!(f, "  {name:<40}")?;
    for cell in cells {
        write!(f, "{cell:>13}")?;
    }
    writeln!(f)
}

fn head(f: &mut Formatter<'_>, title: &str, columns: &[&str]) -> fmt::Result {
    write!(f, "\n{title:<42}")?;
    for column in columns {
        write!(f, "{column:>13}")?;
    }
    writeln!(f)
}

fn throughput(f: &mut Formatter<'_>, title: &str, per_second: &str, rows: &[Throughput]) -> fmt::Result {
    head(f, title, &[per_second, "of proxy", "CPU µs each", "slowest", "fastest"])?;
    for of in rows {
        let fastest = of.rounds.iter().copied().fold(f64::MIN, f64::max);
        let slowest = of.rounds.iter().copied().fold(f64::MAX, f64::min);
        let whole = |value: f64| format!("{value:.0}");
        let cells = [whole(of.per_second), format!("{:.2}", of.of_proxy), format!("{:.1}", of.cpu_us), whole(slowest), whole(fastest)];
        row(f, of.target.name(), &cells)?;
    }
    Ok(())
}

fn latency(f: &mut Formatter<'_>, title: &str, rows: &[Latency]) -> fmt::Result {
    head(f, title, &["p50", "p99", "Δp50 direct", "Δp99 direct", "Δp50 proxy", "Δp99 proxy"])?;
    for of in rows {
        let mut cells = vec![format!("{:.0}", of.p50_us), format!("{:.0}", of.p99_us)];
        let bases: &[Target] = match of.target {
            Target::Direct => &[],
            Target::Proxy => &[Target::Direct],
            Target::Gateway | Target::GatewayLogging => &[Target::Direct, Target::Proxy],
        };
        for base in bases.iter().filter_map(|target| rows.iter().find(|row| row.target == *target)) {
            cells.extend([format!("{:+.0}", of.p50_us - base.p50_us), format!("{:+.0}", of.p99_us - base.p99_us)]);
        }
        row(f, of.target.name(), &cells)?;
    }
    Ok(())
}

fn costs(f: &mut Formatter<'_>, costs: &Costs) -> fmt::Result {
    head(f, "An adapter as component and native, µs", &["component", "native", "added"])?;
    let mut cost = |name: &str, cost: &Cost| {
        row(f, name, &[format!("{:.1}", cost.component_us), format!("{:.1}", cost.native_us), format!("{:.1}", cost.added_us())])
    };
    cost("encode, with taking an instance", &costs.encode)?;
    cost("decode, with taking an instance", &costs.decode)?;
    cost("encode and decode of one request", &costs.request)?;
    cost("push of one frame", &costs.push)?;
    row(f, "CPU of both, with making their instances", &[format!("{:.1}", costs.request_cpu_us)])
}

fn memory(f: &mut Formatter<'_>, memory: &GatewayMemory) -> fmt::Result {
    head(f, "Memory of the gateway, MiB", &["RSS", "PSS", "KiB/stream"])?;
    let cells = |of: &Memory| vec![format!("{:.1}", mib(of.rss_kib)), format!("{:.1}", mib(of.pss_kib))];
    row(f, "idle", &cells(&memory.idle))?;
    let mut with_streams = cells(&memory.with_streams);
    with_streams.push(format!("{:.0}", memory.per_stream_kib()));
    row(f, &format!("with {} open streams", memory.streams), &with_streams)?;
    row(f, "after the load and a rest", &cells(&memory.after_load))
}

fn aims_table(f: &mut Formatter<'_>, aims: &[Aim]) -> fmt::Result {
    head(f, "Aims", &["measured", "aim", ""])?;
    for aim in aims {
        let verdict = if aim.met { "met" } else { "missed" };
        row(f, aim.what, &[format!("{:.2}", aim.measured), format!("{}", aim.aim), verdict.to_owned()])?;
    }
    Ok(())
}
