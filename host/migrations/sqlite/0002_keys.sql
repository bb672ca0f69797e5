-- Gateway keys. `hash`: SHA-256 of the secret. `version` grows with every change of any key, so that other gateways on the same database notice.
CREATE TABLE keys (
    id TEXT PRIMARY KEY NOT NULL,
    hash BLOB NOT NULL,
    -- The one before, which still works until then.
    former_hash BLOB,
    former_until INTEGER,
    tenant TEXT NOT NULL,
    name TEXT,
    -- JSON lists and objects, as in the API.
    models TEXT NOT NULL,
    limits TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    version INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX keys_version ON keys (version);
