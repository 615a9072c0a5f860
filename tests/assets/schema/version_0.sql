-- Schema version 0: databases of this shape with data exist and must upgrade in place.
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
);
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
CREATE INDEX idx_execution_steps_execution_id ON execution_steps(execution_id);
CREATE INDEX idx_execution_steps_step_name ON execution_steps(step_name);
CREATE INDEX idx_execution_steps_status ON execution_steps(status);
-- An own table and an own view of a user.
CREATE TABLE notes (
  author TEXT DEFAULT 'me', about TEXT NOT NULL REFERENCES executions(execution_id), note BLOB, stars REAL
);
CREATE VIEW failed_notes AS
  SELECT n.rowid AS number, n.note, e.status FROM notes n JOIN executions e ON e.execution_id = n.about;
INSERT INTO executions (rowid, execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status,
  risk_level, affected_paths, started_at, ended_at, duration_seconds, files_changed, verification_passed,
  health_checks_passed, rolled_back, artifact_path, error_message, error_step, created_at) VALUES
  (1, 'exec_plain', 'plan_1', 'cs_1', 'dec_1', 'sum', 'allow', 'completed', 'low', '["a.py"]',
   '2024-03-01T10:00:00+00:00', '2024-03-01T10:00:07+00:00', 7.25, 1, 1, 1, 0, '/artifacts/exec_plain', NULL, NULL,
   '2024-03-01 10:00:00'),
  (7, 'exec_nulls', 'plan_1', 'cs_1', 'dec_1', 'sum', 'allow', 'pending', NULL, NULL,
   '2024-03-02T10:00:00', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2024-03-02 10:00:00'),
  (9000000000000000000, 'Id with spaces / ÄÖÜ 漢字 🚀', '', '', '', '', 'allow', 'failed', 'HIGH', 'not json',
   'yesterday', '', -0.0, -1, 2, 'yes', 1, X'00FF', CAST(X'61006200FF0A0D1B' AS TEXT), '''"%_', ''),
  (-3, CAST(X'656465A0' AS TEXT), CAST(X'00' AS TEXT), 'c', 'd', 'sum', 'deny', 'failed', 'low', '[]',
   1234567890, 1e308, 'not a number', 9223372036854775807, 1.5, 0, 0, '', 'ErrorCode: ​‮', 'validate', 0);
-- Several rows of a TEXT key may be NULL.
INSERT INTO executions (execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status, started_at,
  created_at)
  VALUES (NULL, 'p', 'c', 'd', 's', 'allow', 'failed', 't', 't'), (NULL, 'p', 'c', 'd', 's', 'allow', 'failed', 't', 't');
INSERT INTO execution_steps (id, execution_id, step_num, step_name, status, started_at, duration_seconds, metadata)
  VALUES (1, 'exec_plain', 1, 'apply', 'completed', '2024-03-01T10:00:01+00:00', 0.5, '{"a": 1}'),
         (90, 'exec_plain', 2, 'verify', 'completed', '2024-03-01T10:00:02+00:00', NULL, NULL),
         (41, 'an execution that is gone', 1, 'apply', 'failed', '', NULL, CAST(X'FE' AS TEXT));
DELETE FROM execution_steps WHERE id = 90; -- its id is never given again
INSERT INTO notes (rowid, author, about, note, stars) VALUES
  (5, NULL, 'exec_plain', X'0001', 4.5), (12, 'you', 'exec_nulls', 'text in a blob column', 'many');
