CREATE TABLE executions (
  execution_id TEXT PRIMARY KEY,
  plan_id TEXT NOT NULL, changeset_id TEXT NOT NULL, decision_id TEXT NOT NULL,
  checksum TEXT NOT NULL, verdict TEXT NOT NULL, status TEXT NOT NULL,
  risk_level TEXT, affected_paths TEXT,
  started_at TEXT NOT NULL, ended_at TEXT, duration_seconds REAL,
  files_changed INTEGER DEFAULT 0, verification_passed INTEGER DEFAULT 0,
  health_checks_passed INTEGER DEFAULT 0, rolled_back INTEGER DEFAULT 0,
  artifact_path TEXT, error_message TEXT, error_step TEXT,
  created_at TEXT NOT NULL DEFAULT (datetime('now'))
, correlation_id TEXT, parent_execution_id TEXT, trigger_kind TEXT DEFAULT 'manual', run_id TEXT, workspace_id TEXT, title TEXT, actor TEXT, attempt INTEGER, error_code TEXT, base_commit TEXT, branch TEXT, session TEXT);
INSERT INTO executions (rowid, execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status, risk_level, affected_paths, started_at, ended_at, duration_seconds, files_changed, verification_passed, health_checks_passed, rolled_back, artifact_path, error_message, error_step, created_at, correlation_id, parent_execution_id, trigger_kind, run_id, workspace_id, title, actor, attempt, error_code, base_commit, branch, session) VALUES (-3, CAST(X'656465a0' AS TEXT), CAST(X'00' AS TEXT), 'c', 'd', 'sum', 'deny', 'failed', 'low', '[]', '1234567890', '1.0e+308', 'not a number', 9223372036854775807, 1.5, 0, 0, '', CAST(X'4572726f72436f64653a20e2808be280ae' AS TEXT), 'validate', '0', NULL, NULL, 'manual', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO executions (rowid, execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status, risk_level, affected_paths, started_at, ended_at, duration_seconds, files_changed, verification_passed, health_checks_passed, rolled_back, artifact_path, error_message, error_step, created_at, correlation_id, parent_execution_id, trigger_kind, run_id, workspace_id, title, actor, attempt, error_code, base_commit, branch, session) VALUES (1, 'exec_plain', 'plan_1', 'cs_1', 'dec_1', 'sum', 'allow', 'completed', 'low', '["a.py"]', '2024-03-01T10:00:00+00:00', '2024-03-01T10:00:07+00:00', 7.25, 1, 1, 1, 0, '/artifacts/exec_plain', NULL, NULL, '2024-03-01 10:00:00', 'exec_plain', NULL, 'manual', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO executions (rowid, execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status, risk_level, affected_paths, started_at, ended_at, duration_seconds, files_changed, verification_passed, health_checks_passed, rolled_back, artifact_path, error_message, error_step, created_at, correlation_id, parent_execution_id, trigger_kind, run_id, workspace_id, title, actor, attempt, error_code, base_commit, branch, session) VALUES (7, 'exec_nulls', 'plan_1', 'cs_1', 'dec_1', 'sum', 'allow', 'pending', NULL, NULL, '2024-03-02T10:00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2024-03-02 10:00:00', NULL, NULL, 'manual', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO executions (rowid, execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status, risk_level, affected_paths, started_at, ended_at, duration_seconds, files_changed, verification_passed, health_checks_passed, rolled_back, artifact_path, error_message, error_step, created_at, correlation_id, parent_execution_id, trigger_kind, run_id, workspace_id, title, actor, attempt, error_code, base_commit, branch, session) VALUES (9000000000000000000, CAST(X'4964207769746820737061636573202f20c384c396c39c20e6bca2e5ad9720f09f9a80' AS TEXT), '', '', '', '', 'allow', 'failed', 'HIGH', 'not json', 'yesterday', '', 0.0, -1, 2, 'yes', 1, X'00ff', CAST(X'61006200ff0a0d1b' AS TEXT), '''"%_', '', NULL, NULL, 'manual', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO executions (rowid, execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status, risk_level, affected_paths, started_at, ended_at, duration_seconds, files_changed, verification_passed, health_checks_passed, rolled_back, artifact_path, error_message, error_step, created_at, correlation_id, parent_execution_id, trigger_kind, run_id, workspace_id, title, actor, attempt, error_code, base_commit, branch, session) VALUES (9000000000000000001, NULL, 'p', 'c', 'd', 's', 'allow', 'failed', NULL, NULL, 't', NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, 't', NULL, NULL, 'manual', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO executions (rowid, execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status, risk_level, affected_paths, started_at, ended_at, duration_seconds, files_changed, verification_passed, health_checks_passed, rolled_back, artifact_path, error_message, error_step, created_at, correlation_id, parent_execution_id, trigger_kind, run_id, workspace_id, title, actor, attempt, error_code, base_commit, branch, session) VALUES (9000000000000000002, NULL, 'p', 'c', 'd', 's', 'allow', 'failed', NULL, NULL, 't', NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, 't', NULL, NULL, 'manual', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO executions (rowid, execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status, risk_level, affected_paths, started_at, ended_at, duration_seconds, files_changed, verification_passed, health_checks_passed, rolled_back, artifact_path, error_message, error_step, created_at, correlation_id, parent_execution_id, trigger_kind, run_id, workspace_id, title, actor, attempt, error_code, base_commit, branch, session) VALUES (9000000000000000003, 'exec_retry', 'p', 'c', 'd', 'sum', 'allow', 'completed', NULL, NULL, '2025-05-01T00:00:00.000000Z', NULL, NULL, 0, 0, 0, 0, NULL, NULL, NULL, '2025-05-01 00:00:00', 'exec_plain', 'exec_plain', 'retry', 'ci/17', 'ws_1', CAST(X'4772c3b6c39f6520c3a46e6465726e' AS TEXT), 'ci:build', 2, 'E1', 'c0ffee', 'main', 's1');
CREATE INDEX idx_executions_status ON executions(status);
CREATE INDEX idx_executions_started_at ON executions(started_at DESC);
CREATE INDEX idx_executions_plan_id ON executions(plan_id);
CREATE INDEX idx_executions_verdict ON executions(verdict);
CREATE INDEX idx_executions_risk_level ON executions(risk_level);
CREATE TABLE execution_steps (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  execution_id TEXT NOT NULL, step_num INTEGER NOT NULL, step_name TEXT NOT NULL,
  status TEXT NOT NULL, started_at TEXT NOT NULL, ended_at TEXT, duration_seconds REAL,
  error_code TEXT, error_message TEXT, log_ref TEXT, metadata TEXT,
  FOREIGN KEY (execution_id) REFERENCES executions(execution_id) ON DELETE CASCADE
);
INSERT INTO execution_steps (id, execution_id, step_num, step_name, status, started_at, ended_at, duration_seconds, error_code, error_message, log_ref, metadata) VALUES (1, 'exec_plain', 1, 'apply', 'completed', '2024-03-01T10:00:01+00:00', NULL, 0.5, NULL, NULL, NULL, '{"a": 1}');
INSERT INTO execution_steps (id, execution_id, step_num, step_name, status, started_at, ended_at, duration_seconds, error_code, error_message, log_ref, metadata) VALUES (41, 'an execution that is gone', 1, 'apply', 'failed', '', NULL, NULL, NULL, NULL, NULL, CAST(X'fe' AS TEXT));
CREATE INDEX idx_execution_steps_execution_id ON execution_steps(execution_id);
CREATE INDEX idx_execution_steps_step_name ON execution_steps(step_name);
CREATE INDEX idx_execution_steps_status ON execution_steps(status);
CREATE TABLE notes (
  author TEXT DEFAULT 'me', about TEXT NOT NULL REFERENCES executions(execution_id), note BLOB, stars REAL
);
INSERT INTO notes (rowid, author, about, note, stars) VALUES (5, NULL, 'exec_plain', X'0001', 4.5);
INSERT INTO notes (rowid, author, about, note, stars) VALUES (12, 'you', 'exec_nulls', 'text in a blob column', 'many');
CREATE VIEW failed_notes AS
  SELECT n.rowid AS number, n.note, e.status FROM notes n JOIN executions e ON e.execution_id = n.about;
CREATE TABLE schema_migrations (
    version INTEGER PRIMARY KEY,
    description TEXT NOT NULL,
    applied_at TEXT NOT NULL DEFAULT (datetime('now'))
);
INSERT INTO schema_migrations (version, description, applied_at) VALUES (1, 'executions know their correlation, parent, trigger and run', '2025-05-01 12:00:00');
INSERT INTO schema_migrations (version, description, applied_at) VALUES (2, 'executions know their workspace, actor, attempt and git facts', '2025-05-02 12:00:00');
INSERT INTO schema_migrations (version, description, applied_at) VALUES (3, 'events, and links between executions', '2025-05-03 12:00:00');
INSERT INTO schema_migrations (version, description, applied_at) VALUES (4, 'plans, changesets, decisions, contents and workspaces', '2025-05-04 12:00:00');
INSERT INTO schema_migrations (version, description, applied_at) VALUES (5, 'indexes for filtered lists', '2025-05-05 12:00:00');
INSERT INTO schema_migrations (version, description, applied_at) VALUES (6, 'approvals', '2025-05-06 12:00:00');
INSERT INTO schema_migrations (version, description, applied_at) VALUES (7, 'results of tests', '2025-05-07 12:00:00');
INSERT INTO schema_migrations (version, description, applied_at) VALUES (8, 'tokens', '2025-05-08 12:00:00');
INSERT INTO schema_migrations (version, description, applied_at) VALUES (9, 'logs of steps', '2025-05-09 12:00:00');
CREATE INDEX idx_executions_correlation_id ON executions (correlation_id, started_at, execution_id);
CREATE INDEX idx_executions_parent_execution_id ON executions (parent_execution_id, started_at, execution_id);
CREATE INDEX idx_executions_trigger_kind ON executions (trigger_kind, started_at, execution_id);
CREATE TABLE execution_events (
	correlation_id TEXT NOT NULL,
	execution_id TEXT NOT NULL,
	seq INTEGER NOT NULL,
	position INTEGER NOT NULL,
	event TEXT NOT NULL,
	timestamp TEXT NOT NULL,
	data TEXT DEFAULT '{}' NOT NULL,
	PRIMARY KEY (execution_id, seq, correlation_id)
)
 WITHOUT ROWID;
INSERT INTO execution_events (correlation_id, execution_id, seq, position, event, timestamp, data) VALUES ('exec_plain', 'exec_retry', 1, 1, 'execution_start', '2025-05-01T00:00:00.000000Z', '{}');
CREATE INDEX idx_execution_events_position ON execution_events (position);
CREATE INDEX idx_execution_events_dismissal ON execution_events (execution_id, seq, event) WHERE event IN ('dismissed', 'undismissed');
CREATE TABLE execution_links (
	source_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	target_id TEXT NOT NULL,
	correlation_id TEXT NOT NULL,
	PRIMARY KEY (source_id, kind, target_id, correlation_id)
)
 WITHOUT ROWID;
INSERT INTO execution_links (source_id, kind, target_id, correlation_id) VALUES ('exec_retry', 'commit', 'c0ffee', 'exec_plain');
INSERT INTO execution_links (source_id, kind, target_id, correlation_id) VALUES ('exec_retry', 'reverts', 'exec_plain', 'exec_plain');
CREATE INDEX idx_execution_links_target_id ON execution_links (target_id, kind);
CREATE TABLE plans (
	plan_id TEXT NOT NULL,
	correlation_id TEXT NOT NULL,
	document TEXT NOT NULL,
	created_at TEXT NOT NULL,
	PRIMARY KEY (plan_id, correlation_id)
);
INSERT INTO plans (rowid, plan_id, correlation_id, document, created_at) VALUES (1, 'p', 'exec_plain', '{}', '2025-05-01T00:00:00.000000Z');
CREATE TABLE changesets (
	changeset_id TEXT NOT NULL,
	correlation_id TEXT NOT NULL,
	checksum TEXT NOT NULL,
	document TEXT NOT NULL,
	created_at TEXT NOT NULL,
	PRIMARY KEY (changeset_id, correlation_id)
);
INSERT INTO changesets (rowid, changeset_id, correlation_id, checksum, document, created_at) VALUES (1, 'c', 'exec_plain', 'sum', '{}', '2025-05-01T00:00:00.000000Z');
CREATE TABLE decisions (
	decision_id TEXT NOT NULL,
	correlation_id TEXT NOT NULL,
	document TEXT NOT NULL,
	created_at TEXT NOT NULL,
	PRIMARY KEY (decision_id, correlation_id)
);
INSERT INTO decisions (rowid, decision_id, correlation_id, document, created_at) VALUES (1, 'd', 'exec_plain', '{}', '2025-05-01T00:00:00.000000Z');
CREATE TABLE contents (
	sha256 TEXT NOT NULL,
	correlation_id TEXT NOT NULL,
	content BLOB NOT NULL,
	PRIMARY KEY (sha256, correlation_id)
);
INSERT INTO contents (rowid, sha256, correlation_id, content) VALUES (1, '00ff', 'exec_plain', X'00ff');
CREATE TABLE workspaces (
	workspace_id TEXT NOT NULL,
	host TEXT NOT NULL,
	path TEXT NOT NULL,
	created_at TEXT NOT NULL,
	PRIMARY KEY (workspace_id)
);
INSERT INTO workspaces (rowid, workspace_id, host, path, created_at) VALUES (1, 'ws_1', 'host', '/srv/project', '2025-05-01T00:00:00.000000Z');
CREATE INDEX idx_executions_status_started_at ON executions (status, started_at, execution_id);
CREATE INDEX idx_executions_workspace_id ON executions (workspace_id, started_at, execution_id);
CREATE INDEX idx_executions_run_id ON executions (run_id, started_at, execution_id) WHERE run_id IS NOT NULL;
CREATE INDEX idx_executions_checksum ON executions (checksum, started_at);
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
INSERT INTO approvals (rowid, execution_id, correlation_id, approval_id, checksum, document, created_at, expires_at) VALUES (1, 'exec_retry', 'exec_plain', 'appr_1', 'sum', '{}', '2025-05-01T00:00:00.000000Z', '2025-05-02T00:00:00.000000Z');
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
)
 WITHOUT ROWID;
INSERT INTO test_results (correlation_id, execution_id, step_num, test_id, outcome, duration_seconds, exception_type, message, file, line) VALUES ('exec_plain', 'exec_retry', 1, CAST(X'74657374732f746573745f73697a652e70793a3a746573745f6772c3b6c39f65' AS TEXT), 'failed', 0.25, 'AssertionError', 'assert 1 == 2', 'tests/test_size.py', 7);
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
INSERT INTO tokens (rowid, token_id, kind, name, scopes, secret_sha256, created_at, valid_until, revoked_at) VALUES (1, 'tok_1', 'token', 'ci', 'read run', '5ec2e7', '2025-05-01T00:00:00.000000Z', NULL, NULL);
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
INSERT INTO step_logs (rowid, correlation_id, execution_id, name, step_num, size, truncated, created_at, content) VALUES (1, 'exec_plain', 'exec_retry', 'steps/04-verify.log', 4, 11, 0, '2025-05-01T00:00:00.000000Z', X'789c73533054484bcccc494de1020011d40327');
UPDATE sqlite_sequence SET seq = 90 WHERE name = 'execution_steps';
