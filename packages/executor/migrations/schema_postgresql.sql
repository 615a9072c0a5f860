-- What a new database is made from. Generated: python -m executor.migrations.schema_text --write

CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    description TEXT NOT NULL,
    applied_at TEXT COLLATE "C" NOT NULL DEFAULT to_char(timezone('UTC', now()), 'YYYY-MM-DD HH24:MI:SS')
);

CREATE TABLE executions (
    execution_id TEXT COLLATE "C",
    plan_id TEXT COLLATE "C" NOT NULL,
    changeset_id TEXT COLLATE "C" NOT NULL,
    decision_id TEXT COLLATE "C" NOT NULL,
    checksum TEXT COLLATE "C" NOT NULL,
    verdict TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    risk_level TEXT COLLATE "C",
    affected_paths TEXT,
    started_at TEXT COLLATE "C" NOT NULL,
    ended_at TEXT COLLATE "C",
    duration_seconds FLOAT,
    files_changed BIGINT DEFAULT 0,
    verification_passed INTEGER DEFAULT 0,
    health_checks_passed INTEGER DEFAULT 0,
    rolled_back INTEGER DEFAULT 0,
    artifact_path TEXT,
    error_message TEXT,
    error_step TEXT COLLATE "C",
    created_at TEXT COLLATE "C" DEFAULT to_char(timezone('UTC', now()), 'YYYY-MM-DD HH24:MI:SS') NOT NULL,
    correlation_id TEXT COLLATE "C",
    parent_execution_id TEXT COLLATE "C",
    trigger_kind TEXT COLLATE "C" DEFAULT 'manual',
    run_id TEXT COLLATE "C",
    workspace_id TEXT COLLATE "C",
    title TEXT,
    actor TEXT COLLATE "C",
    attempt BIGINT,
    error_code TEXT COLLATE "C",
    base_commit TEXT COLLATE "C",
    branch TEXT COLLATE "C",
    session TEXT COLLATE "C",
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
    id BIGSERIAL,
    execution_id TEXT COLLATE "C" NOT NULL,
    step_num BIGINT NOT NULL,
    step_name TEXT COLLATE "C" NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    started_at TEXT COLLATE "C" NOT NULL,
    ended_at TEXT COLLATE "C",
    duration_seconds FLOAT,
    error_code TEXT COLLATE "C",
    error_message TEXT,
    log_ref TEXT,
    metadata TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(execution_id) REFERENCES executions (execution_id) ON DELETE CASCADE
);

CREATE INDEX idx_execution_steps_execution_id ON execution_steps (execution_id);

CREATE INDEX idx_execution_steps_status ON execution_steps (status);

CREATE INDEX idx_execution_steps_step_name ON execution_steps (step_name);

CREATE TABLE execution_events (
    correlation_id TEXT COLLATE "C" NOT NULL,
    execution_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT NOT NULL,
    event TEXT COLLATE "C" NOT NULL,
    timestamp TEXT COLLATE "C" NOT NULL,
    data TEXT DEFAULT '{}' NOT NULL,
    PRIMARY KEY (execution_id, seq, correlation_id)
);

CREATE INDEX idx_execution_events_dismissal ON execution_events (execution_id, seq, event) WHERE event IN ('dismissed', 'undismissed');

CREATE INDEX idx_execution_events_position ON execution_events (position);

CREATE TABLE execution_links (
    source_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    target_id TEXT COLLATE "C" NOT NULL,
    correlation_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (source_id, kind, target_id, correlation_id)
);

CREATE INDEX idx_execution_links_target_id ON execution_links (target_id, kind);

CREATE TABLE plans (
    plan_id TEXT COLLATE "C" NOT NULL,
    correlation_id TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    created_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (plan_id, correlation_id)
);

CREATE TABLE changesets (
    changeset_id TEXT COLLATE "C" NOT NULL,
    correlation_id TEXT COLLATE "C" NOT NULL,
    checksum TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    created_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (changeset_id, correlation_id)
);

CREATE TABLE decisions (
    decision_id TEXT COLLATE "C" NOT NULL,
    correlation_id TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    created_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (decision_id, correlation_id)
);

CREATE TABLE contents (
    sha256 TEXT COLLATE "C" NOT NULL,
    correlation_id TEXT COLLATE "C" NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (sha256, correlation_id)
);

CREATE TABLE workspaces (
    workspace_id TEXT COLLATE "C" NOT NULL,
    host TEXT COLLATE "C" NOT NULL,
    path TEXT NOT NULL,
    created_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (workspace_id)
);

CREATE TABLE approvals (
    execution_id TEXT COLLATE "C" NOT NULL,
    correlation_id TEXT COLLATE "C" NOT NULL,
    approval_id TEXT COLLATE "C" NOT NULL,
    checksum TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    created_at TEXT COLLATE "C" NOT NULL,
    expires_at TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (execution_id, correlation_id)
);

CREATE INDEX idx_approvals_correlation_id ON approvals (correlation_id, checksum);

CREATE TABLE test_results (
    correlation_id TEXT COLLATE "C" NOT NULL,
    execution_id TEXT COLLATE "C" NOT NULL,
    step_num BIGINT NOT NULL,
    test_id TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    duration_seconds FLOAT,
    exception_type TEXT COLLATE "C",
    message TEXT,
    file TEXT COLLATE "C",
    line BIGINT,
    PRIMARY KEY (execution_id, step_num, test_id, correlation_id)
);

CREATE INDEX idx_test_results_test_id ON test_results (test_id, execution_id);

CREATE TABLE tokens (
    token_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    scopes TEXT COLLATE "C" NOT NULL,
    secret_sha256 TEXT COLLATE "C" NOT NULL,
    created_at TEXT COLLATE "C" NOT NULL,
    valid_until TEXT COLLATE "C",
    revoked_at TEXT COLLATE "C",
    PRIMARY KEY (token_id)
);

CREATE TABLE step_logs (
    correlation_id TEXT COLLATE "C" NOT NULL,
    execution_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    step_num BIGINT NOT NULL,
    size BIGINT NOT NULL,
    truncated INTEGER DEFAULT 0 NOT NULL,
    created_at TEXT COLLATE "C" NOT NULL,
    content BYTEA NOT NULL,
    PRIMARY KEY (execution_id, name, correlation_id)
);
