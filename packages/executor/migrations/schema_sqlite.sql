-- What a new database is made from. Generated: python -m executor.migrations.schema_text --write

CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    description TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (datetime('now'))
);

CREATE TABLE executions (
    execution_id TEXT,
    plan_id TEXT NOT NULL,
    changeset_id TEXT NOT NULL,
    decision_id TEXT NOT NULL,
    checksum TEXT NOT NULL,
    verdict TEXT NOT NULL,
    status TEXT NOT NULL,
    risk_level TEXT,
    affected_paths TEXT,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    duration_seconds REAL,
    files_changed INTEGER DEFAULT 0,
    verification_passed INTEGER DEFAULT 0,
    health_checks_passed INTEGER DEFAULT 0,
    rolled_back INTEGER DEFAULT 0,
    artifact_path TEXT,
    error_message TEXT,
    error_step TEXT,
    created_at TEXT DEFAULT (datetime('now')) NOT NULL,
    correlation_id TEXT,
    parent_execution_id TEXT,
    trigger_kind TEXT DEFAULT 'manual',
    run_id TEXT,
    workspace_id TEXT,
    title TEXT,
    actor TEXT,
    attempt INTEGER,
    error_code TEXT,
    base_commit TEXT,
    branch TEXT,
    session TEXT,
    PRIMARY KEY (execution_id)
);

CREATE INDEX idx_executions_checksum ON executions (checksum, started_at);

CREATE INDEX idx_executions_correlation_id ON executions (correlation_id, started_at, execution_id);

CREATE INDEX idx_executions_parent_execution_id ON executions (parent_execution_id, started_at, execution_id);

CREATE INDEX idx_executions_plan_id ON executions (plan_id);

CREATE INDEX idx_executions_risk_level ON executions (risk_level);

CREATE INDEX idx_executions_run_id ON executions (run_id, started_at, execution_id) WHERE run_id IS NOT NULL;

CREATE INDEX idx_executions_started_at ON executions (started_at DESC);

CREATE INDEX idx_executions_status ON executions (status);

CREATE INDEX idx_executions_status_started_at ON executions (status, started_at, execution_id);

CREATE INDEX idx_executions_trigger_kind ON executions (trigger_kind, started_at, execution_id);

CREATE INDEX idx_executions_verdict ON executions (verdict);

CREATE INDEX idx_executions_workspace_id ON executions (workspace_id, started_at, execution_id);

CREATE TABLE execution_steps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    execution_id TEXT NOT NULL,
    step_num INTEGER NOT NULL,
    step_name TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    duration_seconds REAL,
    error_code TEXT,
    error_message TEXT,
    log_ref TEXT,
    metadata TEXT,
    FOREIGN KEY(execution_id) REFERENCES executions (execution_id) ON DELETE CASCADE
);

CREATE INDEX idx_execution_steps_execution_id ON execution_steps (execution_id);

CREATE INDEX idx_execution_steps_status ON execution_steps (status);

CREATE INDEX idx_execution_steps_step_name ON execution_steps (step_name);

CREATE TABLE execution_events (
    correlation_id TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    position INTEGER NOT NULL,
    event TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    data TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (execution_id, seq, correlation_id)
) WITHOUT ROWID;

CREATE INDEX idx_execution_events_dismissal ON execution_events (execution_id, seq, event) WHERE event IN ('dismissed', 'undismissed');

CREATE INDEX idx_execution_events_position ON execution_events (position);

CREATE TABLE execution_links (
    source_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    target_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    PRIMARY KEY (source_id, kind, target_id, correlation_id)
) WITHOUT ROWID;

CREATE INDEX idx_execution_links_target_id ON execution_links (target_id, kind);

CREATE TABLE plans (
    plan_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    document TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (plan_id, correlation_id)
);

CREATE TABLE changesets (
    changeset_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    checksum TEXT NOT NULL,
    document TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (changeset_id, correlation_id)
);

CREATE TABLE decisions (
    decision_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    document TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (decision_id, correlation_id)
);

CREATE TABLE contents (
    sha256 TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (sha256, correlation_id)
);

CREATE TABLE workspaces (
    workspace_id TEXT NOT NULL,
    host TEXT NOT NULL,
    path TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (workspace_id)
);

CREATE TABLE approvals (
    execution_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    approval_id TEXT NOT NULL,
    checksum TEXT NOT NULL,
    document TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    PRIMARY KEY (execution_id, correlation_id)
);

CREATE INDEX idx_approvals_correlation_id ON approvals (correlation_id, checksum);

CREATE TABLE test_results (
    correlation_id TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    step_num INTEGER NOT NULL,
    test_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    duration_seconds REAL,
    exception_type TEXT,
    message TEXT,
    file TEXT,
    line INTEGER,
    PRIMARY KEY (execution_id, step_num, test_id, correlation_id)
) WITHOUT ROWID;

CREATE INDEX idx_test_results_test_id ON test_results (test_id, execution_id);

CREATE TABLE tokens (
    token_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    secret_sha256 TEXT NOT NULL,
    created_at TEXT NOT NULL,
    valid_until TEXT,
    revoked_at TEXT,
    PRIMARY KEY (token_id)
);

CREATE TABLE step_logs (
    correlation_id TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    name TEXT NOT NULL,
    step_num INTEGER NOT NULL,
    size INTEGER NOT NULL,
    truncated INTEGER DEFAULT 0 NOT NULL,
    created_at TEXT NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (execution_id, name, correlation_id)
);
