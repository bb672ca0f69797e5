//! What is logged and in which form: one JSON object a line, or for people where stdout is a terminal.
//!
//! Owns: the subscriber. What the lines of a request say is `settle`'s. Lines are written by a thread of their own through a bounded queue; when it is full,
//! lines are left out rather than requests held up.

use crate::config::{ConfigError, LogConfig};
use std::io::IsTerminal;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Starts logging. Dropping the guard writes out what is queued.
///
/// # Errors
/// When `LOG_LEVEL` is neither a level nor directives.
pub fn start(config: &LogConfig) -> Result<WorkerGuard, ConfigError> {
    let filter = filter(&config.level)?;
    let (writer, guard) = NonBlocking::new(std::io::stdout());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if std::io::stdout().is_terminal() {
        lines.compact().init();
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    }
    Ok(guard)
}

/// A bare level is the gateway's own; libraries say only what matters. Directives are taken as they stand.
fn filter(level: &str) -> Result<EnvFilter, ConfigError> {
    let bare = level.parse::<tracing::level_filters::LevelFilter>().is_ok();
    let directives = if bare { format!("warn,llm_gateway={level},plugin={level}") } else { level.to_owned() };
    let wrong = || ConfigError::Value {
        name: "LOG_LEVEL".into(),
        value: level.into(),
        expected: "expected error, warn, info, debug, trace, off, or directives such as `info,llm_gateway=debug`".into(),
    };
    // A lone word would be taken for a target whose every line is wanted.
    if !bare && !level.contains('=') {
        return Err(wrong());
    }
    EnvFilter::builder().parse(directives).map_err(|_| wrong())
}
