//! The journal: rows on their way into the database, as lines of JSON in files of their own.
//!
//! Owns: the folder (one process has it), its segments, how much of them waits, what happens when they can't be written. Not here: what becomes of the rows (`writer`, `store`).
//!
//! A row is one `write(2)` of one line. What the kernel has outlives the process, however it ends, so nothing waits for the disk: that is told to keep it once a second, and a loss of power
//! may take what was written since. A line that could not be written whole is cut off again.
//! Segments are read from the oldest on, and deleted a little after all of one is in the database: others who were told of its rows had their time then. Where reading has come to is kept nowhere: after a crash what is left is read again from its
//! beginning, and the rows' ids tell which of them were in the database already.
//!
//! A disk that is full or read-only at the start is what it is later: rows are lost, which is told, and it is tried again.

use super::{LedgerDown, RequestRow};
use crate::database::is_fault_of_disk;
use crate::metrics;
use anyhow::Context;
use std::collections::VecDeque;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const SEGMENT_BYTES: u64 = 8 << 20;
/// A segment of which nothing waits any more is ended when it has as much, or is old: a crash then leaves little to be read again, and nothing that is older than the rows that are kept.
const SPENT_SEGMENT_BYTES: u64 = 1 << 20;
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: u64 = 4 << 20;
/// More than what may be left of a block on a disk that is full.
const PROBE_BYTES: usize = 16 << 10;
const LARGEST_PROBE: usize = 1 << 20;
const WARN_EVERY: Duration = Duration::from_secs(10);
const EXTENSION: &str = "jsonl";

#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    /// Of rows that wait, in bytes.
    bound: u64,
    /// The first segment of this process: those before it are replayed.
    first: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Locked as long as this process has the folder. Absent: the disk did not allow for it yet, and nothing is written.
    lock: Option<File>,
    /// Oldest first. Nothing is added to these.
    closed: VecDeque<Closed>,
    /// Oldest first: those of which nothing waits, still to be deleted.
    spent: VecDeque<Spent>,
    /// Absent: it is begun with the next row.
    current: Option<Segment>,
    next: u64,
    /// Bytes of all lines that were there at the start or came since.
    written: u64,
    /// Of these, those that need no more to be done about.
    taken: u64,
    /// Files that have something which the disk was not told to keep.
    unsynced: Vec<Arc<File>>,
    trouble: Trouble,
}

#[derive(Debug)]
struct Closed {
    number: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Spent {
    number: u64,
    since: Instant,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    file: Arc<File>,
    /// Of whole lines.
    bytes: u64,
    begun: Instant,
}

/// Rows can't be written down, or could not.
#[derive(Debug, Default)]
struct Trouble {
    /// Absent: they can, as far as is known.
    reason: Option<String>,
    /// Rows, since it was last said that it is over.
    lost: u64,
    /// Bytes of the largest of them since then.
    largest: usize,
    warned: Option<Instant>,
    /// Whether it is still to be said that it is over.
    is_told: bool,
}

/// The oldest segment, as far as it may be read.
struct Front {
    number: u64,
    end: u64,
    is_closed: bool,
}

/// Where reading has come to in the oldest segment.
#[derive(Debug, Default)]
pub(super) struct Reader {
    offset: u64,
    file: Option<File>,
}

/// Rows that were read together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub rows: Vec<RequestRow>,
    /// Lines that are no rows: torn by a crash, or damaged.
    pub unreadable: u64,
    /// Written by an earlier process.
    pub is_replayed: bool,
    bytes: u64,
}

impl Journal {
    /// Of a segment of which nothing waits any more, when it is ended.
    pub const SPENT_AGE: Duration = Duration::from_secs(60);
    /// How long a segment stays that is spent: as long as Redis is told of settlements, when all is well.
    pub const KEPT: Duration = Duration::from_secs(5);

    /// Takes the folder, and finds what an earlier process left in it. On a disk that is full or read-only it begins in trouble.
    ///
    /// # Errors
    /// One sentence for the operator: the folder can't be used, or another process has it.
    pub fn open(folder: &Path, bound: u64) -> anyhow::Result<Self> {
        let unusable = || format!("the ledger's journal {} can't be used (DATA_DIR)", folder.display());
        let mut trouble = Trouble::default();
        let lock = match lock(folder) {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == ErrorKind::WouldBlock => anyhow::bail!("{error}"),
            Err(error) if is_fault_of_disk(&error) => {
                trouble.begin(format!("{}: {error}", folder.display()));
                None
            }
            Err(error) => return Err(error).with_context(unusable),
        };
        let closed = match segments(folder) {
            Err(error) if lock.is_none() && error.kind() == ErrorKind::NotFound => VecDeque::new(),
            found => found.with_context(unusable)?,
        };
        let first = closed.back().map_or(1, |last| last.number.saturating_add(1));
        let written = closed.iter().map(|segment| segment.bytes).sum();
        let state =
            State { lock, closed, spent: VecDeque::new(), current: None, next: first, written, taken: 0, unsynced: Vec::new(), trouble };
        Ok(Self { folder: folder.to_owned(), bound, first, state: Mutex::new(state) })
    }

    /// Adds a line, its newline included.
    ///
    /// # Errors
    /// When it can't be written; that is counted, and warned of now and then.
    pub fn append(&self, line: &[u8]) -> Result<(), LedgerDown> {
        let mut state = self.state();
        match self.try_append(&mut state, line) {
            Ok(()) => {
                state.trouble.end();
                Ok(())
            }
            Err(reason) => Err(state.trouble.refuse(reason, line.len())),
        }
    }

    pub fn is_writable(&self) -> Result<(), LedgerDown> {
        self.state().trouble.reason.clone().map_or(Ok(()), |reason| Err(LedgerDown(reason)))
    }

    /// Where rows could not be written, looks whether they can be again: as much as the largest of them.
    pub fn probe(&self) {
        let mut state = self.state();
        if state.trouble.reason.is_none() {
            return;
        }
        // Lines without a row, which a reader passes over, should they not go away again.
        let lines = vec![b'\n'; state.trouble.largest.clamp(PROBE_BYTES, LARGEST_PROBE)];
        match self.try_append(&mut state, &lines) {
            Ok(()) => {
                state.retract(lines.len());
                state.trouble.end();
            }
            Err(reason) => state.trouble.reason = Some(reason),
        }
    }

    /// Has the disk keep what was written. Waits for it, and keeps no row waiting.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync(&self) -> io::Result<()> {
        let files = std::mem::take(&mut self.state().unsynced);
        files.iter().try_for_each(|file| file.sync_data())
    }

    /// Bytes of all rows until now.
    pub fn written(&self) -> u64 {
        self.state().written
    }

    /// Bytes of the rows that wait for the database.
    pub fn pending(&self) -> u64 {
        self.state().pending()
    }

    /// Whether there is something to read.
    pub fn has_work(&self) -> bool {
        let state = self.state();
        state.pending() > 0 || !state.closed.is_empty()
    }

    /// Ends the segment in use if nothing of it waits, and it is `old` enough or large.
    pub fn end_spent(&self, old: Duration) {
        let mut state = self.state();
        let is_spent = |segment: &Segment| segment.bytes > 0 && (segment.bytes >= SPENT_SEGMENT_BYTES || segment.begun.elapsed() >= old);
        if state.pending() == 0 && state.current.as_ref().is_some_and(is_spent) {
            state.end_current();
        }
    }

    /// Deletes segments of which nothing waits any more for so long.
    pub fn delete_spent(&self, old: Duration) {
        let next = || self.state().spent.pop_front_if(|spent| spent.since.elapsed() >= old);
        while let Some(Spent { number, .. }) = next() {
            // What stays is read again at the next start, and known by its ids.
            match std::fs::remove_file(self.path(number)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(%error, segment = %self.path(number).display(), "a segment of the ledger's journal can't be deleted");
                }
                _ => {}
            }
        }
    }

    fn try_append(&self, state: &mut State, line: &[u8]) -> Result<(), String> {
        let bytes = line.len() as u64;
        if state.pending().saturating_add(bytes) > self.bound {
            return Err(format!(
                "{} bytes of rows wait for the database, and LEDGER_JOURNAL_BYTES allows for {}",
                state.pending(),
                self.bound
            ));
        }
        if state.current.as_ref().is_some_and(|segment| segment.bytes >= SEGMENT_BYTES) {
            state.end_current();
        }
        let segment = match &mut state.current {
            Some(segment) => segment,
            none => {
                let begun = self.begin(&mut state.lock, state.next);
                let segment = begun.map_err(|error| format!("{} can't take a file: {error}", self.folder.display()))?;
                state.next = state.next.saturating_add(1);
                none.insert(segment)
            }
        };
        match write_at_once(&segment.file, line) {
            Ok(()) => {
                segment.bytes += bytes;
                state.written += bytes;
                if state.unsynced.last().is_none_or(|last| !Arc::ptr_eq(last, &segment.file)) {
                    state.unsynced.push(Arc::clone(&segment.file));
                }
                Ok(())
            }
            Err(error) => {
                state.cut_off();
                Err(format!("{}: {error}", self.folder.display()))
            }
        }
    }

    fn begin(&self, held: &mut Option<File>, number: u64) -> io::Result<Segment> {
        if held.is_none() {
            *held = Some(lock(&self.folder)?);
        }
        let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(self.path(number))?;
        Ok(Segment { number, file: Arc::new(file), bytes: 0, begun: Instant::now() })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016}.{EXTENSION}"))
    }

    fn front(&self) -> Option<Front> {
        let state = self.state();
        let closed = state.closed.front().map(|segment| Front { number: segment.number, end: segment.bytes, is_closed: true });
        closed.or_else(|| state.current.as_ref().map(|segment| Front { number: segment.number, end: segment.bytes, is_closed: false }))
    }

    fn pass_front(&self) {
        let mut state = self.state();
        if let Some(Closed { number, .. }) = state.closed.pop_front() {
            state.spent.push_back(Spent { number, since: Instant::now() });
        }
    }

    /// A panic while it was held left at worst one row uncounted.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn pending(&self) -> u64 {
        self.written.saturating_sub(self.taken)
    }

    fn end_current(&mut self) {
        if let Some(Segment { number, bytes, .. }) = self.current.take() {
            self.closed.push_back(Closed { number, bytes });
        }
    }

    /// Takes the line back that was added last.
    fn retract(&mut self, bytes: usize) {
        self.written = self.written.saturating_sub(bytes as u64);
        if let Some(segment) = &mut self.current {
            segment.bytes = segment.bytes.saturating_sub(bytes as u64);
        }
        self.cut_off();
    }

    /// Cuts off what is no whole line. A file that can't be cut gets no further lines.
    fn cut_off(&mut self) {
        if self.current.as_ref().is_some_and(|segment| segment.file.set_len(segment.bytes).is_err()) {
            self.end_current();
        }
    }
}

impl Trouble {
    /// A row is lost. On a disk that is almost full this comes and goes with the size of rows.
    fn refuse(&mut self, reason: String, bytes: usize) -> LedgerDown {
        metrics::ledger_lost(1);
        self.lost += 1;
        self.largest = self.largest.max(bytes);
        self.begin(reason.clone());
        LedgerDown(reason)
    }

    /// Warns of it now and then.
    fn begin(&mut self, reason: String) {
        if self.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            self.warned = Some(Instant::now());
            self.is_told = true;
            tracing::error!(
                reason,
                lost = self.lost,
                "REQUESTS ARE NOT IN THE LEDGER: make room on the disk of DATA_DIR and see that it can be written, or bring the database back"
            );
        }
        self.reason = Some(reason);
    }

    fn end(&mut self) {
        self.largest = 0;
        if self.reason.take().is_some() && std::mem::take(&mut self.is_told) {
            tracing::warn!(lost = std::mem::take(&mut self.lost), "the ledger can be written again");
        }
    }
}

impl Reader {
    /// The next rows; the same again until [`Reader::advance`] has passed them. Absent: there are none now.
    ///
    /// # Errors
    /// When a segment can't be read. It is worth another try.
    pub fn read(&mut self, journal: &Journal) -> io::Result<Option<Batch>> {
        loop {
            let Some(front) = journal.front() else { return Ok(None) };
            if self.offset < front.end {
                return self.read_batch(journal, &front).map(Some);
            }
            if !front.is_closed {
                return Ok(None);
            }
            journal.pass_front();
            *self = Self::default();
        }
    }

    /// Passes rows that need no more to be done about.
    pub fn advance(&mut self, journal: &Journal, batch: &Batch) {
        self.offset += batch.bytes;
        journal.state().taken += batch.bytes;
    }

    fn read_batch(&mut self, journal: &Journal, front: &Front) -> io::Result<Batch> {
        let is_replayed = front.number < journal.first;
        match self.read_lines(journal, front) {
            Ok(lines) => Ok(Batch { is_replayed, ..parse(&lines) }),
            // Somebody else deleted it or cut it short.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => {
                if !front.is_closed {
                    journal.state().end_current();
                }
                Ok(Batch { unreadable: 1, is_replayed, bytes: front.end - self.offset, ..Batch::default() })
            }
            Err(error) => Err(error),
        }
    }

    /// Some whole lines, or what is left.
    fn read_lines(&mut self, journal: &Journal, front: &Front) -> io::Result<Vec<u8>> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(journal.path(front.number))?),
        };
        let left = front.end - self.offset;
        let mut size = left.min(BATCH_BYTES);
        loop {
            let mut lines = vec![0; usize::try_from(size).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut lines, self.offset)?;
            if size == left {
                return Ok(lines);
            }
            if let Some(last) = lines.iter().rposition(|byte| *byte == b'\n') {
                lines.truncate(last + 1);
                return Ok(lines);
            }
            // One line is longer.
            size = left.min(size * 2);
        }
    }
}

impl Batch {
    /// Whether more rows are there, most likely.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES / 2
    }
}

fn parse(lines: &[u8]) -> Batch {
    let mut batch = Batch::default();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        if batch.rows.len() >= BATCH_ROWS {
            break;
        }
        batch.bytes += line.len() as u64;
        match line.strip_suffix(b"\n").map(<[u8]>::trim_ascii) {
            Some([]) => {}
            Some(line) => match serde_json::from_slice(line) {
                Ok(row) => batch.rows.push(row),
                Err(_) => batch.unreadable += 1,
            },
            None => batch.unreadable += 1,
        }
    }
    batch
}

fn write_at_once(mut file: &File, line: &[u8]) -> io::Result<()> {
    match file.write(line)? {
        written if written == line.len() => Ok(()),
        written => Err(io::Error::new(ErrorKind::StorageFull, format!("it took {written} of {} bytes", line.len()))),
    }
}

/// Given back by word: closing the file is not enough while a process that is just being started has it too.
impl Drop for Journal {
    fn drop(&mut self) {
        if let Some(lock) = self.state().lock.take() {
            let _ = lock.unlock();
        }
    }
}

/// Takes the folder for this process, and makes it where it is missing.
///
/// # Errors
/// `WouldBlock`: another process has it.
fn lock(folder: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let lock = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::Error(error)) => Err(error),
        Err(TryLockError::WouldBlock) => {
            let in_use =
                format!("{} is in use by another gateway: give each process a data folder of its own (DATA_DIR)", folder.display());
            Err(io::Error::new(ErrorKind::WouldBlock, in_use))
        }
    }
}

fn segments(folder: &Path) -> io::Result<VecDeque<Closed>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == EXTENSION)) {
            found.push(Closed { number, bytes: entry.metadata()?.len() });
        }
    }
    found.sort_by_key(|segment| segment.number);
    Ok(found.into())
}

#[cfg(test)]
impl Journal {
    /// Has rows written to another file from now on, as if the disk had changed under it.
    pub fn replace_file(&self, file: File) {
        if let Some(segment) = &mut self.state().current {
            segment.file = Arc::new(file);
        }
    }
}
