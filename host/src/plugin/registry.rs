//! Which version of which file is active.
//!
//! A file activates on its own, when it has been validated; a bad one changes nothing, and the version that served before serves on. Versions
//! that were replaced are kept for rolling back. What is active is handed out as one immutable map; a request that holds a version
//! finishes on it, whatever happens here meanwhile.

use super::Host;
use super::validate::validate;
use super::version::Version;
use crate::events::{Event, EventKind, Events};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Versions kept per file, the active one among them.
const KEPT_VERSIONS: usize = 3;
const MAX_FILE_BYTES: u64 = 64 << 20;
/// A file that was written to more recently is not read yet: whoever writes it may not be done.
pub(super) const QUIET: Duration = Duration::from_millis(150);

/// What is active, by provider id.
pub type Active = BTreeMap<String, Arc<Version>>;

type Publish = Box<dyn Fn(&Active) + Send + Sync>;

/// The plugins folder as the gateway sees it.
pub struct Registry {
    host: Host,
    folder: PathBuf,
    files: Mutex<BTreeMap<String, File>>,
    events: Arc<Events>,
    publish: Publish,
}

#[derive(Default)]
struct File {
    /// What was last looked at, so that nothing is judged twice.
    seen: Option<Fingerprint>,
    judged_sha256: Option<String>,
    loading: bool,
    /// Good versions, oldest first.
    versions: Vec<Arc<Version>>,
    /// Index into `versions`. Absent: nothing of this file is active.
    active: Option<usize>,
    rejection: Option<(Timestamp, String)>,
}

impl File {
    fn active(&self) -> Option<&Arc<Version>> {
        self.active.and_then(|index| self.versions.get(index))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    len: u64,
    modified: Option<SystemTime>,
    /// Seconds and nanoseconds: `cp -p` sets the time of modification, but not this.
    changed: (i64, i64),
    inode: u64,
}

/// What a file's plugin is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It serves the newest good build of the file.
    Active,
    /// It was rolled back and serves an older one.
    RolledBack,
    /// Nothing of the file was ever good.
    Rejected,
    /// Its first build is being validated.
    Loading,
}

/// A file of the plugins folder, for people.
pub struct FileReport {
    pub file: String,
    pub state: State,
    pub active: Option<Arc<Version>>,
    /// How many earlier versions a rollback can go to.
    pub earlier_versions: usize,
    pub rejection: Option<(Timestamp, String)>,
}

/// What an operator's request changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Changed,
    Unchanged,
}

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("there is no plugin `{0}`")]
    Unknown(String),
    #[error("plugin `{0}` has no earlier version to roll back to")]
    NothingEarlier(String),
    #[error("plugin `{id}` was not reloaded: {reason}")]
    Rejected { id: String, reason: String },
    #[error("the plugins folder {folder} can't be read: {error}")]
    Folder { folder: PathBuf, error: std::io::Error },
}

impl Registry {
    /// `publish` is told of every change of what is active, before the change is announced.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn new(host: Host, folder: &Path, publish: impl Fn(&Active) + Send + Sync + 'static) -> Result<Self, RegistryError> {
        let unreadable = |error| RegistryError::Folder { folder: folder.to_owned(), error };
        let folder = folder.canonicalize().map_err(unreadable)?;
        std::fs::read_dir(&folder).map_err(unreadable)?;
        Ok(Self { host, folder, files: Mutex::default(), events: Arc::default(), publish: Box::new(publish) })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    /// Every file, in the order of their names.
    pub fn report(&self) -> Vec<FileReport> {
        self.files()
            .iter()
            .map(|(name, file)| FileReport {
                file: name.clone(),
                state: match file.active {
                    Some(index) if index + 1 == file.versions.len() => State::Active,
                    Some(_) => State::RolledBack,
                    None if file.rejection.is_some() => State::Rejected,
                    None => State::Loading,
                },
                active: file.active().cloned(),
                earlier_versions: file.active.unwrap_or(0),
                rejection: file.rejection.clone(),
            })
            .collect()
    }

    /// Looks at the folder once. Every file that has changed is validated by a task of its own, so that a slow one delays no other;
    /// the tasks are given back to be waited for. `still_moving` is true if a file is too fresh to be read.
    pub(super) fn scan(self: &Arc<Self>) -> Scan {
        let mut scan = Scan { loads: Vec::new(), still_moving: false };
        let found = match self.list() {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(folder = %self.folder.display(), %error, "the plugins folder can't be read; what was loaded serves on");
                return scan;
            }
        };
        self.remove_missing(&found);
        for (name, fingerprint) in found {
            if fingerprint.as_ref().is_some_and(is_fresh) {
                scan.still_moving = true;
                continue;
            }
            let mut files = self.files();
            let file = files.entry(name.clone()).or_default();
            if file.loading || (fingerprint.is_some() && file.seen == fingerprint) {
                continue;
            }
            file.loading = true;
            drop(files);
            let registry = Arc::clone(self);
            scan.loads.push(tokio::spawn(async move {
                let _ = registry.load(&name, Judged::Skip).await;
            }));
        }
        scan
    }

    /// The `.wasm` files, each with what tells that it changed. Links are followed; where they lead is checked on reading.
    fn list(&self) -> std::io::Result<BTreeMap<String, Option<Fingerprint>>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "wasm")
                && let Some(name) = path.file_name().and_then(|name| name.to_str())
            {
                found.insert(name.to_owned(), fingerprint(&path).ok());
            }
        }
        Ok(found)
    }

    fn remove_missing(&self, found: &BTreeMap<String, Option<Fingerprint>>) {
        let mut files = self.files();
        let gone: Vec<String> =
            files.iter().filter(|(name, file)| !found.contains_key(*name) && !file.loading).map(|(name, _)| name.clone()).collect();
        for name in gone {
            let Some(file) = files.remove(&name) else { continue };
            let Some(version) = file.active().cloned() else { continue };
            // The id is free again: a file that was refused because of it is looked at anew.
            for waiting in files.values_mut().filter(|file| file.active.is_none() && !file.loading) {
                (waiting.seen, waiting.judged_sha256) = (None, None);
            }
            file.versions.iter().for_each(|version| version.cool());
            self.publish(&files);
            self.announce(EventKind::Removed, &name, Some(&version), None);
        }
    }

    /// Reads, validates and activates one file. `file.loading` is set by the caller and cleared here.
    async fn load(&self, name: &str, judged: Judged) -> Result<Action, String> {
        let (folder, file) = (self.folder.clone(), name.to_owned());
        let read = tokio::task::spawn_blocking(move || read(&folder, &file)).await.unwrap_or_else(|error| Err(error.to_string()));
        let outcome = match read {
            Ok(read) => self.judge(name, read, judged).await,
            Err(reason) => {
                if let Some(file) = self.files().get_mut(name) {
                    file.seen = fingerprint(&self.folder.join(name)).ok();
                }
                Err(reason)
            }
        };
        let mut files = self.files();
        let Some(file) = files.get_mut(name) else { return outcome };
        file.loading = false;
        if let Err(reason) = &outcome {
            let known = file.rejection.as_ref().is_some_and(|(_, before)| before == reason) && judged == Judged::Skip;
            file.rejection = Some((Timestamp::now(), reason.clone()));
            let active = file.active().cloned();
            drop(files);
            if !known {
                self.announce(EventKind::Rejected, name, active.as_ref(), Some(reason.clone()));
            }
        }
        outcome
    }

    async fn judge(&self, name: &str, read: ReadFile, judged: Judged) -> Result<Action, String> {
        let ReadFile { fingerprint, wasm, sha256 } = read;
        let kept = {
            let mut files = self.files();
            let Some(file) = files.get_mut(name) else { return Ok(Action::Unchanged) };
            file.seen = Some(fingerprint);
            if judged == Judged::Skip && file.judged_sha256.as_ref() == Some(&sha256) {
                return Ok(Action::Unchanged);
            }
            // A rejection stands for other bytes than these; what is said of these comes next.
            file.rejection = None;
            file.judged_sha256 = Some(sha256.clone());
            file.versions.iter().find(|version| version.sha256 == sha256).cloned()
        };
        let version = match kept {
            Some(version) => version,
            None => match validate(&self.host, &wasm).await {
                Ok(version) => Arc::new(version),
                Err(rejection) => {
                    if rejection.may_pass() {
                        self.forget_verdict(name);
                    }
                    return Err(rejection.to_string());
                }
            },
        };
        self.activate(name, version)
    }

    /// The same bytes may be judged otherwise the next time.
    fn forget_verdict(&self, name: &str) {
        if let Some(file) = self.files().get_mut(name) {
            file.judged_sha256 = None;
        }
    }

    fn activate(&self, name: &str, version: Arc<Version>) -> Result<Action, String> {
        let mut files = self.files();
        let id = version.info.id.clone();
        let Some(before) = files.get(name).map(|file| file.active().cloned()) else { return Ok(Action::Unchanged) };
        if let Some(before) = &before {
            if before.info.id != id {
                let old = &before.info.id;
                return Err(format!("{name} serves `{old}`, but this build describes itself as `{id}`: give it a file of its own"));
            }
            if before.sha256 == version.sha256 {
                return Ok(Action::Unchanged);
            }
        }
        let displaced = claim(&mut files, name, &id)?;
        let Some(file) = files.get_mut(name) else { return Ok(Action::Unchanged) };
        // What was rolled back from is not what a later rollback is to go to.
        file.versions.truncate(file.active.map_or(0, |active| active + 1));
        file.versions.retain(|kept| kept.sha256 != version.sha256);
        file.versions.push(Arc::clone(&version));
        if file.versions.len() > KEPT_VERSIONS {
            file.versions.remove(0);
        }
        file.active = Some(file.versions.len() - 1);
        version.warm();
        self.publish(&files);
        drop(files);
        if let Some((other, reason)) = displaced {
            self.announce(EventKind::Rejected, &other, Some(&version), Some(reason));
        }
        let kind = match before {
            Some(before) => {
                before.cool();
                EventKind::Replaced
            }
            None => EventKind::Loaded,
        };
        self.announce(kind, name, Some(&version), None);
        Ok(Action::Changed)
    }

    /// Reads the plugin's file again, even if it has not changed, and waits for the verdict.
    ///
    /// # Errors
    /// When there is no such plugin, or the file is rejected; the version that served before serves on.
    pub async fn reload(self: &Arc<Self>, id: &str) -> Result<Action, RegistryError> {
        let name = {
            let mut files = self.files();
            let (name, file) = find(&mut files, id)?;
            if file.loading {
                return Err(RegistryError::Rejected { id: id.to_owned(), reason: "its file is being loaded right now".into() });
            }
            file.loading = true;
            name
        };
        // In a task of its own: whoever asked may leave, and the file must not stay marked as being loaded.
        let registry = Arc::clone(self);
        let load = tokio::spawn(async move { registry.load(&name, Judged::Again).await });
        let outcome = load.await.unwrap_or_else(|error| Err(error.to_string()));
        outcome.map_err(|reason| RegistryError::Rejected { id: id.to_owned(), reason })
    }

    /// Goes back to the version before the active one. It stays until the file changes or is reloaded.
    ///
    /// # Errors
    /// When there is no such plugin, or no earlier version of it.
    pub fn rollback(&self, id: &str) -> Result<Arc<Version>, RegistryError> {
        let mut files = self.files();
        let (name, file) = find(&mut files, id)?;
        let nothing = || RegistryError::NothingEarlier(id.to_owned());
        let index = file.active.and_then(|index| index.checked_sub(1)).ok_or_else(nothing)?;
        let version = file.versions.get(index).cloned().ok_or_else(nothing)?;
        if let Some(before) = file.active() {
            before.cool();
        }
        file.active = Some(index);
        version.warm();
        self.publish(&files);
        drop(files);
        self.announce(EventKind::RolledBack, &name, Some(&version), None);
        Ok(version)
    }

    fn publish(&self, files: &BTreeMap<String, File>) {
        let active: Active =
            files.values().filter_map(File::active).map(|version| (version.info.id.clone(), Arc::clone(version))).collect();
        (self.publish)(&active);
    }

    fn announce(&self, kind: EventKind, file: &str, version: Option<&Arc<Version>>, reason: Option<String>) {
        // Of a rejection, the version named is the one that serves on, which is not what was rejected.
        let served = version.filter(|_| kind != EventKind::Rejected);
        self.events.say(Event {
            id: 0,
            at: Timestamp::now(),
            kind,
            plugin: version.map(|version| version.info.id.clone()),
            file: Some(file.to_owned()),
            key: None,
            version: served.map(|version| version.info.version.clone()),
            sha256: served.map(|version| version.sha256.clone()),
            reason,
        });
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file's bytes, and what tells that it changed.
struct ReadFile {
    fingerprint: Fingerprint,
    wasm: Vec<u8>,
    sha256: String,
}

fn read(folder: &Path, name: &str) -> Result<ReadFile, String> {
    let unreadable = |error: std::io::Error| format!("the file can't be read: {error}");
    let real = folder.join(name).canonicalize().map_err(unreadable)?;
    if !real.starts_with(folder) {
        return Err("the file is a link that leads out of the plugins folder".to_owned());
    }
    if !real.is_file() {
        return Err("it is not a plain file".to_owned());
    }
    let fingerprint = fingerprint(&real).map_err(unreadable)?;
    if fingerprint.len > MAX_FILE_BYTES {
        return Err(format!("the file has {} MiB; at most {} are read", fingerprint.len >> 20, MAX_FILE_BYTES >> 20));
    }
    let wasm = std::fs::read(&real).map_err(unreadable)?;
    let sha256 = super::validate::sha256_hex(&wasm);
    Ok(ReadFile { fingerprint, wasm, sha256 })
}

/// Takes an id for a file. If another file has it, the one that is named after the id keeps or gets it; gives the file that lost it, and why.
fn claim(files: &mut BTreeMap<String, File>, name: &str, id: &str) -> Result<Option<(String, String)>, String> {
    let holder = files.iter().find(|(other, file)| *other != name && file.active().is_some_and(|active| active.info.id == id));
    let Some(other) = holder.map(|(other, _)| other.clone()) else { return Ok(None) };
    if name != format!("{id}.wasm") {
        return Err(format!("describe() gives the id `{id}`, which {other} has already"));
    }
    let reason = format!("its id `{id}` is {name}'s, which is named after it");
    if let Some(loser) = files.get_mut(&other) {
        loser.versions.iter().for_each(|version| version.cool());
        loser.active = None;
        loser.versions.clear();
        loser.rejection = Some((Timestamp::now(), reason.clone()));
    }
    Ok(Some((other, reason)))
}

/// What to do about bytes that were judged before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judged {
    Skip,
    Again,
}

/// What a look at the folder set in motion.
pub(super) struct Scan {
    pub(super) loads: Vec<tokio::task::JoinHandle<()>>,
    pub(super) still_moving: bool,
}

/// By the id that it serves, else by the file's stem (a plugin that was never good has no id).
fn find<'a>(files: &'a mut BTreeMap<String, File>, id: &str) -> Result<(String, &'a mut File), RegistryError> {
    let name = files
        .iter()
        .find(|(_, file)| file.active().is_some_and(|version| version.info.id == id))
        .or_else(|| files.iter().find(|(name, _)| name.strip_suffix(".wasm") == Some(id)))
        .map(|(name, _)| name.clone());
    let unknown = || RegistryError::Unknown(id.to_owned());
    let name = name.ok_or_else(unknown)?;
    let file = files.get_mut(&name).ok_or_else(unknown)?;
    Ok((name, file))
}

fn fingerprint(path: &Path) -> std::io::Result<Fingerprint> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path)?;
    Ok(Fingerprint {
        len: metadata.len(),
        modified: metadata.modified().ok(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        inode: metadata.ino(),
    })
}

fn is_fresh(fingerprint: &Fingerprint) -> bool {
    fingerprint.modified.and_then(|modified| modified.elapsed().ok()).is_some_and(|age| age < QUIET)
}
