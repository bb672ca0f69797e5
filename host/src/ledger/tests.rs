//! The ledger's way down, on real files and real databases.

#![allow(clippy::unwrap_used)]
use super::journal::Reader;
use super::store::Purge;
use super::*;
use crate::quota::{Seeds, Spent};
use crate::servers::Postgres;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Instant;
use tempfile::TempDir;

const CONFIG: LedgerConfig = LedgerConfig { retention: None, contents: true, contents_retention: None, journal_bytes: 1 << 30 };
/// The columns of `usage_by_hour` that are sums over attempts.
type AttemptSums = [i64; 9];

fn usd(picos: i64) -> Option<Usd> {
    Some(Usd::from_picos(picos))
}

fn attempt(model: &str, cost: Option<Usd>) -> AttemptRow {
    AttemptRow {
        provider: "openai".to_owned(),
        model: model.to_owned(),
        is_listed: true,
        plugin_version: "1.0.0".to_owned(),
        simulated: false,
        status: Some(200),
        error_type: None,
        error: None,
        reason: "first".to_owned(),
        tokens: TokenCounts { input: Some(10), output: Some(5), ..TokenCounts::default() },
        cost,
        duration_us: 1000,
        upstream_us: 900,
        backoff_us: 0,
        provider_request_id: Some("req_1".to_owned()),
    }
}

fn row(cost: i64) -> RequestRow {
    RequestRow {
        id: Uuid::now_v7(),
        request_id: "r".to_owned(),
        at: Timestamp::now().as_microsecond(),
        route: "/v1/chat/completions".to_owned(),
        tenant: "acme".to_owned(),
        key_id: Some("k1".to_owned()),
        reservation: Some(Uuid::now_v7()),
        stream: false,
        status: 200,
        error_type: None,
        error: None,
        provider: Some("openai".to_owned()),
        model: Some("gpt".to_owned()),
        asked_model: Some("gpt".to_owned()),
        plugin_version: Some("1.0.0".to_owned()),
        simulated: false,
        tokens: TokenCounts { input: Some(10), output: Some(5), ..TokenCounts::default() },
        cost: usd(cost),
        saved: None,
        cache: "miss".to_owned(),
        latency_us: 1200,
        upstream_us: 900,
        gateway_us: 300,
        finish_reason: Some("stop".to_owned()),
        attempts: vec![attempt("gpt", usd(cost))],
        prompt: Some("What is new?".to_owned()),
        answer: None,
    }
}

fn line(row: &RequestRow) -> Vec<u8> {
    let mut line = serde_json::to_vec(row).unwrap();
    line.push(b'\n');
    line
}

async fn sqlite(folder: &TempDir) -> Database {
    Database::open(folder.path(), None).await.unwrap()
}

async fn postgres(folder: &TempDir, server: &Postgres) -> Database {
    Database::open(folder.path(), Some(&server.url().into())).await.unwrap()
}

async fn start(folder: &TempDir, database: &Database) -> Ledger {
    Ledger::open(folder.path(), CONFIG, database.clone()).unwrap().start(|_| {}).await
}

async fn number(database: &Database, sql: &'static str) -> i64 {
    match database {
        Database::Sqlite { readers, .. } => sqlx::query_scalar(sql).fetch_one(readers).await.unwrap(),
        Database::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
    }
}

/// Requests by rows, requests by sums, dollars of the sums in picos.
async fn counted(database: &Database) -> (i64, i64, i64) {
    (
        number(database, "SELECT COUNT(*) FROM requests").await,
        number(database, "SELECT CAST(COALESCE(SUM(requests), 0) AS BIGINT) FROM usage_by_hour").await,
        number(database, "SELECT CAST(COALESCE(SUM(cost), 0) AS BIGINT) FROM usage_by_hour").await,
    )
}

fn journal_folder(folder: &TempDir) -> PathBuf {
    folder.path().join("journal")
}

fn segments(folder: &TempDir) -> Vec<PathBuf> {
    let files = std::fs::read_dir(journal_folder(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = files.filter(|path| path.extension().is_some()).collect();
    segments.sort();
    segments
}

fn open(folder: &TempDir) -> Journal {
    Journal::open(&journal_folder(folder), CONFIG.journal_bytes).unwrap()
}

fn read_all(journal: &Journal) -> (Vec<RequestRow>, u64) {
    let (mut reader, mut rows, mut unreadable) = (Reader::default(), Vec::new(), 0);
    while let Some(batch) = reader.read(journal).unwrap() {
        reader.advance(journal, &batch);
        unreadable += batch.unreadable;
        rows.extend(batch.rows);
    }
    journal.delete_spent(Duration::ZERO);
    (rows, unreadable)
}

#[tokio::test]
async fn what_was_recorded_is_in_the_database_once_it_is_flushed() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    let ledger = start(&folder, &database).await;
    for cost in [1, 20, 300] {
        ledger.record(&row(cost)).unwrap();
    }
    ledger.flushed().await;
    assert_eq!(counted(&database).await, (3, 3, 321));
    assert_eq!(ledger.pending_bytes(), 0);
    let spent = Usd::from_picos(321);
    assert_eq!(ledger.sums().spent("k1").await.unwrap(), Spent { day: spent, month: spent, total: spent });
    assert_eq!(number(&database, "SELECT COUNT(*) FROM attempts").await, 3);
    assert_eq!(number(&database, "SELECT COUNT(*) FROM contents WHERE prompt = 'What is new?' AND answer IS NULL").await, 3);
}

#[tokio::test]
async fn closed_it_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    let ledger = start(&folder, &database).await;
    for _ in 0..1000 {
        ledger.record(&row(1)).unwrap();
    }
    ledger.close().await;
    assert_eq!(counted(&database).await, (1000, 1000, 1000));
    assert_eq!(segments(&folder), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn rows_of_a_killed_process_are_replayed_before_the_start_is_over() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    let rows: Vec<_> = (0..1200).map(|_| row(7)).collect();
    let killed = open(&folder);
    for row in &rows {
        killed.append(&line(row)).unwrap();
    }
    drop(killed);
    let (told, replayed) = mpsc::channel();
    let opened = Ledger::open(folder.path(), CONFIG, database.clone()).unwrap();
    let begun = Timestamp::now().as_microsecond();
    let ledger = opened.start(move |row| told.send(row).unwrap()).await;
    assert_eq!(counted(&database).await, (1200, 1200, 8400));
    let replayed: Vec<Replayed> = replayed.try_iter().collect();
    assert!(replayed.iter().all(|row| row.in_sums_at >= begun));
    let expected = rows.iter().zip(&replayed).filter_map(|(row, told)| Replayed::of(row, Some(told.in_sums_at)));
    assert_eq!(replayed, expected.collect::<Vec<_>>());
    ledger.record(&row(1)).unwrap();
    ledger.flushed().await;
    assert_eq!(counted(&database).await, (1201, 1201, 8401));
}

#[tokio::test]
async fn a_row_that_was_written_and_not_yet_deleted_counts_once() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    let rows = [row(1), row(20), row(300)];
    let killed = open(&folder);
    for row in &rows {
        killed.append(&line(row)).unwrap();
    }
    // Twice in one batch too.
    killed.append(&line(&rows[2])).unwrap();
    Store::new(&database).write(&rows[..2]).await.unwrap();
    drop(killed);
    let (told, replayed) = mpsc::channel();
    let opened = Ledger::open(folder.path(), CONFIG, database.clone()).unwrap();
    let _ledger = opened.start(move |row| told.send(row).unwrap()).await;
    assert_eq!(counted(&database).await, (3, 3, 321));
    // All are told, for Redis may know none of them, with since when the sums have them.
    let replayed: Vec<Replayed> = replayed.try_iter().collect();
    assert_eq!(replayed.iter().map(|row| row.cost).collect::<BTreeSet<_>>(), [1, 20, 300].map(Usd::from_picos).into());
    for (row, told) in rows[..2].iter().zip(&replayed) {
        assert_eq!(told.in_sums_at, row.at + 1200);
    }
}

#[tokio::test]
async fn lines_that_are_torn_or_damaged_cost_no_other() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    std::fs::create_dir(journal_folder(&folder)).unwrap();
    let (good, torn) = (line(&row(1)), line(&row(1)));
    let damaged = [good.as_slice(), b"\xff\xfe{\n\n\n", &line(&row(20)), &torn[..torn.len() / 2]].concat();
    std::fs::write(journal_folder(&folder).join("0000000000000007.jsonl"), damaged).unwrap();
    // Whole but for its newline: nobody was told that it is written.
    std::fs::write(journal_folder(&folder).join("0000000000000008.jsonl"), &torn[..torn.len() - 1]).unwrap();
    let ledger = start(&folder, &database).await;
    assert_eq!(counted(&database).await, (2, 2, 21));
    ledger.record(&row(300)).unwrap();
    ledger.close().await;
    assert_eq!(counted(&database).await, (3, 3, 321));
    assert_eq!(segments(&folder), [] as [PathBuf; 0]);
}

#[test]
fn rows_are_read_in_the_order_in_which_they_came_whatever_their_size() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    // Several batches and segments, and lines that are longer than a batch.
    let rows: Vec<_> = (0..1100).map(|i| RequestRow { answer: (i % 200 == 0).then(|| "x".repeat(5 << 20)), ..row(i) }).collect();
    for row in &rows {
        journal.append(&line(row)).unwrap();
    }
    assert!(segments(&folder).len() > 2);
    assert_eq!(read_all(&journal), (rows, 0));
    assert_eq!((journal.pending(), segments(&folder).len()), (0, 1));
}

#[test]
fn a_full_disk_is_told_and_nothing_half_written_stays() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    let (before, after) = (row(1), row(2));
    journal.append(&line(&before)).unwrap();
    assert_eq!(journal.is_writable(), Ok(()));
    // A disk that takes nothing, and whose files can't be cut either.
    journal.replace_file(OpenOptions::new().append(true).open("/dev/full").unwrap());
    let down = journal.append(&line(&row(99))).unwrap_err();
    assert!(down.to_string().contains("No space left"), "{down}");
    assert_eq!(journal.is_writable(), Err(down));
    journal.append(&line(&after)).unwrap();
    assert_eq!(journal.is_writable(), Ok(()));
    assert_eq!(read_all(&journal), (vec![before, after], 0));
}

#[test]
fn whether_it_can_be_written_again_is_found_out_without_a_row() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    journal.append(&line(&row(1))).unwrap();
    journal.replace_file(OpenOptions::new().append(true).open("/dev/full").unwrap());
    journal.append(&line(&row(1))).unwrap_err();
    journal.probe();
    assert_eq!(journal.is_writable(), Ok(()));
    // It left no trace.
    let last = segments(&folder).pop().unwrap();
    assert_eq!(std::fs::metadata(last).unwrap().len(), 0);
    assert_eq!(journal.pending(), line(&row(1)).len() as u64);
}

#[test]
fn what_did_not_fit_is_tried_in_its_size() {
    let folder = TempDir::new().unwrap();
    let journal = Journal::open(&journal_folder(&folder), 100_000).unwrap();
    let large = RequestRow { answer: Some("x".repeat(200_000)), ..row(1) };
    let down = journal.append(&line(&large)).unwrap_err();
    journal.probe();
    assert_eq!(journal.is_writable(), Err(down));
}

/// A small file system of its own, unmounted when dropped.
struct Disk(TempDir);

impl Disk {
    /// Absent: this user may not mount one.
    fn mount() -> Option<Self> {
        let disk = Self(TempDir::new().unwrap());
        if disk.run("mount", &["-t", "tmpfs", "-o", "size=16m", "tmpfs"]) {
            return Some(disk);
        }
        eprintln!("left out: it needs the right to mount a file system");
        None
    }

    fn run(&self, name: &str, arguments: &[&str]) -> bool {
        let output = std::process::Command::new(name).args(arguments).arg(self.0.path()).output();
        output.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run("umount", &["--lazy"]);
    }
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start_is_used_once_it_has_room() {
    let Some(disk) = Disk::mount() else { return };
    let filler = disk.0.path().join("filler");
    let full = std::fs::write(&filler, vec![0; 32 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    comes_up(&disk, || std::fs::remove_file(&filler).unwrap()).await;
}

#[tokio::test]
async fn a_disk_that_is_read_only_at_the_start_is_used_once_it_can_be_written() {
    let Some(disk) = Disk::mount() else { return };
    assert!(disk.run("mount", &["-o", "remount,ro"]));
    comes_up(&disk, || assert!(disk.run("mount", &["-o", "remount,rw"]))).await;
}

async fn comes_up(disk: &Disk, mend: impl FnOnce()) {
    let data = disk.0.path();
    let database = Database::open(data, None).await.unwrap();
    let ledger = Ledger::open(data, CONFIG, database.clone()).unwrap().start(|_| {}).await;
    ledger.record(&RequestRow { answer: Some("x".repeat(100_000)), ..row(1) }).unwrap_err();
    assert!(ledger.is_writable().is_err());
    assert!(ledger.sums().spent("k1").await.is_err());
    mend();
    let taken = async {
        while ledger.record(&row(20)).is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        flushed(&ledger).await;
    };
    timeout(Duration::from_secs(60), taken).await.unwrap();
    assert_eq!(counted(&database).await, (1, 1, 20));
    ledger.close().await;
    database.close().await;
}

#[test]
fn a_segment_that_is_spent_stays_a_little() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder);
    journal.append(&line(&row(1))).unwrap();
    let mut reader = Reader::default();
    let batch = reader.read(&journal).unwrap().unwrap();
    reader.advance(&journal, &batch);
    journal.end_spent(Duration::ZERO);
    assert!(reader.read(&journal).unwrap().is_none());
    journal.delete_spent(Journal::KEPT);
    assert_eq!(segments(&folder).len(), 1);
    journal.delete_spent(Duration::ZERO);
    assert_eq!(segments(&folder), [] as [PathBuf; 0]);
}

#[test]
fn rows_that_wait_are_bounded() {
    let folder = TempDir::new().unwrap();
    let size = line(&row(1)).len() as u64;
    let bound = 64 * size;
    let journal = Journal::open(&journal_folder(&folder), bound).unwrap();
    let taken = (0..1000).filter(|_| journal.append(&line(&row(1))).is_ok()).count();
    assert_eq!(taken, 64);
    let down = journal.is_writable().unwrap_err();
    assert!(down.to_string().contains("LEDGER_JOURNAL_BYTES"), "{down}");
    journal.probe();
    assert!(journal.is_writable().is_err());
    assert_eq!(read_all(&journal).0.len(), 64);
    journal.probe();
    assert_eq!(journal.is_writable(), Ok(()));
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = TempDir::new().unwrap();
    let first = open(&folder);
    let error = Journal::open(&journal_folder(&folder), 1 << 20).unwrap_err().to_string();
    assert!(error.contains("in use by another gateway") && error.contains(folder.path().to_str().unwrap()), "{error}");
    drop(first);
    open(&folder);
}

#[tokio::test]
async fn files_are_the_users_own() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let database = Database::open(&data, None).await.unwrap();
    let ledger = Ledger::open(&data, CONFIG, database).unwrap().start(|_| {}).await;
    ledger.record(&row(1)).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for name in ["gateway.db", "gateway.db-wal", "gateway.db-shm", "journal/lock", "journal/0000000000000001.jsonl"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    assert_eq!([mode(&data), mode(&data.join("journal"))], [0o700; 2]);
}

#[tokio::test]
async fn a_row_that_the_database_refuses_holds_up_no_other() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    let Database::Sqlite { writer, .. } = &database else { unreachable!() };
    let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON requests WHEN NEW.tenant = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END";
    sqlx::query(trigger).execute(writer).await.unwrap();
    let ledger = start(&folder, &database).await;
    for tenant in ["good", "bad", "good"] {
        ledger.record(&RequestRow { tenant: tenant.to_owned(), ..row(1) }).unwrap();
    }
    ledger.flushed().await;
    assert_eq!(counted(&database).await, (2, 2, 2));
}

#[tokio::test]
async fn what_no_column_takes_is_made_to_fit() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    assert_fitted(&database).await;
    let server = Postgres::start();
    assert_fitted(&postgres(&folder, &server).await).await;
}

async fn assert_fitted(database: &Database) {
    let mut odd = row(1);
    odd.model = Some("m\u{1f600}".repeat(5000));
    odd.error = Some("e\0".repeat(5000));
    odd.answer = Some("nul: \0".to_owned());
    odd.tokens.input = Some(u64::MAX);
    odd.attempts[0].tokens.input = Some(u64::MAX);
    odd.attempts[0].model = "n".repeat(5000);
    let again = RequestRow { id: Uuid::now_v7(), ..odd.clone() };
    let mut store = Store::new(database);
    store.write(&[odd]).await.unwrap();
    store.write(&[again]).await.unwrap();
    assert_eq!(number(database, "SELECT COUNT(*) FROM requests WHERE LENGTH(model) < 512 AND LENGTH(error) <= 4096").await, 2);
    assert_eq!(number(database, "SELECT input_tokens FROM usage_by_hour WHERE attempts > 0").await, i64::MAX);
}

#[tokio::test]
async fn old_rows_go_and_the_sums_stay() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    assert_purged(&database).await;
    let server = Postgres::start();
    assert_purged(&postgres(&folder, &server).await).await;
}

async fn assert_purged(database: &Database) {
    let mut store = Store::new(database);
    let rows: Vec<_> = (0..1300).map(|_| row(1)).collect();
    store.write(&rows).await.unwrap();
    let counts = async || {
        let mut counts = Vec::new();
        for sql in ["SELECT COUNT(*) FROM contents", "SELECT COUNT(*) FROM attempts", "SELECT COUNT(*) FROM requests"] {
            counts.push(number(database, sql).await);
        }
        counts
    };
    while store.purge(Purge::Contents(rows[1250].id)).await.unwrap() {}
    assert_eq!(counts().await, [50, 1300, 1300]);
    while store.purge(Purge::Everything(rows[1200].id)).await.unwrap() {}
    assert_eq!(counts().await, [50, 100, 100]);
    assert_eq!(counted(database).await, (100, 1300, 1300));
    let old = RequestRow { at: 7 * 3_600_000_000, ..row(1) };
    store.write(&[old.clone(), RequestRow { id: Uuid::now_v7(), at: 8 * 3_600_000_000, ..old }]).await.unwrap();
    while store.purge(Purge::Hours(8)).await.unwrap() {}
    assert_eq!(counted(database).await.1, 1301);
    assert_eq!(number(database, "SELECT CAST(SUM(requests) AS BIGINT) FROM usage_by_day").await, 1302);
}

#[tokio::test]
async fn a_request_counts_where_its_cost_does() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    let mut store = Store::new(&database);
    let dated = RequestRow { model: Some("gpt-2026-01-01".to_owned()), ..row(1) };
    let unlisted = |model: &str| {
        let attempt = AttemptRow { is_listed: false, ..attempt(model, usd(1)) };
        RequestRow { model: Some(model.to_owned()), attempts: vec![attempt], ..row(1) }
    };
    let hit = RequestRow { cache: "hit".to_owned(), attempts: vec![], cost: usd(0), saved: usd(1), ..row(0) };
    store.write(&[dated, unlisted("made-up-1"), unlisted("made-up-2"), hit]).await.unwrap();
    for (sql, expected) in [
        ("SELECT COUNT(*) FROM usage_by_hour", 2),
        ("SELECT requests * 10 + attempts FROM usage_by_hour WHERE model = 'gpt' AND cache_hits = 1", 21),
        ("SELECT requests * 10 + attempts FROM usage_by_hour WHERE model = 'other'", 22),
    ] {
        assert_eq!(number(&database, sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn sums_are_not_told_while_rows_of_a_killed_process_are_missing() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    let killed = open(&folder);
    killed.append(&line(&row(7))).unwrap();
    drop(killed);
    let Database::Sqlite { writer, .. } = &database else { unreachable!() };
    sqlx::query("ALTER TABLE requests RENAME TO elsewhere").execute(writer).await.unwrap();
    let ledger = start(&folder, &database).await;
    let error = ledger.sums().spent("k1").await.unwrap_err();
    assert!(error.to_string().contains("wait"), "{error}");
    sqlx::query("ALTER TABLE elsewhere RENAME TO requests").execute(writer).await.unwrap();
    flushed(&ledger).await;
    let spent = Usd::from_picos(7);
    assert_eq!(ledger.sums().spent("k1").await.unwrap(), Spent { day: spent, month: spent, total: spent });
}

#[tokio::test]
async fn what_was_spent_is_that_of_the_day_the_month_and_all_time() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    let at = |time: &str| time.parse::<Timestamp>().unwrap();
    let rows = [("2026-03-31T23:59:59Z", 1), ("2026-04-01T00:00:00Z", 20), ("2026-04-09T23:59:59Z", 300), ("2026-04-10T00:00:00Z", 4000)];
    let rows = rows.map(|(time, cost)| RequestRow { at: at(time).as_microsecond(), ..row(cost) });
    Store::new(&database).write(&rows).await.unwrap();
    let spent = spent::of_key(&database, "k1", at("2026-04-10T12:00:00Z")).await.unwrap();
    assert_eq!(spent, Spent { day: Usd::from_picos(4000), month: Usd::from_picos(4320), total: Usd::from_picos(4321) });
}

#[tokio::test]
async fn rows_that_are_too_old_are_deleted_by_the_writer() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    let old = RequestRow { id: Uuid::from_u128(1_000_000_000_000 << 80), ..row(1) };
    Store::new(&database).write(&[old, row(20)]).await.unwrap();
    let config = LedgerConfig { retention: Some(Duration::from_secs(24 * 3600)), ..CONFIG };
    let ledger = Ledger::open(folder.path(), config, database.clone()).unwrap().start(|_| {}).await;
    ledger.record(&row(300)).unwrap();
    ledger.flushed().await;
    // What follows a batch is done before the end.
    ledger.close().await;
    assert_eq!(counted(&database).await, (2, 3, 321));
}

#[tokio::test]
async fn while_postgres_is_down_rows_wait() {
    let mut server = Postgres::start();
    server.kill();
    let folder = TempDir::new().unwrap();
    let database = postgres(&folder, &server).await;
    let ledger = start(&folder, &database).await;
    ledger.record(&row(1)).unwrap();
    assert!(ledger.pending_bytes() > 0);
    server.restart();
    flushed(&ledger).await;
    assert_eq!(counted(&database).await, (1, 1, 1));
    server.kill();
    for _ in 0..600 {
        ledger.record(&row(1)).unwrap();
    }
    server.restart();
    flushed(&ledger).await;
    assert_eq!(counted(&database).await, (601, 601, 601));
    ledger.close().await;
    assert_eq!(segments(&folder), [] as [PathBuf; 0]);
}

/// Waits until an outage is over.
async fn flushed(ledger: &Ledger) {
    let mut progress = ledger.way.progress.subscribe();
    let recorded = ledger.way.journal.written();
    let _ = progress.wait_for(|progress| progress.taken >= recorded).await;
}

#[tokio::test]
async fn the_sums_are_those_of_the_rows_and_of_what_was_recorded() {
    let mut runner = TestRunner::deterministic();
    let folder = TempDir::new().unwrap();
    let server = Postgres::start();
    for database in [sqlite(&folder).await, postgres(&folder, &server).await] {
        let mut store = Store::new(&database);
        let mut recorded: Vec<RequestRow> = Vec::new();
        for _ in 0..16 {
            let mut batch = prop::collection::vec(any_row(), 1..40).new_tree(&mut runner).unwrap().current();
            // Some again.
            batch.extend(recorded.iter().rev().take(3).cloned());
            recorded.extend(batch.iter().take(batch.len() - 3.min(recorded.len())).cloned().collect::<Vec<_>>());
            store.write(&batch).await.unwrap();
        }
        let attempts = recorded.iter().flat_map(|row| &row.attempts);
        let expected = attempts.map(attempt_sums).fold([0; 9], |sums: AttemptSums, add| std::array::from_fn(|i| sums[i] + add[i]));
        assert_eq!(sums(&database, USAGE).await, expected);
        assert_eq!(sums(&database, ATTEMPTS).await, expected);
        let requests = i64::try_from(recorded.len()).unwrap();
        assert_eq!(counted(&database).await, (requests, requests, expected[8]));
        let of_requests = recorded.iter().map(|row| row.cost.map_or(0, Usd::picos)).sum::<i64>();
        assert_eq!(number(&database, "SELECT CAST(COALESCE(SUM(cost), 0) AS BIGINT) FROM requests").await, of_requests);
        let saved = recorded.iter().map(|row| row.saved.map_or(0, Usd::picos)).sum::<i64>();
        assert_eq!(number(&database, "SELECT CAST(SUM(saved) AS BIGINT) FROM usage_by_hour").await, saved);
        let keyless = recorded.iter().filter(|row| row.key_id.is_none()).count();
        assert_eq!(
            number(&database, "SELECT CAST(SUM(requests) AS BIGINT) FROM usage_by_hour WHERE key_id = ''").await,
            i64::try_from(keyless).unwrap()
        );
    }
}

const USAGE: [&str; 9] = [
    "SELECT CAST(SUM(attempts) AS BIGINT) FROM usage_by_hour",
    "SELECT CAST(SUM(input_tokens) AS BIGINT) FROM usage_by_hour",
    "SELECT CAST(SUM(cache_read_tokens) AS BIGINT) FROM usage_by_hour",
    "SELECT CAST(SUM(cache_write_tokens) AS BIGINT) FROM usage_by_hour",
    "SELECT CAST(SUM(output_tokens) AS BIGINT) FROM usage_by_hour",
    "SELECT CAST(SUM(reasoning_tokens) AS BIGINT) FROM usage_by_hour",
    "SELECT CAST(SUM(estimated) AS BIGINT) FROM usage_by_hour",
    "SELECT CAST(SUM(unpriced) AS BIGINT) FROM usage_by_hour",
    "SELECT CAST(SUM(cost) AS BIGINT) FROM usage_by_hour",
];
const ATTEMPTS: [&str; 9] = [
    "SELECT COUNT(*) FROM attempts",
    "SELECT CAST(SUM(input_tokens) AS BIGINT) FROM attempts",
    "SELECT CAST(SUM(cache_read_tokens) AS BIGINT) FROM attempts",
    "SELECT CAST(SUM(cache_write_tokens) AS BIGINT) FROM attempts",
    "SELECT CAST(SUM(output_tokens) AS BIGINT) FROM attempts",
    "SELECT CAST(SUM(reasoning_tokens) AS BIGINT) FROM attempts",
    "SELECT COUNT(*) FROM attempts WHERE tokens_estimated",
    "SELECT COUNT(*) FROM attempts WHERE cost IS NULL",
    "SELECT CAST(SUM(cost) AS BIGINT) FROM attempts",
];

async fn sums(database: &Database, columns: [&'static str; 9]) -> AttemptSums {
    let mut sums = AttemptSums::default();
    for (sum, column) in sums.iter_mut().zip(columns) {
        *sum = number(database, column).await;
    }
    sums
}

fn attempt_sums(attempt: &AttemptRow) -> AttemptSums {
    let TokenCounts { input, cache_read, cache_write, output, reasoning, estimated } = attempt.tokens;
    let count = |count: Option<u64>| i64::try_from(count.unwrap_or(0)).unwrap();
    let cost = attempt.cost.map_or(0, Usd::picos);
    let estimated = i64::from(estimated);
    [
        1,
        count(input),
        count(cache_read),
        count(cache_write),
        count(output),
        count(reasoning),
        estimated,
        i64::from(attempt.cost.is_none()),
        cost,
    ]
}

prop_compose! {
    fn any_tokens()(counts in prop::array::uniform5(prop::option::of(0..1_000_000_u64)), estimated in any::<bool>()) -> TokenCounts {
        let [input, cache_read, cache_write, output, reasoning] = counts;
        TokenCounts { input, cache_read, cache_write, output, reasoning, estimated }
    }
}

prop_compose! {
    fn any_attempt()(model in "[ab]", tokens in any_tokens(), cost in prop::option::of(0..1_000_000_000_000_000_i64)) -> AttemptRow {
        AttemptRow { tokens, ..attempt(&model, cost.and_then(usd)) }
    }
}

prop_compose! {
    fn any_row()(
        attempts in prop::collection::vec(any_attempt(), 0..4),
        tenant in "[ab]",
        key_id in prop::option::of("[ab]"),
        status in prop::sample::select(vec![200_u16, 429, 499, 502]),
        saved in prop::option::of(0..1_000_000_000_000_i64),
        hours in 0..48_i64,
    ) -> RequestRow {
        let cost = attempts.iter().map(|attempt| attempt.cost).sum::<Option<Usd>>();
        let at = Timestamp::now().as_microsecond() - hours * 3_600_000_000;
        RequestRow { id: Uuid::now_v7(), at, tenant, key_id, status, cost, saved: saved.and_then(usd), attempts, ..row(0) }
    }
}

proptest! {
    #[test]
    fn what_is_in_the_journal_is_the_row(row in any_row()) {
        prop_assert_eq!(serde_json::from_slice::<RequestRow>(&line(&row)).unwrap(), row);
    }
}

/// No assertion on time: what it takes is printed (`--nocapture`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_fast_it_is() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(&folder).await;
    let ledger = start(&folder, &database).await;
    let rows: Vec<_> = (0..5000).map(|_| RequestRow { prompt: None, ..row(1) }).collect();
    let begun = Instant::now();
    for row in &rows {
        ledger.record(row).unwrap();
    }
    let recorded = begun.elapsed();
    flushed(&ledger).await;
    let written = begun.elapsed();
    println!("record: {:.1} us each", recorded.as_secs_f64() * 1e6 / rows.len() as f64);
    println!("SQLite: {:.0} rows/s", rows.len() as f64 / written.as_secs_f64());
    assert_eq!(counted(&database).await.0, 5000);
}
