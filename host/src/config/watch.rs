//! Reads `gateway.toml` again when it changes. What is good counts from then on, whole; what is not changes nothing and is reported once.
//!
//! Owns: which content was judged, and the verdict. Not here: what the rules mean (`rules`), what becomes of them (`publish`).

use super::file::Content;
use super::{ConfigFile, Rules};
use crate::events::{Event, EventKind, Events};
use crate::metrics::{self, Reload};
use crate::watching::{LOOK_ANYWAY, Watching};
use jiff::Timestamp;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Content that is the same after this time is whole: whoever writes it is done.
const QUIET: Duration = Duration::from_millis(100);

/// For content that may be half-written: a shell empties a file before the program that is to fill it has begun.
const UNFINISHED: Duration = Duration::from_secs(2);

type Variables = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;
type Publish = Box<dyn Fn(Arc<Rules>) + Send + Sync>;

/// The configuration file as the gateway sees it.
pub struct Reloader {
    file: ConfigFile,
    env: Variables,
    publish: Publish,
    events: Arc<Events>,
    /// Held while the file is read and judged, which may take long.
    looked: Mutex<Looked>,
    report: Mutex<Report>,
}

#[derive(Default)]
struct Looked {
    /// What was last judged. Absent: nothing was.
    judged: Option<Content>,
    /// The text that was last good. Empty: there is none.
    counted: String,
    /// What was there at the last look, if it is new, and since which look.
    fresh: Option<(Content, Instant)>,
}

/// How the file stands, for operators.
#[derive(Debug, Clone)]
pub struct Report {
    pub state: ConfigState,
    /// Those that count.
    pub rules: Arc<Rules>,
    /// Since when they do.
    pub loaded_at: Timestamp,
    /// When the file was refused, and why. Absent: it was not, or has been good since.
    pub rejection: Option<(Timestamp, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigState {
    /// What it says counts.
    Loaded,
    /// What it said before counts.
    Rejected,
    /// There is none, and there need not be one.
    Absent,
}

/// What a look at the file found.
enum Look {
    Settled,
    /// It is new, and perhaps not whole.
    StillMoving,
}

impl Reloader {
    /// `rules` count until the first look. `publish` is told of rules that are good, before they are announced.
    pub fn new(
        file: ConfigFile,
        env: Variables,
        rules: Arc<Rules>,
        publish: impl Fn(Arc<Rules>) + Send + Sync + 'static,
        events: Arc<Events>,
    ) -> Self {
        let report = Report { state: ConfigState::Absent, rules, loaded_at: Timestamp::now(), rejection: None };
        Self { file, env, publish: Box::new(publish), events, looked: Mutex::default(), report: Mutex::new(report) }
    }

    /// As it was set.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    pub fn report(&self) -> Report {
        lock(&self.report).clone()
    }

    /// Reads the file now and takes over what it says. Whether that is anything new.
    ///
    /// # Errors
    /// Why it is refused; what counted before counts on.
    pub async fn reload(self: &Arc<Self>) -> Result<bool, String> {
        let reloader = Arc::clone(self);
        // In a task of its own: whoever asked may leave.
        let reload = tokio::task::spawn_blocking(move || {
            let mut looked = lock(&reloader.looked);
            let content = reloader.file.read();
            reloader.judge(&mut looked, content)
        });
        reload.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    fn look(&self, now: Instant) -> Look {
        let mut looked = lock(&self.looked);
        let content = self.file.read();
        if looked.judged.as_ref() == Some(&content) {
            looked.fresh = None;
            return Look::Settled;
        }
        let seen_for = looked.fresh.as_ref().filter(|(fresh, _)| *fresh == content).map(|(_, since)| now.duration_since(*since));
        let Some(seen_for) = seen_for else {
            looked.fresh = Some((content, now));
            return Look::StillMoving;
        };
        if seen_for < UNFINISHED && looked.may_be_unfinished(&content) {
            return Look::StillMoving;
        }
        // The verdict is in the report.
        let _ = self.judge(&mut looked, content);
        Look::Settled
    }

    fn judge(&self, looked: &mut Looked, content: Content) -> Result<bool, String> {
        if looked.judged.as_ref() == Some(&content) {
            return self.report().rejection.map_or(Ok(false), |(_, reason)| Err(reason));
        }
        let is_first = looked.judged.is_none();
        looked.fresh = None;
        let content = looked.judged.insert(content);
        let text = content.as_ref().map_err(Clone::clone);
        match text.and_then(|text| self.file.rules(text.as_deref(), &self.env)) {
            Ok(rules) => {
                let state = if matches!(content, Ok(None)) { ConfigState::Absent } else { ConfigState::Loaded };
                looked.counted = content.clone().ok().flatten().unwrap_or_default();
                self.accept(rules, state, is_first);
                Ok(true)
            }
            Err(error) => {
                let reason = error.to_string();
                self.reject(&reason);
                Err(reason)
            }
        }
    }

    fn accept(&self, rules: Rules, state: ConfigState, is_first: bool) {
        rules.notices.iter().for_each(|notice| tracing::warn!("{notice}"));
        let rules = Arc::new(rules);
        (self.publish)(Arc::clone(&rules));
        *lock(&self.report) = Report { state, rules, loaded_at: Timestamp::now(), rejection: None };
        match state {
            ConfigState::Absent if is_first => {}
            ConfigState::Absent => self.announce(EventKind::ConfigRemoved, None),
            ConfigState::Loaded | ConfigState::Rejected => self.announce(EventKind::ConfigLoaded, None),
        }
    }

    fn reject(&self, reason: &str) {
        let mut report = lock(&self.report);
        report.state = ConfigState::Rejected;
        report.rejection = Some((Timestamp::now(), reason.to_owned()));
        drop(report);
        self.announce(EventKind::ConfigRejected, Some(reason.to_owned()));
    }

    fn announce(&self, kind: EventKind, reason: Option<String>) {
        metrics::config_reload(if reason.is_none() { Reload::Applied } else { Reload::Refused });
        let file = Some(self.path().file_name().unwrap_or_default().to_string_lossy().into_owned());
        self.events.say(Event { id: 0, at: Timestamp::now(), kind, plugin: None, file, key: None, version: None, sha256: None, reason });
    }
}

impl Looked {
    /// Whether it is blank, no more than the beginning of what counts, or gone: it may come back.
    fn may_be_unfinished(&self, content: &Content) -> bool {
        let text = match content {
            Ok(Some(text)) => text,
            Ok(None) => return !self.counted.is_empty(),
            Err(_) => return false,
        };
        text.trim().is_empty() || self.counted.strip_prefix(text.as_str()).is_some_and(|rest| !rest.is_empty())
    }
}

/// Takes over what the file says, then keeps watching it until `stop`. Returns once the first look is over; the watching goes on in a task.
pub async fn watch(reloader: Arc<Reloader>, stop: CancellationToken) -> JoinHandle<()> {
    // Watched before the first look, so that nothing falls between.
    let watching = Watching::start(reloader.file.folder());
    // The start has judged it already; what it says now is in the report.
    let _ = reloader.reload().await;
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = look_again(reloader, watching) => {}
        }
    })
}

async fn look_again(reloader: Arc<Reloader>, mut watching: Watching) {
    let mut soon = false;
    loop {
        if soon || watching.changed(LOOK_ANYWAY).await {
            // A change is followed by others. In a folder where much is written, this also says how often is looked.
            tokio::time::sleep(QUIET).await;
        }
        let looking = Arc::clone(&reloader);
        let look = tokio::task::spawn_blocking(move || looking.look(Instant::now())).await;
        soon = matches!(look, Ok(Look::StillMoving));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Fixture {
        folder: tempfile::TempDir,
        reloader: Arc<Reloader>,
        published: Arc<Mutex<Vec<Arc<Rules>>>>,
        events: Arc<Events>,
    }

    impl Fixture {
        /// The file by its default name (which need not be there) can't be tested without changing the working folder.
        fn start(text: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("gateway.toml");
            std::fs::write(&path, text).unwrap();
            let path = path.to_string_lossy().into_owned();
            let env = move |name: &str| (name == "CONFIG_FILE").then(|| path.clone());
            let (published, events) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Events::default()));
            let publish = {
                let published = Arc::clone(&published);
                move |rules| lock(&published).push(rules)
            };
            let reloader = Arc::new(Reloader::new(ConfigFile::of(&env), Box::new(env), Arc::default(), publish, Arc::clone(&events)));
            Self { folder, reloader, published, events }
        }

        fn write(&self, text: &str) {
            std::fs::write(self.folder.path().join("gateway.toml"), text).unwrap();
        }

        fn look(&self) -> Look {
            self.reloader.look(Instant::now())
        }

        /// Looks until nothing moves.
        fn settle(&self) {
            while matches!(self.look(), Look::StillMoving) {}
        }

        fn published(&self) -> usize {
            lock(&self.published).len()
        }

        fn events(&self) -> Vec<EventKind> {
            self.events.since(0).0.iter().map(|event| event.kind).collect()
        }
    }

    const GOOD: &str = "[aliases]\nfast = \"openai/x\"\n";

    #[test]
    fn new_content_is_taken_once_it_is_seen_twice() {
        let fixture = Fixture::start(GOOD);
        assert!(matches!(fixture.look(), Look::StillMoving));
        fixture.write("[aliases]\nfast = \"openai/y\"\n");
        assert!(matches!(fixture.look(), Look::StillMoving), "it has changed again");
        assert_eq!(fixture.published(), 0);
        assert!(matches!(fixture.look(), Look::Settled));
        fixture.settle();
        assert_eq!((fixture.published(), fixture.reloader.report().state), (1, ConfigState::Loaded));
        assert_eq!(lock(&fixture.published)[0].aliases["fast"], "openai/y");
    }

    #[test]
    fn content_that_may_be_half_written_is_given_two_seconds() {
        let fixture = Fixture::start(GOOD);
        fixture.settle();
        let now = Instant::now();
        let after = |milliseconds| fixture.reloader.look(now + Duration::from_millis(milliseconds));
        for unfinished in ["", " \n", "[aliases]\n"] {
            fixture.write(unfinished);
            for milliseconds in [0, 300, 1999] {
                assert!(matches!(after(milliseconds), Look::StillMoving), "{unfinished:?} after {milliseconds} ms");
            }
        }
        fixture.write(GOOD);
        assert!(matches!(after(2500), Look::Settled));
        assert_eq!(fixture.published(), 1, "nothing has changed after all");
        fixture.write("");
        assert!(matches!(after(3000), Look::StillMoving));
        assert!(matches!(after(5000), Look::Settled));
        assert_eq!(fixture.published(), 2, "it is meant to be empty");
    }

    #[test]
    fn bad_content_changes_nothing_and_is_told_once() {
        let fixture = Fixture::start(GOOD);
        fixture.settle();
        fixture.write("[aliases]\nfast = 3\n");
        fixture.settle();
        fixture.settle();
        let report = fixture.reloader.report();
        assert_eq!((fixture.published(), report.state), (1, ConfigState::Rejected));
        assert!(report.rejection.unwrap().1.contains("line 2"));
        assert_eq!(fixture.events(), [EventKind::ConfigLoaded, EventKind::ConfigRejected]);
        fixture.write(GOOD);
        fixture.settle();
        let report = fixture.reloader.report();
        assert!(report.state == ConfigState::Loaded && report.rejection.is_none(), "{report:?}");
    }

    #[test]
    fn a_named_file_that_is_gone_is_refused_until_it_is_back() {
        let fixture = Fixture::start(GOOD);
        fixture.settle();
        std::fs::remove_file(fixture.folder.path().join("gateway.toml")).unwrap();
        fixture.settle();
        assert_eq!((fixture.published(), fixture.reloader.report().state), (1, ConfigState::Rejected));
        fixture.write(GOOD);
        fixture.settle();
        assert_eq!((fixture.published(), fixture.reloader.report().state), (2, ConfigState::Loaded));
    }

    #[tokio::test]
    async fn a_reload_on_request_tells_the_verdict_each_time() {
        let fixture = Fixture::start(GOOD);
        assert_eq!(fixture.reloader.reload().await, Ok(true));
        assert_eq!(fixture.reloader.reload().await, Ok(false));
        fixture.write("nonsense");
        for _ in 0..2 {
            assert!(fixture.reloader.reload().await.unwrap_err().contains("line 1"));
        }
        assert_eq!(fixture.events(), [EventKind::ConfigLoaded, EventKind::ConfigRejected]);
    }
}
