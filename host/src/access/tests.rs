//! Keys through a real database: SQLite in a folder of its own, and Postgres.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::servers::Postgres;
use axum::http::HeaderValue;
use secrecy::ExposeSecret;
use std::path::Path;
use tempfile::TempDir;

const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn sqlite(folder: &Path) -> Database {
    Database::open(folder, None).await.unwrap()
}

async fn open(folder: &TempDir) -> Access {
    Access::start(sqlite(folder.path()).await, false, Arc::default()).await
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn bearer_of(secret: &SecretString) -> HeaderMap {
    headers(&[("authorization", &format!("Bearer {}", secret.expose_secret()))])
}

/// The id of the key that a secret is taken for.
fn id(access: &Access, secret: &SecretString) -> Result<Arc<str>, AccessError> {
    access.identify(&bearer_of(secret)).map(|caller| Arc::clone(&caller.key.unwrap().id))
}

fn nothing() -> KeyChanges {
    KeyChanges::default()
}

#[tokio::test]
async fn a_key_is_known_again_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let settings = KeyChanges {
        name: Some(Some("CI".into())),
        models: Some(vec!["openai/*".into()]),
        rpm: Some(Some(60)),
        budget_day: Some(crate::money::Usd::from_f64(0.1)),
        expires_at: Some(Some("2100-01-01T00:00:00Z".parse().unwrap())),
        ..nothing()
    };
    let new = open(&folder).await.create("acme", settings).await.unwrap();
    let access = open(&folder).await;
    let caller = access.identify(&bearer_of(&new.secret)).unwrap();
    assert_eq!((&*caller.tenant, caller.key.as_ref()), ("acme", Some(&new.key)));
    assert!(new.key.id.starts_with("key_") && new.key.limits.rpm == Some(60), "{:?}", new.key);
    assert_eq!(access.usable_keys(), Some(1));
}

#[tokio::test]
async fn a_key_is_found_in_every_header_that_clients_use() {
    let folder = TempDir::new().unwrap();
    let access = open(&folder).await;
    let new = access.create("acme", nothing()).await.unwrap();
    let secret = new.secret.expose_secret();
    for pairs in [
        &[("authorization", format!("bearer  {secret} "))] as &[(&'static str, String)],
        &[("x-api-key", secret.to_owned())],
        &[("x-goog-api-key", secret.to_owned())],
        &[("api-key", secret.to_owned())],
        &[("authorization", "Bearer sk-something".to_owned()), ("x-api-key", secret.to_owned())],
        &[("authorization", format!("Bearer {secret}")), ("x-api-key", "sk-something".to_owned())],
    ] {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(access.identify(&headers(&pairs)).unwrap().key, Some(Arc::clone(&new.key)), "{:?}", pairs.len());
    }
    let basic = headers(&[("authorization", &format!("Basic {secret}"))]);
    assert_eq!(access.identify(&basic).unwrap_err(), AccessError::NoKey);
}

#[tokio::test]
async fn callers_without_a_key_are_let_in_only_where_that_is_set_and_a_bad_key_nowhere() {
    let folder = TempDir::new().unwrap();
    for allowed in [true, false] {
        let access = Access::start(sqlite(folder.path()).await, allowed, Arc::default()).await;
        for pairs in [&[] as &[(&'static str, &str)], &[("authorization", "Bearer sk-something")], &[("x-api-key", "anything")]] {
            let caller = access.identify(&headers(pairs)).map(|caller| (caller.tenant, caller.key));
            let expected = if allowed { Ok((DEFAULT_TENANT.into(), None)) } else { Err(AccessError::NoKey) };
            assert_eq!(caller, expected, "{pairs:?}");
        }
        let unknown = ShortId::generate(&mut rand::rng()).new_secret(&mut rand::rng());
        for bad in ["gw-", "gw-nonsense", unknown.expose_secret()] {
            assert_eq!(access.identify(&headers(&[("x-api-key", bad)])).unwrap_err(), AccessError::Unknown, "{bad}");
        }
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_told_so() {
    let folder = TempDir::new().unwrap();
    let access = Access::start(sqlite(folder.path()).await, true, Arc::default()).await;
    let new = access.create("acme", nothing()).await.unwrap();
    let revoked = access.revoke(&new.key.id).await.unwrap();
    assert_eq!(id(&access, &new.secret), Err(AccessError::Revoked(Arc::clone(&new.key.id))));
    assert_eq!(access.revoke(&new.key.id).await.unwrap(), revoked, "again changes nothing");
    assert!(matches!(access.update(&new.key.id, nothing()).await, Err(KeyError::Revoked(_))));
    assert!(matches!(access.rotate(&new.key.id, Duration::ZERO).await, Err(KeyError::Revoked(_))));
    assert!(matches!(access.revoke("key_00000000").await, Err(KeyError::Unknown(_))));
    let other = ShortId::of_id(&new.key.id).unwrap().new_secret(&mut rand::rng());
    assert_eq!(id(&access, &other), Err(AccessError::Unknown), "who has not the secret is not told");
}

#[tokio::test]
async fn a_rotated_key_has_a_new_secret_and_the_old_one_has_its_grace() {
    let folder = TempDir::new().unwrap();
    let access = open(&folder).await;
    let first = access.create("acme", nothing()).await.unwrap();
    let key = &first.key.id;
    let second = access.rotate(key, Duration::ZERO).await.unwrap();
    assert_eq!((id(&access, &first.secret), id(&access, &second.secret)), (Err(AccessError::Unknown), Ok(Arc::clone(key))));
    let third = access.rotate(key, Duration::from_secs(60)).await.unwrap();
    for (secret, counts) in [(&first.secret, false), (&second.secret, true), (&third.secret, true)] {
        assert_eq!(id(&access, secret).is_ok(), counts);
        assert_eq!(id(&open(&folder).await, secret).is_ok(), counts, "after a restart");
    }
    let (ring, until) = (access.ring.load(), third.former_until.unwrap());
    assert_eq!(ring.find(second.secret.expose_secret().as_bytes(), until).unwrap_err(), AccessError::Unknown, "when the grace is over");
    assert!(ring.find(third.secret.expose_secret().as_bytes(), until).is_ok());
}

#[tokio::test]
async fn a_key_that_expires_is_refused_from_then_on() {
    let folder = TempDir::new().unwrap();
    let access = open(&folder).await;
    let end: Timestamp = "2100-01-01T00:00:00Z".parse().unwrap();
    let new = access.create("acme", KeyChanges { expires_at: Some(Some(end)), ..nothing() }).await.unwrap();
    let find = |now| access.ring.load().find(new.secret.expose_secret().as_bytes(), now).map(|key| Arc::clone(&key.id));
    assert_eq!(find(Timestamp::now()), Ok(Arc::clone(&new.key.id)));
    assert_eq!(find(end), Err(AccessError::Expired(Arc::clone(&new.key.id), end)));
    access.update(&new.key.id, KeyChanges { expires_at: Some(None), ..nothing() }).await.unwrap();
    let find = access.ring.load().find(new.secret.expose_secret().as_bytes(), end).map(|key| Arc::clone(&key.id));
    assert_eq!(find, Ok(Arc::clone(&new.key.id)));
}

#[tokio::test]
async fn a_caller_acts_for_its_own_tenant_or_with_a_key_of_all_for_any() {
    let folder = TempDir::new().unwrap();
    let access = open(&folder).await;
    let (own, any) = (access.create("acme", nothing()).await.unwrap(), access.create(ANY_TENANT, nothing()).await.unwrap());
    let caller = |new: &NewKey| access.identify(&bearer_of(&new.secret)).unwrap();
    for (caller, tenant, may) in [
        (Caller::default(), DEFAULT_TENANT, true),
        (Caller::default(), "acme", false),
        (caller(&own), "acme", true),
        (caller(&own), DEFAULT_TENANT, false),
        (caller(&any), DEFAULT_TENANT, true),
        (caller(&any), "acme", true),
        (caller(&any), "*", false),
        (caller(&any), "A b", false),
        (caller(&any), "", false),
    ] {
        match caller.acting_for(tenant) {
            Ok(acting) => assert!(may && &*acting.tenant == tenant, "{acting:?}"),
            Err(error) => assert!(!may && matches!(error, AccessError::Tenant(_)), "{tenant}: {error}"),
        }
    }
    assert_eq!(&*caller(&any).tenant, DEFAULT_TENANT);
}

#[tokio::test]
async fn lists_are_paged_from_newer_to_older_and_show_no_secret() {
    let folder = TempDir::new().unwrap();
    let access = open(&folder).await;
    let mut made = Vec::new();
    for tenant in ["a", "b", "a", "b", "a"] {
        made.push(access.create(tenant, nothing()).await.unwrap());
    }
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let (page, next) = access.list(None, after.as_ref(), 2).await.unwrap();
        assert!(!page.is_empty() && page.len() <= 2);
        listed.extend(page);
        let Some(next) = next else { break };
        after = Some(KeyCursor::parse(&next.to_string()).unwrap());
    }
    listed.reverse();
    assert_eq!(listed, made.iter().map(|new| Arc::clone(&new.key)).collect::<Vec<_>>());
    let (of_a, next) = access.list(Some("a"), None, 3).await.unwrap();
    assert!(of_a.len() == 3 && next.is_none() && of_a.iter().all(|key| &*key.tenant == "a"));
    let (events, _) = access.events.since(0);
    let shown = format!("{listed:?} {access:?} {made:?} {events:?}");
    for new in &made {
        assert!(!shown.contains(new.secret.expose_secret()));
        assert!(shown.contains(&*new.key.id));
    }
}

#[tokio::test]
async fn what_another_gateway_changes_is_seen() {
    let folder = TempDir::new().unwrap();
    another_gateway_sees(sqlite(folder.path()).await, sqlite(folder.path()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_share_keys_by_postgres() {
    let (folder, server) = (TempDir::new().unwrap(), Postgres::start());
    let url = server.url().into();
    let database = async || Database::open(folder.path(), Some(&url)).await.unwrap();
    another_gateway_sees(database().await, database().await).await;
    let access = Access::start(database().await, false, Arc::default()).await;
    let settings = KeyChanges { expires_at: Some(Some("2100-01-01T00:00:00Z".parse().unwrap())), ..nothing() };
    let new = access.create("b", settings).await.unwrap();
    let rotated = access.rotate(&new.key.id, Duration::from_secs(60)).await.unwrap();
    let restarted = Access::start(database().await, false, Arc::default()).await;
    assert!(id(&restarted, &new.secret).is_ok() && id(&restarted, &rotated.secret).is_ok());
    let (newest, next) = access.list(None, None, 1).await.unwrap();
    let (older, _) = access.list(None, next.as_ref(), 10).await.unwrap();
    assert_eq!((newest, older.len()), (vec![new.key], 2));
    changes_at_once(&access, &restarted).await;
}

async fn another_gateway_sees(one: Database, other: Database) {
    let one = Access::start(one, false, Arc::default()).await;
    let other = Access::start(other, false, Arc::default()).await;
    let new = one.create("acme", nothing()).await.unwrap();
    let own = other.create("acme", nothing()).await.unwrap();
    other.refresh().await.unwrap();
    assert!(id(&other, &new.secret).is_ok(), "a change that is older than its own is not missed");
    one.update(&new.key.id, KeyChanges { rpm: Some(Some(7)), ..nothing() }).await.unwrap();
    other.update(&new.key.id, KeyChanges { tpm: Some(Some(9)), ..nothing() }).await.unwrap();
    one.refresh().await.unwrap();
    other.refresh().await.unwrap();
    for access in [&one, &other] {
        let limits = access.identify(&bearer_of(&new.secret)).unwrap().key.unwrap().limits;
        assert_eq!((limits.rpm, limits.tpm), (Some(7), Some(9)), "no change is lost to another");
    }
    let (kept, lost) = (other.rotate(&own.key.id, Duration::ZERO).await.unwrap(), own);
    other.revoke(&new.key.id).await.unwrap();
    one.refresh().await.unwrap();
    assert!(matches!(id(&one, &new.secret), Err(AccessError::Revoked(_))));
    assert_eq!((id(&one, &lost.secret), id(&one, &kept.secret)), (Err(AccessError::Unknown), Ok(Arc::clone(&lost.key.id))));
    assert_eq!(one.list(Some("acme"), None, 10).await.unwrap(), other.list(None, None, 10).await.unwrap());
}

#[tokio::test]
async fn changes_at_once_all_count() {
    let folder = TempDir::new().unwrap();
    changes_at_once(&open(&folder).await, &open(&folder).await).await;
}

async fn changes_at_once(one: &Access, other: &Access) {
    let made = futures_util::future::join_all((0..20).map(|at| if at % 2 == 0 { one } else { other }.create("acme", nothing()))).await;
    one.refresh().await.unwrap();
    other.refresh().await.unwrap();
    for new in made {
        let new = new.unwrap();
        assert!(id(one, &new.secret).is_ok() && id(other, &new.secret).is_ok());
    }
}

#[tokio::test]
async fn a_gateway_that_follows_learns_of_changes_by_itself() {
    let folder = TempDir::new().unwrap();
    let (one, other, stop) = (open(&folder).await, Arc::new(open(&folder).await), CancellationToken::new());
    let follower = tokio::spawn({
        let (other, stop) = (Arc::clone(&other), stop.clone());
        async move { other.follow(stop).await }
    });
    let new = one.create("acme", nothing()).await.unwrap();
    let seen = async {
        while id(&other, &new.secret).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.unwrap();
    stop.cancel();
    follower.await.unwrap();
}

#[tokio::test]
async fn without_its_database_it_lets_in_whom_it_knows_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(folder.path()).await;
    let access = Access::start(database.clone(), true, Arc::default()).await;
    let new = access.create("acme", nothing()).await.unwrap();
    let Database::Sqlite { writer, readers } = &database else { unreachable!() };
    writer.close().await;
    readers.close().await;
    assert!(access.refresh().await.is_err() && id(&access, &new.secret).is_ok());
    assert!(matches!(access.revoke(&new.key.id).await, Err(KeyError::Store(_))));
    assert!(id(&access, &new.secret).is_ok(), "what was not written does not count");
    let started = Access::start(database, true, Arc::default()).await;
    assert_eq!(id(&started, &new.secret), Err(AccessError::Unavailable));
    assert!(started.identify(&HeaderMap::new()).is_ok());
    assert!(started.describe(LOOPBACK).contains("can't be read yet"));
}

#[tokio::test]
async fn a_key_that_cannot_be_read_opens_nothing() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(folder.path()).await;
    let access = Access::start(database.clone(), false, Arc::default()).await;
    let (good, bad) = (access.create("a", nothing()).await.unwrap(), access.create("a", nothing()).await.unwrap());
    let Database::Sqlite { writer, .. } = &database else { unreachable!() };
    let spoil = sqlx::query("UPDATE keys SET limits = '{\"rps\":1}', version = version + 1 WHERE id = $1");
    spoil.bind(&*bad.key.id).execute(writer).await.unwrap();
    access.refresh().await.unwrap();
    assert_eq!((id(&access, &good.secret).is_ok(), id(&access, &bad.secret)), (true, Err(AccessError::Unknown)));
}

#[tokio::test]
async fn a_database_that_is_set_back_is_read_anew() {
    let folder = TempDir::new().unwrap();
    let database = sqlite(folder.path()).await;
    let access = Access::start(database.clone(), false, Arc::default()).await;
    let (kept, gone) = (access.create("a", nothing()).await.unwrap(), access.create("a", nothing()).await.unwrap());
    access.refresh().await.unwrap();
    let Database::Sqlite { writer, .. } = &database else { unreachable!() };
    sqlx::query("DELETE FROM keys WHERE id = $1").bind(&*gone.key.id).execute(writer).await.unwrap();
    access.refresh().await.unwrap();
    assert_eq!((id(&access, &kept.secret).is_ok(), id(&access, &gone.secret)), (true, Err(AccessError::Unknown)));
}

#[tokio::test]
async fn the_start_says_who_is_let_in_and_why() {
    let folder = TempDir::new().unwrap();
    let anywhere = IpAddr::from([0, 0, 0, 0]);
    for (allowed, host, words) in [
        (true, LOOPBACK, "are answered: only this machine reaches HOST 127.0.0.1"),
        (true, anywhere, "are answered from wherever HOST 0.0.0.0 is reached: ALLOW_ANONYMOUS is true"),
        (false, LOOPBACK, "are refused: ALLOW_ANONYMOUS is false"),
        (false, anywhere, "are refused: other machines reach HOST 0.0.0.0"),
    ] {
        let line = Access::start(sqlite(folder.path()).await, allowed, Arc::default()).await.describe(host);
        assert!(line.contains(words) && line.contains("; 0 gateway keys") && !line.contains('\n'), "{line}");
    }
}
